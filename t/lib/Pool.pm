# Pool: locations with credentials of their own, and a provider that has an
# answer for each of them.
#
#     my $pool = Pool->new(provider => $provider, nginx => $nginx);
#     $pool->location('one', 3, 'keystile_next_credential http_401;');
#     $nginx->start($pool->credentials . "server { ... @{[$pool->locations]} }");
#     $pool->fates(one => [401], [200]);           # status, headers, body
#     my $r = $pool->ask('one', method => 'POST', body => '{}');
#     is $pool->sent, 'one-1 one-2';               # what the provider got
#
# location(name, count, text, %more) makes /name/ with `count` credentials,
# name-1 and so on; `pass` (the provider) and `inject` say otherwise where it
# leads and what is injected. A credential whose fate is not told gets 200.

package Pool;

use Mojo::Base -base, -signatures;
use Digest::SHA qw(sha256_hex);
use Wire;

has [qw(provider nginx)];
has keys => sub { {} };    # name => the key

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    $self->{text} = $self->{declared} = '';
    return $self;
}

sub location ($self, $name, $count, $text = '', %more) {
    my @names = map { "$name-$_" } 1 .. $count;
    $self->declare($_) for @names;
    my $inject = $more{inject} // "@names";
    my $pass   = $more{pass}   // 'http://%%PROVIDER%%';
    $self->{text} .= "location /$name/ { keystile_inject $inject; $text "
        . "keystile_pass $pass; }\n";
    return $self;
}

# A credential, by bearer.
sub declare ($self, $name, $options = '') {
    my $key = "sk-test-$name-" . substr sha256_hex("$name$$"), 0, 24;
    $self->keys->{$name} = $key;
    $self->nginx->key_file("$name.key", $key);
    $self->{declared}
        .= "keystile_credential $name %%DIR%%/$name.key $options;\n";
    return $key;
}

sub credentials ($self) { return $self->{declared} }
sub locations   ($self) { return $self->{text} }

# What becomes of the credentials of a location, from the first on.
sub fates ($self, $name, @fates) {
    my %fate = map { ("$name-" . ($_ + 1) => $fates[$_]) } 0 .. $#fates;
    my %name_of = reverse %{$self->keys};
    $self->provider->forget->answer(sub ($request) {
        my $who  = $name_of{_bearer($request)} // '';
        my $fate = $fate{$who} // [200];
        return $fate->($request) if ref $fate eq 'CODE';
        my ($status, $headers, $body) = @$fate;
        $request->reply($status, $headers // [], $body // "{\"by\":\"$who\"}");
    });
    return $self;
}

sub ask ($self, $name, %request) {
    return request($self->nginx->port, target => "/$name/a", %request);
}

# The credentials that the provider has got, in order.
sub sent ($self) {
    my %name_of = reverse %{$self->keys};
    return join ' ', map { $name_of{_bearer($_)} // '?' }
        @{$self->provider->requests};
}

sub _bearer ($request) {
    my ($value, @more) = $request->all('authorization');
    return !defined $value || @more ? '' : $value =~ s/\ABearer //r;
}

1;
