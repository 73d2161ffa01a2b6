# What could have no effect, or none but a bad one, is refused by `nginx -t`:
# two directives for one request, rules that nothing can match, a client's
# credential sent on.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Configuration;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY    = 'sk-test-provider-0f1e';
my $CLIENT = 'sk-test-client-77ab';
my $nginx  = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => [$CLIENT]}]});
configure_with($nginx, $KEY);

subtest 'two directives that take the requests' => sub {
    my @others = ('proxy_pass http://127.0.0.1:9', 'fastcgi_pass 127.0.0.1:9',
        'stub_status', 'keystile_health');
    for my $other (@others) {
        my ($name) = split / /, $other;
        fails "keystile_pass and $name", 'keystile_pass|is duplicate',
            pass => piece('pass') . " $other;";
        fails "$name and keystile_pass", "keystile_|$name",
            pass => "$other; " . piece('pass');
    }
    fails "keystile_health and $_", 'keystile_health|is duplicate',
        more => "} location = /h { keystile_health; $_;"
        for @others;
    passes 'one in a nested location',
        more => 'location /v1/a { proxy_pass http://127.0.0.1:9; }';
    passes 'one in an "if"',
        more => 'if ($arg_a) { proxy_pass http://127.0.0.1:9; }';
};

subtest 'identity=bearer' => sub {
    my $bearer = 'keystile_allow GET /v1/a identity=bearer;';
    fails 'where no identity is asked for', 'identity=bearer',
        allow => $bearer, admit => 'keystile_admit any;', clients => '';
    fails 'among other rules', 'identity=bearer',
        allow => piece('allow') . $bearer,
        admit => 'keystile_admit any;', clients => '';
    fails 'without authorization among the key headers', 'identity=bearer',
        allow => $bearer, more => 'keystile_key_headers x-api-key;';
    fails 'so on an outer level', 'identity=bearer',
        allow => $bearer, server => 'keystile_key_headers x-api-key x-a;';
    passes 'with it', allow => $bearer,
        more => 'keystile_key_headers x-api-key Authorization;';
    passes 'with placeholders', allow => $bearer, clients => '',
        admit => 'keystile_admit placeholder sk-a;';
};

subtest 'a placeholder that no client can send' => sub {
    fails "keystile_admit placeholder $_", 'keystile_admit placeholder',
        admit => "keystile_admit placeholder $_;"
        for '""', '"a b"', 'sk-a ""', '"sk-a "', "\"caf\xC3\xA9\"",
        "\"a\tb\"", '"Bearer sk-a"';
    passes 'all else', admit => 'keystile_admit placeholder a "{b}" c=d;';
};

subtest 'two rules for one method and path' => sub {
    my @twice = (
        ['GET /v1/a',           'GET /v1/a'],
        ['GET /v1/a',           'GET /v1/a query=x'],
        ['GET /v1/a query=x',   'GET /v1/a query=y'],
        ['GET,POST /v1/a',      'POST /v1/a'],
        ['POST,GET /v1/a',      'GET,POST /v1/a to=/v1/b'],
        ['GET /v1/*/a',         'GET /v1/*/a'],
        ['GET /v1/a websocket', 'GET /v1/a websocket query=x'],
    );
    for my $pair (@twice) {
        fails "$pair->[0] and $pair->[1]", 'keystile_allow',
            allow => join ' ', map { "keystile_allow $_;" } @$pair;
    }
    my @sound = (
        ['GET /v1/a',      'GET /v1/a websocket'],
        ['GET /v1/a',      'POST /v1/a'],
        ['GET /v1/a',      'GET /v1/*'],
        ['GET /v1/*',      'GET /v1/a'],
        ['GET /v1/*',      'GET /v1/**'],
        ['GET /v1/a',      'GET /v1/A'],
        ['GET,POST /v1/a', 'PUT,DELETE /v1/a'],
    );
    for my $pair (@sound) {
        passes "$pair->[0] and $pair->[1]",
            allow => join ' ', map { "keystile_allow $_;" } @$pair;
    }
    passes 'the same in two locations', more => join ' ',
        'location /v1/a {',
        (map { piece($_) } qw(admit allow inject pass)), '}';
};

subtest 'a key in the arguments of to=' => sub {
    my $rule = 'keystile_allow GET /x to=/y';
    fails "to=/y?$_", 'keystile_allow', allow => "$rule?$_;"
        for qw(key=abc a=b&key=abc api_key=a api-key=a apiKey=a access_token=a
        KEY=a k%65y=a oauth_token=a bearer_token=a key);
    passes "to=/y?$_", allow => "$rule?$_;"
        for qw(api-version=1 keys=a monkey=a a=key);
};

subtest 'keystile_set_header' => sub {
    fails "Host $_", 'keystile_set_header',
        more => "keystile_set_header Host $_;"
        for qw($http_host $host ${host} a.$arg_b.example);
    passes 'Host with a name of its own',
        more => 'keystile_set_header Host api.example.com;';

    my @credentials = qw($http_authorization ${http_x_api_key} $cookie_x
        $http_cookie $http_api_key $http_x_goog_api_key $http_openai_api_key
        $http_proxy_authorization $http_ocp_apim_subscription_key
        a-$http_authorization ${arg_a}$http_authorization
        $HTTP_AUTHORIZATION $Cookie_x ${Http_X_Api_Key});
    push @credentials, '"a ${http_authorization}b"';
    fails "X-A $_", 'keystile_set_header', more => "keystile_set_header X-A $_;"
        for @credentials;
    fails 'X-A, the key header of the location', 'keystile_set_header',
        more => 'keystile_set_header X-A $http_x_agent_key;'
        . ' keystile_key_headers x-agent-key;';
    fails 'X-A, the header of another credential', 'keystile_set_header',
        http => 'keystile_credential azure %%DIR%%/openai.key'
        . ' header=X-Azure-Key;',
        more => 'keystile_set_header X-A $http_x_azure_key;';
    passes "X-A $_", more => "keystile_set_header X-A $_;"
        for qw($http_user_agent $http_x_tenant $keystile_client
        http_authorization);

    fails $_, 'keystile_set_header', more => "keystile_set_header $_ x;"
        for qw(Sec-WebSocket-Protocol sec_websocket_protocol Expect TE Trailer
        Ocp-Apim-Subscription-Key);
};

subtest 'keystile_key_headers' => sub {
    my @no_keys = qw(host accept accept-encoding Accept_Encoding content-type
        content-encoding expect sec-websocket-protocol cookie x-request-id
        trailer keep-alive);
    fails "authorization $_", 'keystile_key_headers',
        more => "keystile_key_headers authorization $_;"
        for @no_keys;
};

my $provider = Provider->new;
my $other    = Provider->new;
$nginx->start(<<'CONF', ONE => $provider->address, TWO => $other->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_allow       GET /v1/a query=plain,x;
    keystile_inject      openai;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ {
            keystile_pass http://%%ONE%%;
            if ($arg_plain) { proxy_pass http://%%TWO%%; }
            if ($arg_x)     { set $x 1; }
        }
    }
CONF
my $verdict = Verdict->new(
    provider => $provider, key => $KEY, secrets => [$CLIENT]);

subtest 'a proxy_pass in an "if"' => sub {
    my $r = request($nginx->port, target => '/v1/b?plain=1');
    $verdict->refused('takes what the "if" is true for', $r, 200);
    my ($request) = @{$other->requests};
    is $request && $request->target, '/v1/b?plain=1', 'and passes it on';
    is $request->header('authorization'), undef, 'without a credential';
    is $r->header('x-request-id'), undef, 'and without an id of ours';
    $verdict->admitted('the rest is ours', request($nginx->port,
            target  => '/v1/a',
            headers => [Authorization => "Bearer $CLIENT"]));
    $verdict->admitted('so is it in another "if"', request($nginx->port,
            target  => '/v1/a?x=1',
            headers => [Authorization => "Bearer $CLIENT"]));
    $verdict->refused('with its rules',
        request($nginx->port, target => '/v1/a?x=1'), 401, 'invalid_api_key');
    is scalar @{$other->requests}, 1, 'and none of it goes elsewhere';
};

$nginx->stop;
done_testing;
