# keystile_credential with format=codex-auth: what goes up for an auth.json, to
# the byte, and what of a client's own does not.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use CodexAuth;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY       = 'sk-test-provider-3b1f';
my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
my $auth      = auth();
my $fedramp   = auth(fedramp => 1, account => 'acc-fedramp');
my $opaque    = auth(opaque => 1);
delete $opaque->{tokens}{account_id};
# Not even at this level may a token be logged.
my $nginx = Nginx->new(log_level => 'debug');
$nginx->key_file('openai.key', $KEY);
$nginx->auth_file('auth.json',    $auth);
$nginx->auth_file('fedramp.json', $fedramp);
$nginx->auth_file('opaque.json',  $opaque);
$nginx->file('apikey.json',
    qq({"auth_mode":"apikey","OPENAI_API_KEY":"$KEY"}), 0600);
$nginx->start(<<'CONF',
    keystile_credential chatgpt %%DIR%%/auth.json    format=codex-auth
                        to=127.0.0.1 to=api.example.com;
    keystile_credential fedramp %%DIR%%/fedramp.json format=codex-auth;
    keystile_credential opaque  %%DIR%%/opaque.json  format=codex-auth;
    keystile_credential apikey  %%DIR%%/apikey.json  format=codex-auth;
    keystile_credential openai  %%DIR%%/openai.key   format=raw;
    keystile_admit      any;
    keystile_allow      GET,POST /*/responses;
    upstream tls { server %%SECURE%%; keepalive 4; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /chatgpt/ {
            keystile_allow  GET,POST /*/responses;
            keystile_allow  GET /chatgpt/socket websocket;
            keystile_inject chatgpt; keystile_pass http://%%PLAIN%%;
        }
        location /fedramp/ {
            keystile_inject fedramp; keystile_pass http://%%PLAIN%%;
        }
        location /opaque/ {
            keystile_inject opaque; keystile_pass http://%%PLAIN%%;
        }
        location /apikey/ {
            keystile_inject apikey; keystile_pass http://%%PLAIN%%;
        }
        location /openai/ {
            keystile_inject openai; keystile_pass http://%%PLAIN%%;
        }
        location /tls/ {
            keystile_inject   chatgpt;
            keystile_pass     https://tls;
            keystile_ssl_name api.example.com;
            keystile_ssl_trusted_certificate %%CA%%;
        }
        location = /healthz { keystile_health; }
    }
CONF
    PLAIN  => $provider->address,
    SECURE => $secure->address,
    CA     => $authority->cert);

# Every spelling of the headers that a client might choose an account by.
my @OWN = map { $_ => 'leak-77aa' } 'ChatGPT-Account-ID', 'chatgpt-account-id',
    'chatgpt_account_id', 'CHATGPT_Account-Id', 'X-OpenAI-Fedramp',
    'x_openai_fedramp', 'X-OPENAI_FEDRAMP';

# The names of headers that carry what is injected, in whatever spelling.
sub injected ($request) {
    return [grep { /\A(?:authorization|chatgpt.account.id|x.openai.fedramp)\s*:/i }
            split /\r\n/, $request->head];
}

sub verdict ($key, $of = $provider) {
    return Verdict->new(provider => $of, key => $key,
        secrets => ['leak-77aa', 'sk-test-client']);
}

sub goes_up ($name, $target, $lines, %with) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($token) = $lines->[0] =~ /Bearer (.*)/;
    my $verdict = verdict($token, $with{provider} // $provider);
    my $request = $verdict->admitted($name, request($nginx->port,
        target  => $target,
        headers => [Authorization => 'Bearer sk-test-client',
            @{$with{headers} // []}])) or return;
    is_deeply injected($request), $lines, "$name: these lines, once";
    unlike $request->head, qr/rt_test-|ada\@example/, "$name: and no more";
    return;
}

subtest 'header lines' => sub {
    for my $headers ([], \@OWN) {
        my @with = (headers => $headers);
        goes_up('ChatGPT', '/chatgpt/responses', [lines_of($auth)], @with);
        goes_up('over TLS', '/tls/responses', [lines_of($auth)], @with,
            provider => $secure);
        goes_up('FedRAMP', '/fedramp/responses',
            [lines_of($fedramp, fedramp => 1)], @with);
        goes_up('an opaque token, the account of a claim',
            '/opaque/responses',
            ["Authorization: Bearer $opaque->{tokens}{access_token}",
                'ChatGPT-Account-ID: acc-0c1d2e3f'], @with);
        goes_up('an API key', '/apikey/responses',
            ["Authorization: Bearer $KEY"], @with);
    }
};

subtest 'with another credential they are like other headers' => sub {
    my $verdict = Verdict->new(provider => $provider, key => $KEY);
    my $request = $verdict->admitted('format=raw', request($nginx->port,
        target => '/openai/responses',
        headers => ['ChatGPT-Account-ID' => 'acc-own']));
    is $request->header('chatgpt-account-id'), 'acc-own', 'one goes up';
};

subtest 'a WebSocket' => sub {
    $provider->answer(sub ($request) { $request->accept_websocket });
    my $wire = Wire->handshake($nginx->port, target => '/chatgpt/socket',
        headers => [@OWN]);
    verdict($auth->{tokens}{access_token});
    is $wire->message->status, 101, 'is opened';
    is_deeply injected($provider->last), [lines_of($auth)], 'with the lines';
    unlike $provider->last->head, qr/leak-77aa/, 'and none of its own';
    $wire->close;
    $provider->forget;
};

subtest 'a token that the provider refuses' => sub {
    my $last = substr $auth->{tokens}{access_token}, -24;
    $provider->answer(sub ($request) { $request->reply(401) });
    my $r = request($nginx->port, target => '/chatgpt/responses');
    is $r->status, 503, '401 becomes 503';
    is $r->json->{error}{code}, 'upstream_credential_rejected', 'and ours';
    ok $r->header('retry-after'), 'to be tried again';
    $provider->forget->answer(sub ($request) {
        $request->reply(403, undef, qq({"detail":"$last"}));
    });
    $r = request($nginx->port, target => '/chatgpt/responses');
    is $r->status, 403, 'a 403 is one';
    is $r->json->{error}{code}, 'upstream_forbidden', 'but ours, too';
    unlike $r->body, qr/\Q$last\E/, 'with nothing of the token';
    $provider->forget;
};

subtest 'a reload' => sub {
    my $next = auth(account => 'acc-next');
    $nginx->auth_file('auth.json', $next);
    goes_up('before', '/chatgpt/responses', [lines_of($auth)]);
    is $nginx->reload, '', 'takes another file';
    goes_up('after', '/chatgpt/responses', [lines_of($next)]);
    goes_up('after, over TLS', '/tls/responses', [lines_of($next)],
        provider => $secure);

    $nginx->file('auth.json', '{"tokens":{}}', 0600);
    like $nginx->reload, qr/chatgpt[^\n]*auth\.json[^\n]*access_token/,
        'refuses a bad one';
    goes_up('the old one stays', '/chatgpt/responses', [lines_of($next)]);
    is request($nginx->port, target => '/healthz')->status, 200, 'and is good';
};

$nginx->tolerate(qr/auth\.json/)->stop;
done_testing;
