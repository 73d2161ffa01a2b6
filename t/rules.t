# What may be called: keystile_allow, query rules, upgrades, and the path that
# goes upstream.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-77aa';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-client']}]});
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_inject      openai;
    keystile_admit       any;

    server {
        listen 127.0.0.1:%%PORT%%;
        keystile_allow GET /v1/outer;
        keystile_allow GET /inherits/outer;

        location /v1/ {
            keystile_allow GET,POST /v1/responses;
            keystile_allow GET      /v1/responses websocket;
            keystile_allow GET      /v1/responses/*;
            keystile_allow POST     /v1/responses/*/cancel;
            keystile_allow DELETE   /v1/responses/**;
            keystile_allow POST     /v1/responses/special;
            keystile_allow GET      /v1/responses/*/items;
            keystile_allow POST     /v1/*/pinned/items;
            keystile_allow GET      /v1/realtime websocket;
            keystile_allow GET      /v1/models query=client_version,limit;
            keystile_allow GET      /v1/open query=*;
            keystile_allow GET      /v1/azure
                           to=/openai/deployments/x?api-version=2025-01-01;
            keystile_allow GET      /v1/fixed query=include to=/f?api-version=1;
            keystile_allow GET      /v1/loose query=* to=/l?api-version=1;
            keystile_allow GET      /v1/swap/*/x to=/other/*/y;
            keystile_allow GET      /v1/two/*/* to=/t/*/and/*;
            keystile_allow GET      /v1/rest/** to=/r/**;
            keystile_allow GET      /v1/plainly/* to=/p;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /inherits/ { keystile_pass http://%%PROVIDER%%; }
        location /closed/ {
            keystile_admit team;
            keystile_allow GET /closed/a;
            keystile_allow GET /closed/b websocket;
            keystile_pass  http://%%PROVIDER%%;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_BASE%%;
        keystile_allow GET /responses;
        keystile_allow GET /v1/responses;
        keystile_allow GET /v1x;
        keystile_allow GET /v1;
        keystile_allow GET /from to=/to;
        keystile_allow GET /from/v1 to=/v1/to;
        location / { keystile_pass http://%%PROVIDER%%/v1; }
    }

    server {
        listen 127.0.0.1:%%PORT_SLASH%%;
        keystile_allow GET /responses;
        keystile_allow GET /v1/responses;
        location / { keystile_pass http://%%PROVIDER%%/v1/; }
    }
CONF

my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub call ($method, $target, %more) {
    return request($nginx->port, method => $method, target => $target, %more);
}

# Admitted, and forwarded as `$sent`.
sub goes_to ($sent, $name, $response) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $request = $verdict->admitted($name, $response) or return;
    is $request->target, $sent, "$name: as $sent";
    return;
}

sub bounces ($name, $response, @refusal) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $verdict->refused($name, $response, @refusal);
    return;
}

subtest 'methods and paths' => sub {
    my @allowed = (
        'GET /v1/responses',
        'POST /v1/responses',
        'GET /v1/responses/resp_1',
        'GET /v1/responses/a%20b',
        'POST /v1/responses/resp_1/cancel',
        'POST /v1/responses/special',
        'DELETE /v1/responses/a/b/c',
        'DELETE /v1/responses/a/cancelled',
        'GET /v1/responses/a/items',
    );
    goes_to((split / /)[1], $_, call(split / /)) for @allowed;

    my %methods = (
        'PUT /v1/responses'              => 'GET POST',
        'FOO /v1/responses'              => 'GET POST',
        'OPTIONS /v1/responses'          => 'GET POST',
        'DELETE /v1/responses/resp_1'    => 'GET',
        'GET /v1/responses/special'      => 'POST',
        'DELETE /v1/responses/a/cancel'  => 'POST',
        'POST /v1/responses/a/b/c'       => 'DELETE',
        'GET /v1/responses/a/cancel'     => 'POST',
        'POST /v1/responses/pinned/items' => 'GET',
        'POST /v1/models'                => 'GET',
    );
    for my $line (sort keys %methods) {
        my $r = call(split / /, $line);
        bounces $line, $r, 405, 'method_not_allowed';
        is join(' ', sort map { uc } $r->tokens('allow')), $methods{$line},
            "$line: Allow";
    }

    my @unknown = qw(/v1/ /v1/respons /v1/responsesX /v1/Responses
        /v1/models/ /v1/models/x /v1/outer /v1/swap/x
        /v1/swap/a/b/x /v1/rest /v1/two/a /v1/*);
    bounces "GET $_", call('GET', $_), 403, 'path_not_allowed' for @unknown;

    $verdict->refused('a method in lower case', call('get', '/v1/models'), 400);
    $verdict->refused('TRACE', call('TRACE', '/v1/models'), 405);
};

subtest 'the innermost list applies' => sub {
    goes_to '/inherits/outer', 'an outer rule where there is no other',
        call('GET', '/inherits/outer');
    bounces 'none of the location that has its own',
        call('GET', '/inherits/responses'), 403, 'path_not_allowed';
};

subtest 'the rule comes before the client' => sub {
    bounces 'a bad target, no key', call('GET', '/closed/x/../a'),
        400, 'bad_request_target';
    bounces 'an unknown path, no key', call('GET', '/closed/c'),
        403, 'path_not_allowed';
    bounces 'an unknown method, no key', call('POST', '/closed/a'),
        405, 'method_not_allowed';
    bounces 'an upgrade, no key',
        Wire->handshake($nginx->port, target => '/closed/a')->message,
        426, 'websocket_not_allowed';
    bounces 'a known path, no key', call('GET', '/closed/a'),
        401, 'invalid_api_key';
};

subtest 'queries' => sub {
    my @allowed = qw(/v1/models /v1/models?client_version=0.1
        /v1/models?limit=5&client_version=0.1 /v1/models?limit
        /v1/models?client%5Fversion=%2F%00%zz /v1/models?%6Cimit=1
        /v1/models?limit=key=api_key /v1/open?a=1&b=%2f..%2f&c /v1/open
        /v1/open?monkey=1&keys=2 /v1/open?a=;b /v1/open?a=//../b?c);
    goes_to $_, $_, call('GET', $_) for @allowed;

    my @refused = qw(/v1/responses?x=1 /v1/responses?limit=1
        /v1/models?other=1 /v1/models?client_version=1&other=2
        /v1/models?Limit=1 /v1/models?client%255Fversion=1
        /v1/models?limit%00=1 /v1/models?=1
        /v1/responses/a?include=x /v1/azure?api-version=1);
    my @keys = qw(key api_key apiKey access_token %6bey api%5Fkey api%5fKEY
        %61%70%69%4B%65%79 access%5Ftoken oauth_token bearer_token
        OAuthToken bearer%2dtoken);
    push @refused, map { ("/v1/open?$_=sk", "/v1/open?a=1&$_=sk",
        "/v1/open?$_", "/v1/models?$_=sk") } @keys;
    push @refused, '/v1/open?a=1;key=sk', '/v1/open?a=1?&key=sk';
    bounces $_, call('GET', $_), 403, 'path_not_allowed' for @refused;
};

# The connection line and the upgrade line, as a browser or a proxy may write
# them; each is a WebSocket handshake.
my @HANDSHAKES = (
    [Connection => 'Upgrade', Upgrade => 'websocket'],
    [connection => 'upgrade', upgrade => 'WebSocket'],
    [Connection => 'keep-alive, Upgrade', Upgrade => 'websocket'],
    [Connection => 'keep-alive', Connection => 'Upgrade',
        Upgrade => 'websocket'],
    [Connection => 'Upgrade', Connection => 'keep-alive',
        Upgrade => 'websocket'],
    [Connection => 'Upgrade', Upgrade => 'websocket, h2c'],
    [Connection => 'Upgrade', Upgrade => 'h2c,websocket'],
    [Connection => 'Upgrade', Upgrade => 'h2c', Upgrade => 'websocket'],
);

# And each of these is none: plain HTTP.
my @NO_HANDSHAKES = (
    [Connection => 'Upgrade', Upgrade => 'h2c'],
    [Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c',
        'HTTP2-Settings' => 'AAMAAABkAAQAAP__'],
    [Connection => 'Upgrade', Upgrade => 'TLS/1.0, foo'],
    [Connection => 'Upgrade', Upgrade => 'websockets'],
    [Connection => 'close',   Upgrade => 'websocket'],
    [Connection => 'Upgraded', Upgrade => 'websocket'],
    [Connection => 'Upgrade'],
);

sub shake ($target, @headers) {
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => $target, headers => [
        @headers,
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key'     => 'c2l4dGVlbiBieXRlcyBvaw==',
    ]));
    $wire->await_head;
    return $wire;
}

subtest 'upgrades' => sub {
    for my $headers (@HANDSHAKES) {
        my $name = join ' ', @$headers;
        $provider->answer(sub ($request) { $request->accept_websocket });
        my $wire = shake('/v1/responses', @$headers);
        $verdict->admitted("allowed: $name", $wire->message, 101);
        $provider->answer(sub ($request) { $request->reply(200) });

        $wire = shake('/v1/models', @$headers);
        bounces "not allowed: $name", $wire->response,
            426, 'websocket_not_allowed';
        is_deeply [$wire->message->tokens('connection')], ['close'],
            'says Connection: close';
        is $wire->await_end, 'eof', 'and closes';
    }
    for my $headers (@NO_HANDSHAKES) {
        my $name = join ' ', @$headers;
        my $wire = shake('/v1/responses', @$headers);
        my $request
            = $verdict->admitted("plain: $name", $wire->response) or next;
        ok !defined $request->header('upgrade'), 'no upgrade goes up';
        bounces "not on a path for WebSocket: $name",
            shake('/v1/realtime', @$headers)->response,
            405, 'method_not_allowed';
    }
    bounces 'a handshake with a body', Wire->handshake($nginx->port,
        target => '/v1/responses', body => 'GET /v1/x HTTP/1.1')->message,
        400, 'bad_request_body';
    bounces 'a plain GET on a path for WebSocket', call('GET', '/v1/realtime'),
        405, 'method_not_allowed';
    bounces 'a POST there', call('POST', '/v1/realtime', body => '{}'),
        405, 'method_not_allowed';
};

subtest 'to=' => sub {
    goes_to '/openai/deployments/x?api-version=2025-01-01',
        'fixed arguments', call('GET', '/v1/azure');
    goes_to '/f?api-version=1', 'fixed arguments next to an allowed query',
        call('GET', '/v1/fixed');
    my $request = $verdict->admitted('both',
        call('GET', '/v1/fixed?include=a%2Fb'));
    is_deeply [sort split /[?&]/, $request->target],
        ['/f', 'api-version=1', 'include=a%2Fb'], 'arrive';
    bounces "a fixed argument is not the client's to send",
        call('GET', "/v1/loose?$_=9"), 403, 'path_not_allowed'
        for qw(api-version api%2Dversion);
    goes_to '/other/abc/y', 'one segment', call('GET', '/v1/swap/abc/x');
    goes_to '/other/a%20b%C3%A9/y', 'its bytes as they are',
        call('GET', '/v1/swap/a%20b%C3%A9/x');
    goes_to '/t/1/and/2', 'two segments', call('GET', '/v1/two/1/2');
    goes_to '/r/a/b%20/c', 'the rest', call('GET', '/v1/rest/a/b%20/c');
    goes_to '/p', 'no wildcard', call('GET', '/v1/plainly/gone');
};

subtest 'the base path of keystile_pass' => sub {
    my %base = (
        '/responses'    => '/v1/responses',
        '/v1/responses' => '/v1/responses',
        '/v1x'          => '/v1/v1x',
        '/v1'           => '/v1',
        '/from'         => '/v1/to',
        '/from/v1'      => '/v1/to',
    );
    goes_to $base{$_}, "$_ over /v1",
        request($nginx->port('_BASE'), target => $_) for sort keys %base;
    goes_to '/v1/responses', "$_ over /v1/",
        request($nginx->port('_SLASH'), target => $_)
        for qw(/responses /v1/responses);
};

$nginx->stop;
done_testing;
