# Verdict: what must hold of every request, whatever a test is about.
#
#     my $verdict = Verdict->new(provider => $provider, key => $KEY,
#         secrets => [$CLIENT_KEY, ...]);
#     $verdict->admitted('a valid key', $r);
#     $verdict->refused('no key', $r, 401, 'invalid_api_key', qr/Missing/);
#
# admitted: the answer has that status (200); exactly one request has reached
# the provider since the last verdict; it carries the real key exactly once, in
# the header `line` (`Authorization: Bearer KEY`), and not one byte of any of
# the client's `secrets`. Returns the provider's request.
#
# refused: the answer has that status, and an error of that code and of the
# type that goes with the status, as OpenAI shapes it; x-request-id; and
# x-should-retry: false where a retry can't help. No connection to the provider
# was opened since the last verdict. With no code, only nginx's own refusal is
# expected. Returns the error's hash.
#
# Both are one subtest-free assertion each: the diagnostics name what failed.

package Verdict;

use Mojo::Base -base, -signatures;
use Await;
use Test::More ();

has [qw(provider key)];
has secrets => sub { [] };
has line    => sub ($self) { 'Authorization: Bearer ' . $self->key };

my %TYPES = (
    400 => 'invalid_request_error',
    401 => 'authentication_error',
    403 => 'permission_error',
    405 => 'invalid_request_error',
    413 => 'invalid_request_error',
    426 => 'invalid_request_error',
    502 => 'api_error',
    503 => 'api_error',
    504 => 'api_error',
);

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    $self->_count;
    return $self;
}

sub admitted ($self, $name, $response, $status = 200) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($connections, $requests) = $self->_count;
    my $request = $self->provider->last;
    my @faults;
    push @faults, _unlike('status', $response->status, $status);
    push @faults, "$requests requests reached the provider" if $requests != 1;
    push @faults, $self->credential_faults($request) if $requests == 1;
    $self->_judge($name, $response, @faults);
    return $request;
}

sub refused ($self, $name, $response, $status, $code = undef, $message = qr//) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($connections, $requests) = $self->_count;
    my @faults = _unlike('status', $response->status, $status);
    push @faults, "$connections connections were opened" if $connections;
    push @faults, "$requests requests reached the provider" if $requests;
    push @faults, 'a secret came back'
        if grep { index($response->head . $response->body, $_) >= 0 }
        grep    { length } $self->key, @{$self->secrets};
    push @faults, $self->_error_faults($response, $status, $code, $message)
        if defined $code;
    $self->_judge($name, $response, @faults);
    return ref $response->json eq 'HASH' ? $response->json->{error} : undef;
}

# The faults of a request as the provider got it: an empty list is good.
sub credential_faults ($self, $request) {
    my $connection = $request->connection;
    my $raw = @{$connection->requests} == 1 ? $connection->received
        : $request->head . $request->body;
    my @faults;
    my $count = () = $raw =~ /\Q${\$self->key}\E/g;
    push @faults, "the key is there $count times" if $count != 1;
    my ($header, $value) = split /: /, $self->line, 2;
    push @faults, 'no line ' . $self->line
        if !grep { $_ eq $value } $request->all($header);
    push @faults, map { "the client's $_ went up" }
        grep { length && index($raw, $_) >= 0 } @{$self->secrets};
    push @faults, "more than one $header" if $request->all($header) != 1;
    return @faults;
}

sub _error_faults ($self, $response, $status, $code, $message) {
    my @faults;
    push @faults, 'no x-request-id'
        if ($response->header('x-request-id') // '') !~ /\A[\w.-]{1,128}\z/;
    push @faults, _unlike('x-should-retry',
        $response->header('x-should-retry'), $status < 500 ? 'false' : undef);
    push @faults, _unlike('content-type',
        $response->header('content-type'), 'application/json');
    return @faults if $response->answers eq 'HEAD';
    my $json = $response->json;
    return @faults, 'the body is no JSON object'
        if ref $json ne 'HASH' || ref $json->{error} ne 'HASH';
    my $error = $json->{error};
    push @faults, _unlike('type', $error->{type}, $TYPES{$status});
    push @faults, _unlike('code', $error->{code}, $code);
    push @faults, _unlike('members', join(' ', sort keys %$error),
        'code message param type');
    push @faults, "message: $error->{message}" if $error->{message} !~ $message;
    return @faults;
}

# Connections and requests since it was last asked.
sub _count ($self) {
    settle;
    my $provider    = $self->provider;
    my $connections = $provider->connections - ($self->{connections} // 0);
    my $requests    = @{$provider->requests} - ($self->{requests} // 0);
    $self->{connections} = $provider->connections;
    $self->{requests}    = @{$provider->requests};
    return ($connections, $requests);
}

sub _unlike ($what, $got, $expected) {
    $got      //= 'none';
    $expected //= 'none';
    return $got eq $expected ? () : ("$what is $got, not $expected");
}

sub _judge ($self, $name, $response, @faults) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::ok(!@faults, $name) and return;
    Test::More::diag(join "\n", @faults);
    Test::More::diag($response->broken
            || $response->head . substr $response->body, 0, 500);
    return;
}

1;
