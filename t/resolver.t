# Names that are resolved at run time, by nginx's own resolver.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Dns;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY       = 'sk-test-provider-a8d4';
my $authority = Authority->new;
my $leaf      = $authority->issue('api.example.com');
my $first     = Provider->new(tls => $leaf);
my $second    = Provider->new(
    tls => $leaf, host => '127.0.0.2', port => $first->port);
my $plain = Provider->new;
my $dns   = Dns->new(names => {
    'api.example.com'   => ['127.0.0.1'],
    'other.example.com' => ['127.0.0.1'],
    'plain.example.com' => ['127.0.0.1'],
    'dead.example.com'  => ['127.0.0.3', '127.0.0.1'],
    'none.example.com'  => [],
    'mute.example.com'  => undef,
});
my $nginx = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /**;
    keystile_inject     openai;
    keystile_ssl_trusted_certificate %%CA%%;
    resolver            %%DNS%% ipv6=off;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /api/ { keystile_pass https://api.example.com:%%TLS%%; }
        location /base/ {
            keystile_pass https://api.example.com:%%TLS%%/openai;
        }
        location /other/ { keystile_pass https://other.example.com:%%TLS%%; }
        location /plain/ {
            keystile_pass http://plain.example.com:%%PLAIN%%
                          insecure_upstream=on;
        }
        location /dead/ {
            keystile_ssl_name api.example.com;
            keystile_pass https://dead.example.com:%%TLS%%;
        }
        location /none/ { keystile_pass https://none.example.com; }
        location /mute/ {
            resolver_timeout 200ms;
            keystile_pass https://mute.example.com;
        }
        location /unknown/ { keystile_pass https://unknown.example.com; }
    }
CONF
    CA    => $authority->cert,
    DNS   => $dns->address,
    PLAIN => $plain->port,
    TLS   => $first->port);

sub ask ($place, %request) {
    return request($nginx->port, target => "/$place/responses", %request);
}

is_deeply $dns->asked, [], 'nothing is asked before there is a request';

subtest 'a name' => sub {
    my $verdict = Verdict->new(provider => $first, key => $KEY);
    my $request = $verdict->admitted('is resolved', ask('api'));
    is $request->connection->server_name, 'api.example.com', 'SNI';
    is $request->header('host'), 'api.example.com:' . $first->port, 'Host';
    is_deeply $dns->asked, ['api.example.com'], 'it was asked for';

    my $body = 'x' x 100_000;
    $request = $verdict->admitted('a POST',
        ask('base', method => 'POST', body => $body));
    is $request->target, '/openai/base/responses', 'with a base path';
    is $request->body, $body, 'and its body';

    is ask('other')->status, 502, 'the certificate is for that name';
    is ask('dead')->status, 200, 'all its addresses are tried';
    $request = Verdict->new(provider => $plain, key => $KEY)
        ->admitted('insecure_upstream=on', ask('plain'));
    is $request->header('host'), 'plain.example.com:' . $plain->port, 'Host';
};

subtest 'an answer that changes is followed' => sub {
    $dns->names->{'api.example.com'} = ['127.0.0.2'];
    my $before = $second->connections;
    await 'a request at the new address', sub {
        is ask('api')->status, 200, 'no request is lost'
            if $second->connections == $before;
        $second->connections > $before;
    };
    pass 'by the next second';
    $dns->names->{'api.example.com'} = ['127.0.0.1'];
    $before = $first->connections;
    await 'a request at the old address', sub {
        ask('api');
        $first->connections > $before;
    };
    pass 'and back';
};

subtest 'no address' => sub {
    for my $place (qw(unknown none mute)) {
        my $r = ask($place);
        is $r->status, 502, $place;
        is $r->json->{error}{code}, 'upstream_unavailable', 'code';
        unlike $r->body, qr/example|resolve/, 'no internals';
    }
};

subtest 'configurations' => sub {
    my $conf = <<'CONF';
        keystile_credential openai %%DIR%%/openai.key;
        keystile_admit any; keystile_allow GET /**; keystile_inject openai;
        server { location / { keystile_pass PASS; } }
CONF
    my @cases = (
        ['https://name.invalid' => 1],
        ['http://plain.example.com' => 1, 'resolver %%DNS%%;'],
        ['http://plain.example.com insecure_upstream=on' => 0,
            'resolver %%DNS%%;'],
        ['https://name.invalid' => 0, 'resolver %%DNS%%;'],
    );
    for my $case (@cases) {
        my ($pass, $expected, $more) = (@$case, '');
        my ($exit, $said)
            = $nginx->test_config($more . $conf =~ s/PASS/$pass/r);
        is $exit, $expected, "$pass $more" or diag $said;
    }
};

$nginx->stop;
done_testing;
