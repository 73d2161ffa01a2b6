# MockProvider: provider.mjs in a process of its own, as a real client needs
# one that goes on while the test waits for the client.
#
#     my $mock = MockProvider->start(credential => $KEY,
#         watch => { client => $CLIENT_KEY, ... });
#     ... proxy to $mock->address ...         # 127.0.0.1:PORT
#     my ($request) = $mock->events('request');
#     my $gone = $mock->await_event('answered');
#     is header($request, 'host'), '...';
#     ok_credential($request, "authorization: Bearer $KEY", 'the turn');
#     $mock->forget;                          # events so far are history
#     ok_untouched($mock);                    # no connection, no request
#     $mock->stop;
#
# What an event holds stands at the top of provider/journal.mjs.

package MockProvider;

use Mojo::Base -base, -signatures;
use Await;
use Child;
use Exporter   qw(import);
use Mojo::File qw(curfile);
use Mojo::JSON qw(decode_json encode_json);
use Test::More ();

our @EXPORT = qw(header ok_credential ok_untouched);

use constant SCRIPT => curfile->dirname->sibling('provider.mjs')->to_string;

# Headers that carry a credential, or say whose it is.
use constant CREDENTIAL_HEADERS => qw(authorization proxy-authorization
    x-api-key api-key x-goog-api-key openai-api-key cookie
    openai-organization openai-project);

has [qw(credential child port)];
has watch => sub { {} };

sub start ($class, @args) {
    my $self = $class->SUPER::new(events => [], @args);
    my $options = encode_json({
        credential => $self->credential,
        watch      => {real => $self->credential, %{$self->watch}},
    });
    $self->child(Child->start(
        command => ['node', SCRIPT, $options],
        talk    => 1,
        on_out  => sub ($child) { $self->_take_lines($child) }));
    $self->port($self->await_event('listening')->{port});
    return $self->forget;
}

sub address ($self) { return '127.0.0.1:' . $self->port }

# The events of that kind so far.
sub events ($self, $kind) {
    settle;
    return grep { $_->{event} eq $kind } @{$self->{events}};
}

# The first event of that kind for which $wanted is true, once it is there.
sub await_event ($self, $kind, $wanted = sub ($event) { 1 }) {
    return await "the provider's $kind", sub {
        die 'the provider has ended: ' . $self->child->err . "\n"
            if $self->child->ended;
        return (grep { $wanted->($_) } $self->events($kind))[0];
    };
}

sub forget ($self) {
    settle;
    $self->{events} = [];
    return $self;
}

sub stop ($self) {
    $self->child->hang_up->finish;
    Test::More::is($self->child->err, '', 'the provider had no complaint');
    return;
}

# The value of a header of a request or handshake; undef unless there is
# exactly one.
sub header ($event, $name) {
    my @values = $event->{head} =~ /^\Q$name\E:[ \t]*(.*?)[ \t]*\r$/mig;
    return @values == 1 ? $values[0] : undef;
}

# Passes if $line (name in lower case) is the only thing in a request that
# tells who pays, and if no watched value but the real key is anywhere in it.
sub ok_credential ($event, $line, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $names = join '|', CREDENTIAL_HEADERS;
    my @lines = map { s/\A([^:]+)/\L$1/r }
        map { tr/_/-/r =~ /\A(?:$names):/i ? $_ : () }
        split /\r\n/, $event->{head};
    my $seen = $event->{seen};
    return Test::More::is_deeply(
        {lines => \@lines, seen => $seen},
        {
            lines => [$line],
            seen  => {map { $_ => $_ eq 'real' ? 1 : 0 } keys %$seen},
        },
        "$name: one credential, the real one");
}

# Passes if nothing has reached the provider since forget(): neither a new
# connection nor anything on one that nginx has kept.
sub ok_untouched ($mock) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @events = map { $mock->events($_) } qw(open request handshake);
    return Test::More::is_deeply(\@events, [], 'the provider was left alone');
}

sub _take_lines ($self, $child) {
    while ($child->{out} =~ s/\A([^\n]*)\n//) {
        push @{$self->{events}}, decode_json($1);
    }
    return;
}

1;
