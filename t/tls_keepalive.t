# Connections and TLS sessions that are kept. nginx keeps both by address; a
# location must never use what another one, which trusts another authority or
# another name, has opened.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use IO::Socket::SSL;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY = 'sk-test-provider-64fe';
my $one = Authority->new;
my $two = Authority->new(name => 'Another CA');

# By SNI: a.example.com is of the first authority, b.example.com of the other.
my %leafs = (
    'a.example.com' => $one->issue('a.example.com'),
    'b.example.com' => $two->issue('b.example.com'),
);

# Remembers its sessions from one connection to the next.
sub provider ($version) {
    my %files = map {
        my $what = $_;
        ("SSL_${what}_file" => {
            '' => $leafs{'a.example.com'}{$what},
            map { $_ => $leafs{$_}{$what} } keys %leafs,
        })
    } qw(cert key);
    return Provider->new(tls => {%{$leafs{'a.example.com'}},
        options => {SSL_reuse_ctx => IO::Socket::SSL::SSL_Context->new(
            SSL_server => 1, SSL_version => $version, %files)}});
}

my %PROVIDERS = (12 => provider('TLSv1_2'), 13 => provider('TLSv1_3'));

# Connections are kept in groups; from 1.29.7 on, in any group.
# Who trusts whom: a, b and right do; the others must never get through.
my %TRUST = (
    a        => ['a.example.com', 'ONE'],
    b        => ['b.example.com', 'TWO'],
    right    => ['a.example.com', 'ONE', 'keystile_ssl_ciphers HIGH;'],
    wrong_ca => ['a.example.com', 'TWO'],
    nameless => ['c.example.com', 'ONE'],
    crossed  => ['b.example.com', 'ONE'],
);
my $locations = '';
for my $version (sort keys %PROVIDERS) {
    for my $trust (sort keys %TRUST) {
        my ($name, $ca, $more) = (@{$TRUST{$trust}}, '');
        my %to = (kept => "kept$version", closed => "%%TLS$version%%");
        for my $what (sort keys %to) {
            $locations .= "location /$what$version/$trust/ { $more
                keystile_ssl_name $name;
                keystile_ssl_trusted_certificate %%$ca%%;
                keystile_pass https://$to{$what}; }\n";
        }
    }
}

my $nginx = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF' . "$locations }",
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /**;
    keystile_inject     openai;
    keystile_request_buffering on;
    upstream kept12   { server %%TLS12%%; keepalive 8; }
    upstream kept13   { server %%TLS13%%; keepalive 8; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_ssl_name a.example.com;
            keystile_ssl_trusted_certificate %%ONE%%;
            keystile_pass https://kept13;
        }
CONF
    ONE   => $one->cert,
    TWO   => $two->cert,
    TLS12 => $PROVIDERS{12}->address,
    TLS13 => $PROVIDERS{13}->address);
$nginx->tolerate(qr/SSL_do_handshake\(\) failed/);

my %verdicts = map {
    $_ => Verdict->new(provider => $PROVIDERS{$_}, key => $KEY)
} keys %PROVIDERS;

# A request that must get through, to the right server. Returns the provider's
# end of the connection.
sub passes ($version, $target, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = request($nginx->port, target => "$target/responses", %request);
    my $request = $verdicts{$version}->admitted($target, $r) or return;
    my ($name) = $target =~ m{/b\z} ? 'b.example.com' : 'a.example.com';
    is $request->connection->server_name, $name, 'by a connection to its name';
    is $request->body, $request{body} // '', 'whole';
    return $request->connection;
}

sub fails ($version, $target, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $provider = $PROVIDERS{$version};
    my $before   = @{$provider->requests};
    my $r = request($nginx->port, target => "$target/responses", %request);
    is $r->status, 502, "$target fails";
    is @{$provider->requests} - $before, 0, 'and nothing was sent';
    return;
}

my %REQUESTS = (
    GET => [],
    POST => [method => 'POST', body => '{"input":"hello"}'],
    'a POST from a file' => [method => 'POST', body => 'x' x 300_000],
);

for my $version (sort keys %PROVIDERS) {
    my ($kept, $closed) = ("/kept$version", "/closed$version");
    my $tls = 'TLS 1.' . $version % 10;

    subtest "$tls: one connection for all of a location" => sub {
        my $provider = $PROVIDERS{$version};
        my $first    = passes($version, "$kept/a");
        my $before   = $provider->connections;
        is passes($version, "$kept/a", @{$REQUESTS{$_}}), $first, $_
            for sort keys %REQUESTS, keys %REQUESTS;
        is $provider->connections, $before, 'no other was opened';
    };

    subtest "$tls: kept connections of another location" => sub {
        for my $name (sort keys %REQUESTS) {
            my @request = @{$REQUESTS{$name}};
            note $name;
            for (1 .. 3) {
                passes($version, "$kept/$_", @request) for qw(a b right);
                fails($version, "$kept/$_", @request)
                    for qw(wrong_ca nameless crossed);
            }
        }
    };

    subtest "$tls: sessions of another location" => sub {
        for (1 .. 3) {
            passes($version, "$closed/a") for 1 .. 2;
            fails($version, "$closed/$_") for qw(wrong_ca nameless crossed);
            passes($version, "$closed/$_") for qw(b a right b);
            fails($version, "$closed/$_") for qw(crossed wrong_ca);
        }
    };

    subtest "$tls: sessions are resumed, in their location" => sub {
        passes($version, "$closed/a");
        my $connection = passes($version, "$closed/a") or return;
        ok $connection->handle->get_session_reused, 'the second time';
    };
}

my %UPLOADS = (
    'Content-Length: 9'          => ['hello', 'more'],
    'Transfer-Encoding: chunked' =>
        ["5\r\nhello\r\n", "4\r\nmore\r\n0\r\n\r\n"],
);
for my $framing (sort keys %UPLOADS) {
    subtest "a body that is passed as it comes, $framing" => sub {
        passes(13, '/kept13/b') for 1 .. 2;
        my ($first, $second) = @{$UPLOADS{$framing}};
        my $wire = Wire->connect($nginx->port);
        $wire->write("POST /unbuffered/responses HTTP/1.1\r\nHost: a\r\n"
            . "$framing\r\n\r\n$first");
        await 'the first part', sub {
            $wire->ended || $wire->message->head_complete
                || $PROVIDERS{13}->last->body eq 'hello';
        };
        $wire->write($second);
        my $request = $verdicts{13}->admitted('whole', $wire->response)
            // return;
        is $request->body, 'hellomore', 'the body';
        is $request->connection->server_name, 'a.example.com',
            'by a connection of its own';
    };
}

$nginx->stop;
done_testing;
