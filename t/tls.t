# TLS to the provider: verified, with the server's name, before the first byte
# of a request leaves.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY   = 'sk-test-provider-9f10';
my $NAME  = 'api.example.com';
my $trust = Authority->new;
my $other = Authority->new(name => 'Another CA');
my $lower = $trust->subordinate('Lower CA');
my $least = $lower->subordinate('Least CA');
my $leaf  = $trust->issue($NAME, 'localhost', 'tls');
my $gone  = $trust->issue($NAME);

# What a provider shows for itself.
my %PROVIDERS = (
    good      => $leaf,
    wildcard  => $trust->issue('*.example.com'),
    stranger  => $other->issue($NAME),
    misnamed  => $trust->issue('api.example.org', 'example.com',
        'a.api.example.com', '*.api.example.com'),
    expired   => $trust->issue({expired => 1}, $NAME),
    lower     => $lower->issue($NAME),
    least     => $least->issue($NAME),
    revoked   => $gone,
);
$PROVIDERS{selfmade} = {cert => $other->cert, key => $other->dir . '/ca.key'};
$PROVIDERS{$_} = Provider->new(tls => $PROVIDERS{$_}) for keys %PROVIDERS;

# The system's trust store, to OpenSSL and so to nginx.
local $ENV{SSL_CERT_FILE} = $trust->cert;

my $locations = join '', map {
    my $address = $PROVIDERS{$_}->address;
    <<"CONF" } sort keys %PROVIDERS;
        location /$_/ {
            keystile_ssl_name $NAME;
            keystile_pass     https://$address;
        }
        location /$_/other/ {
            keystile_ssl_name $NAME;
            keystile_ssl_trusted_certificate %%OTHER%%;
            keystile_pass     https://$address;
        }
        location /$_/crl/ {
            keystile_ssl_name $NAME;
            keystile_ssl_crl  %%CRL%%;
            keystile_pass     https://$address;
        }
        location /$_/depth-0/ {
            keystile_ssl_name $NAME;
            keystile_ssl_verify_depth 0;
            keystile_pass     https://$address;
        }
        location /$_/depth-1/ {
            keystile_ssl_name $NAME;
            keystile_ssl_verify_depth 1;
            keystile_pass     https://$address;
        }
CONF

my $nginx = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF' . $locations . '}',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /**;
    keystile_inject     openai;
    keystile_next_upstream off;
    upstream tls { server %%GOOD%%; }

    server {
        listen 127.0.0.1:%%PORT%%;
        # Of the addresses of localhost, the provider has one.
        location /host/ {
            keystile_next_upstream error;
            keystile_pass https://localhost:%%GOOD_PORT%%;
        }
        location /group/ { keystile_pass https://tls; }
        location /unnamed/ {
            keystile_ssl_name api.example.net;
            keystile_pass     https://%%GOOD%%;
        }
        location /untrusted/ {
            keystile_ssl_name api.example.com;
            keystile_ssl_trusted_certificate %%OTHER%%;
            keystile_pass     https://%%GOOD%%;
            location /untrusted/inside/ { keystile_pass https://%%GOOD%%; }
        }
        location /clear/ { keystile_pass https://%%CLEAR%%; }
CONF
    CLEAR     => (my $clear = Provider->new)->address,
    CRL       => $trust->revoke($gone),
    OTHER     => $other->cert,
    GOOD      => $PROVIDERS{good}->address,
    GOOD_PORT => $PROVIDERS{good}->port);
$nginx->tolerate(qr/SSL_do_handshake\(\) failed/);

sub passes ($provider, $target) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $verdict = Verdict->new(provider => $provider, key => $KEY);
    my $r = request($nginx->port, target => $target);
    $verdict->admitted("$target passes", $r) or return;
    is $provider->last->connection->server_name,
        $target =~ m{/host/} ? 'localhost' : $target =~ m{/group/} ? 'tls'
        : $NAME, 'SNI';
    return;
}

sub fails ($provider, $target) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $provider->forget;
    my $before = $provider->connections;
    my $r = request($nginx->port, method => 'POST', target => $target,
        body => '{"input":"private"}');
    is $r->status, 502, "$target fails";
    is $r->json->{error}{code}, 'upstream_unavailable', 'code';
    await 'the attempt', sub { $provider->connections > $before };
    settle;
    is join('', map { $_->received } @{$provider->streams}), '',
        'not a byte was sent';
    return;
}

subtest 'the system\'s trust store' => sub {
    passes($PROVIDERS{$_}, "/$_/responses")
        for qw(good wildcard lower least revoked);
    fails($PROVIDERS{$_}, "/$_/responses")
        for qw(stranger misnamed expired selfmade);
};

subtest 'another trust store' => sub {
    passes($PROVIDERS{$_}, "/$_/other/responses") for qw(stranger);
    fails($PROVIDERS{$_}, "/$_/other/responses")
        for qw(good wildcard misnamed expired lower selfmade);
    fails($PROVIDERS{good}, '/untrusted/responses');
    fails($PROVIDERS{good}, '/untrusted/inside/responses');
};

subtest 'the name' => sub {
    passes($PROVIDERS{good}, '/host/responses');
    passes($PROVIDERS{good}, '/group/responses');
    fails($PROVIDERS{good}, '/unnamed/responses');
    is $PROVIDERS{good}->tls_errors->[0], undef, 'the handshake itself is fine';
};

subtest 'the length of the chain' => sub {
    passes($PROVIDERS{good},  '/good/depth-0/responses');
    fails($PROVIDERS{lower},  '/lower/depth-0/responses');
    passes($PROVIDERS{lower}, '/lower/depth-1/responses');
    fails($PROVIDERS{least},  '/least/depth-1/responses');
};

subtest 'revocation' => sub {
    passes($PROVIDERS{good},   '/good/crl/responses');
    fails($PROVIDERS{revoked}, '/revoked/crl/responses');
};

subtest 'a provider without TLS' => sub {
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => '/clear/responses'));
    my $connection = await 'a connection', sub { $clear->streams->[0] };
    await 'a greeting', sub { $connection->received };
    $connection->write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    is $wire->response->status, 502, 'status';
    # Newer ones do not read what has come, and so the kernel resets it.
    like $connection->await_end, qr/\A(?:eof|reset)\z/, 'it is closed';
    unlike $connection->received, qr/\Q$KEY\E|HTTP/,
        'nothing is sent in the clear';
};

subtest 'after a reload' => sub {
    is $nginx->reload, '', 'which succeeds';
    passes($PROVIDERS{good}, '/good/responses');
    fails($PROVIDERS{stranger}, '/stranger/responses');
};

subtest 'configurations' => sub {
    my $broker = <<'CONF';
        keystile_credential openai %%DIR%%/openai.key;
        server {
            keystile_admit  any;
            keystile_allow  GET /**;
            keystile_inject openai;
            location / { keystile_pass https://localhost; MORE }
        }
CONF
    my @cases = (
        ['' => 0], ['keystile_ssl_verify off;' => 1],
        ['keystile_ssl_server_name off;' => 1],
        ['keystile_ssl_trusted_certificate %%DIR%%/none.pem;' => 1],
        ['keystile_ssl_trusted_certificate %%DIR%%/openai.key;' => 1],
        ['keystile_ssl_crl %%DIR%%/none.pem;' => 1],
    );
    for my $case (@cases) {
        my ($more, $expected) = @$case;
        my ($exit, $said)
            = $nginx->test_config($broker =~ s/MORE/$more/r);
        is $exit, $expected, $more || 'the defaults' or diag $said;
    }
};

$nginx->stop;
done_testing;
