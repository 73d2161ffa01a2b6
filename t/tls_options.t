# The keystile_ssl_* directives, as the provider sees them take effect.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use IO::Socket::SSL;
use Nginx;
use Provider;
use Wire;

my $KEY     = 'sk-test-provider-31c7';
my $NAME    = 'api.example.com';
my $trust   = Authority->new;
my $clients = Authority->new(name => 'CA of clients');
my $leaf    = $trust->issue($NAME);
my $own     = $clients->issue('broker');
my $strange = $trust->issue('broker');

sub provider (%tls) { return Provider->new(tls => {%$leaf, %tls}) }

# One that remembers its sessions from one connection to the next.
sub remembering ($version) {
    return provider(options => {SSL_reuse_ctx => IO::Socket::SSL::SSL_Context
        ->new(SSL_server => 1, SSL_cert_file => $leaf->{cert},
            SSL_key_file => $leaf->{key}, SSL_version => $version)});
}

my %PROVIDERS = (
    any      => provider(),
    tls12    => provider(options => {SSL_version => 'TLSv1_2'}),
    tls13    => provider(options => {SSL_version => 'TLSv1_3'}),
    asking   => provider(client_ca => $clients->cert),
    memory12 => remembering('TLSv1_2'),
    memory13 => remembering('TLSv1_3'),
);

my $OPENING = <<'CONF';
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /**;
    keystile_inject     openai;
    keystile_next_upstream off;
    keystile_ssl_name   api.example.com;
    keystile_ssl_trusted_certificate %%CA%%;
    server {
        listen 127.0.0.1:%%PORT%%;
CONF

# location => [provider, more configuration, outcome]: a status, or what must
# be true of the provider's end of the connection.
my $CHACHA = 'ECDHE-ECDSA-CHACHA20-POLY1305';
my %LOCATIONS = (
    version_any   => ['any', '',
        sub ($tls) { $tls->get_sslversion eq 'TLSv1_3' }],
    version_12    => ['tls12', '',
        sub ($tls) { $tls->get_sslversion eq 'TLSv1_2' }],
    version_13    => ['tls13', '',
        sub ($tls) { $tls->get_sslversion eq 'TLSv1_3' }],
    only_12       => ['any', 'keystile_ssl_protocols TLSv1.2;',
        sub ($tls) { $tls->get_sslversion eq 'TLSv1_2' }],
    not_12        => ['tls12', 'keystile_ssl_protocols TLSv1.3;', 502],
    not_13        => ['tls13', 'keystile_ssl_protocols TLSv1.2;', 502],
    ciphers       => ['tls12', "keystile_ssl_ciphers $CHACHA;",
        sub ($tls) { $tls->get_cipher eq $CHACHA }],
    no_ciphers    => ['tls12', 'keystile_ssl_ciphers AES128-SHA;', 502],
    command       => ['tls13', 'keystile_ssl_conf_command Ciphersuites '
            . 'TLS_CHACHA20_POLY1305_SHA256;',
        sub ($tls) { $tls->get_cipher eq 'TLS_CHACHA20_POLY1305_SHA256' }],
    certificate   => ['asking', 'keystile_ssl_certificate %%OWN%%; '
            . 'keystile_ssl_certificate_key %%OWN_KEY%%;',
        sub ($tls) { $tls->peer_certificate('commonName') eq 'broker' }],
    strange       => ['asking', 'keystile_ssl_certificate %%STRANGE%%; '
            . 'keystile_ssl_certificate_key %%STRANGE_KEY%%;', 502],
    none          => ['asking', '', 502],
    unasked       => ['any', 'keystile_ssl_certificate %%OWN%%; '
            . 'keystile_ssl_certificate_key %%OWN_KEY%%;', sub ($tls) { 1 }],
    reuse_12      => ['memory12', '', sub ($tls) { 1 }],
    reuse_13      => ['memory13', '', sub ($tls) { 1 }],
    no_reuse_12   => ['memory12', 'keystile_ssl_session_reuse off;',
        sub ($tls) { 1 }],
    no_reuse_13   => ['memory13', 'keystile_ssl_session_reuse off;',
        sub ($tls) { 1 }],
);

my $locations = join '', map {
    my ($provider, $more) = @{$LOCATIONS{$_}};
    "location /$_/ { $more keystile_pass https://"
        . $PROVIDERS{$provider}->address . "; }\n";
} sort keys %LOCATIONS;

my $nginx = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start("$OPENING $locations }",
    CA          => $trust->cert,
    OWN         => $own->{cert},
    OWN_KEY     => $own->{key},
    STRANGE     => $strange->{cert},
    STRANGE_KEY => $strange->{key});
$nginx->tolerate(qr/SSL_do_handshake\(\) failed|SSL_read\(\) failed/);

# The answer, and the provider's end of the connection that it came over.
sub ask ($location) {
    my $provider = $PROVIDERS{$LOCATIONS{$location}[0]}->forget;
    my $end;
    $provider->answer(sub ($request) {
        $end = $request->connection->handle;
        $request->reply(200);
    });
    my $r = request($nginx->port, target => "/$location/responses");
    return ($r, $end);
}

for my $location (sort keys %LOCATIONS) {
    my ($provider, $more, $expected) = @{$LOCATIONS{$location}};
    my $name = "$location: $provider, " . ($more || 'the defaults');
    my ($r, $end) = ask($location);
    ref $expected
        ? ok($r->status == 200 && $end && $expected->($end), $name)
        : is($r->status, $expected, $name);
}

# A session is only of use to the next connection once its ticket has come,
# with the first answer at the latest.
for my $version (12, 13) {
    for my $location ("no_reuse_$version", "reuse_$version") {
        ask($location);
        my ($r, $end) = ask($location);
        is $r->status, 200, "$location, once more";
        is !!$end->get_session_reused, $location =~ /^reuse/,
            'with the session of before, or not';
    }
}

subtest 'configurations' => sub {
    my @cases = (
        ['keystile_ssl_protocols SSLv3;'         => 1],
        ['keystile_ssl_protocols TLSv1;'         => 1],
        ['keystile_ssl_protocols TLSv1.1;'       => 1],
        ['keystile_ssl_ciphers NOTHING;'         => 1],
        ['keystile_ssl_certificate %%OWN%%;'     => 1],
        ['keystile_ssl_conf_command Nothing 1;'  => 1],
        ['keystile_ssl_certificate %%OWN%%; '
            . 'keystile_ssl_certificate_key %%OWN_KEY%%;' => 0],
        ['keystile_ssl_certificate %%OWN%%; '
            . 'keystile_ssl_certificate_key %%STRANGE_KEY%%;' => 1],
    );
    for my $case (@cases) {
        my ($more, $expected) = @$case;
        my ($exit, $said) = $nginx->test_config("$OPENING location / { $more"
            . ' keystile_pass https://127.0.0.1; } }');
        is $exit, $expected, $more or diag $said;
    }
};

$nginx->stop;
done_testing;
