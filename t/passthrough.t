# keystile_inject passthrough: the caller's own credential for the provider goes
# up as it came; a key of the gateway's, or a placeholder, never does.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Nginx;
use Provider;
use Wire;

my $KEY      = 'sk-test-provider-88c1';
my $CLIENT   = 'sk-test-client-41d0';
my $EXPIRED  = 'sk-test-expired-63b9';
my $GUEST    = 'sk-test-guest-9f02';
my $HELD     = 'sk-test-placeholder';
my $OTHER    = 'sk-test-stands-for-it';
my $OWN      = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0.c2lnbmF0dXJl';
my $leaf     = Authority->new;
my $provider = Provider->new;
my $secure   = Provider->new(tls => $leaf->issue('localhost'));
my $closed   = Provider->new->close;
my $nginx    = Nginx->new(
    log => '$uri $status $keystile_credential $keystile_decision');
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [
    {id => 'ci',  keys => [$CLIENT]},
    {id => 'old', keys => [$EXPIRED], expires => '2020-01-01T00:00:00Z'},
]});
$nginx->client_file({clients => [{id => 'guest', keys => [$GUEST]}]},
    'guests.json');
$nginx->start(<<'CONF',
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_client_keys guests %%DIR%%/guests.json;
    keystile_allow       GET,POST /**;
    keystile_allow       GET /socket/* websocket;
    keystile_ssl_trusted_certificate %%CA%%;
    keystile_ssl_name    localhost;
    upstream two { server %%CLOSED%%; server %%PROVIDER%% backup; }
    server {
        listen 127.0.0.1:%%PORT%%;
        keystile_admit  any;
        keystile_inject passthrough;
        location / { keystile_pass http://%%PROVIDER%%; }
        location /secure/ { keystile_pass https://%%SECURE%%; }
        location /two/    { keystile_pass http://two; }
        location /backed/ {
            keystile_inject passthrough openai;
            keystile_pass   http://%%PROVIDER%%;
        }
        location /team/ {
            keystile_admit  team;
            keystile_inject passthrough openai;
            keystile_pass   http://%%PROVIDER%%;
        }
        location /alone/ {
            keystile_admit  team;
            keystile_pass   http://%%PROVIDER%%;
        }
        location /slots/ {
            keystile_admit       team;
            keystile_key_headers x-gateway-key;
            keystile_pass        http://%%PROVIDER%%;
        }
        location /held/ {
            keystile_admit  placeholder sk-test-placeholder;
            keystile_inject passthrough openai;
            keystile_pass   http://%%PROVIDER%%;
        }
        location /elsewhere/ {
            keystile_admit  placeholder sk-test-stands-for-it;
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
        location /bare/ {
            keystile_inject off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /strict/ {
            keystile_foreign_keys reject;
            keystile_pass http://%%PROVIDER%%;
        }
        location /moved/ {
            keystile_inject passthrough openai;
            error_page 429 = @injected;
            limit_req zone=one;
            limit_req_status 429;
            keystile_pass http://%%PROVIDER%%;
        }
        location @injected {
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
    }
    limit_req_zone $server_port zone=one:1m rate=1r/m;
CONF
    PROVIDER => $provider->address,
    SECURE   => $secure->address,
    CLOSED   => $closed->address,
    CA       => $leaf->cert);

my @GATEWAY = ($KEY, $CLIENT, $EXPIRED, $GUEST, $HELD, $OTHER);

# The one request that the provider got has Authorization once, with that
# value, and nothing else of what could be a key.
sub goes_up ($name, $expected, $path, @headers) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $to = $path =~ m{\A/secure} ? $secure : $provider;
    $to->forget;
    my $r = request($nginx->port, target => $path, headers => \@headers);
    is $r->status, 200, "$name: admitted" or diag $r->body;
    is scalar @{$to->requests}, 1, 'one request';
    my $head = $to->last->head;
    is_deeply [$to->last->all('authorization')], [$expected], 'its credential';
    my $rest = $head =~ s/^Authorization: [^\r\n]*\r\n//mr;
    is_deeply [grep { index($rest, $_) >= 0 } @GATEWAY, $OWN], [], 'once';
    return $to->last;
}

sub refused ($name, $status, $code, $path, @headers) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = $provider->connections;
    my $r = request($nginx->port, target => $path, headers => \@headers);
    is $r->status, $status, "$name: refused";
    is $r->json->{error}{code}, $code, 'as it should';
    is $provider->connections, $before, 'nothing went up';
    return $r;
}

subtest 'as it came' => sub {
    my @values = ("Bearer $OWN", "bearer $OWN", "Bearer   $OWN",
        'AgentAssertion eyJhZ2VudF9ydW50aW1lX2lkIjoidGVzdCJ9',
        'Token id="a", sig="b"', 'Bearer ' . 'ab1' x 2000);
    goes_up substr($_, 0, 20), $_, '/a', Authorization => $_ for @values;
    my $request = goes_up 'with its account', "Bearer $OWN", '/a',
        Authorization => "Bearer $OWN", 'ChatGPT-Account-ID' => 'acc-1';
    is $request->header('chatgpt-account-id'), 'acc-1', 'which goes with it';
    goes_up 'over TLS', "Bearer $OWN", '/secure/a',
        Authorization => "Bearer $OWN";
    goes_up 'to the next server', "Bearer $OWN", '/two/a',
        Authorization => "Bearer $OWN";
    goes_up 'before the one that is kept', "Bearer $OWN", '/backed/a',
        Authorization => "Bearer $OWN";
    is $nginx->logged_as(qr{\A/backed/}), '/backed/a 200 passthrough admitted',
        'and the log says whose it is';
    goes_up 'without other headers of the kind', "Bearer $OWN", '/a',
        Authorization => "Bearer $OWN", 'X-Api-Key' => $CLIENT,
        'X_Api_Key' => $GUEST, 'Proxy-Authorization' => "Bearer $HELD",
        'api-key' => $KEY, Cookie => "key=$CLIENT";
};

subtest 'none, or none for the provider' => sub {
    my %not_own = (
        'nothing'              => [],
        'an empty one'         => [Authorization => ''],
        'no scheme'            => [Authorization => $OWN],
        'no token'             => [Authorization => 'Bearer'],
        'a login of the site'  => [Authorization => 'Basic dGVzdDp0ZXN0'],
        'two words'            => [Authorization => "Bearer $OWN b"],
        'a key of a client'    => [Authorization => "Bearer $CLIENT"],
        'an expired one'       => [Authorization => "Bearer $EXPIRED"],
        'one of another set'   => [Authorization => "Bearer $GUEST"],
        'one in other clothes' => [Authorization => "Token $CLIENT"],
        'a placeholder'        => [Authorization => "Bearer $HELD"],
        'one of elsewhere'     => [Authorization => "Bearer $OTHER"],
        'a well-known one'     =>
            [Authorization => 'Bearer sk-placeholder-for-api-proxy'],
        'another header'       => ['X-Api-Key' => 'sk-test-own'],
    );
    for my $name (sort keys %not_own) {
        my @headers = @{$not_own{$name}};
        goes_up $name, "Bearer $KEY", '/backed/a', @headers;
        my $r = refused $name, 401, 'credential_missing', '/a', @headers;
        like $r->json->{error}{message}, qr/codex login/, 'with instructions';
        is $r->header('x-should-retry'), 'false', 'and no retry';
    }
};

subtest 'with a key of the gateway' => sub {
    goes_up 'in Authorization', "Bearer $KEY", '/team/a',
        Authorization => "Bearer $CLIENT";
    goes_up 'in x-api-key', "Bearer $OWN", '/team/a',
        Authorization => "Bearer $OWN", 'x-api-key' => $CLIENT;
    goes_up 'in x-api-key alone', "Bearer $KEY", '/team/a',
        'x-api-key' => $CLIENT;
    goes_up 'in both', "Bearer $KEY", '/team/a',
        'x-api-key' => $CLIENT, Authorization => "Bearer $CLIENT";
    refused 'nowhere', 401, 'invalid_api_key', '/team/a',
        Authorization => "Bearer $OWN";
    refused 'and none of its own', 401, 'credential_missing', '/alone/a',
        'x-api-key' => $CLIENT;
    goes_up 'in a header for it', "Bearer $OWN", '/slots/a',
        Authorization => "Bearer $OWN", 'X-Gateway-Key' => $CLIENT;
    goes_up 'and a scheme before it', "Bearer $OWN", '/slots/a',
        Authorization => "Bearer $OWN", 'X-Gateway-Key' => "Bearer $CLIENT";
    refused 'in the wrong one', 401, 'invalid_api_key', '/slots/a',
        Authorization => "Bearer $CLIENT";
};

subtest 'placeholders' => sub {
    goes_up 'the one that is asked for', "Bearer $KEY", '/held/a',
        Authorization => "Bearer $HELD";
    goes_up 'beside an own one', "Bearer $OWN", '/held/a',
        Authorization => "Bearer $OWN", 'x-api-key' => $HELD;
};

subtest 'foreign keys' => sub {
    goes_up 'its own is not foreign', "Bearer $OWN", '/strict/a',
        Authorization => "Bearer $OWN";
    refused 'others are', 403, 'foreign_credential', '/strict/a',
        Authorization => "Bearer $OWN", 'x-api-key' => 'sk-test-own';
    refused 'so is what cannot go up', 403, 'foreign_credential', '/strict/a',
        Authorization => "Bearer $CLIENT";
};

subtest 'to that location only' => sub {
    goes_up 'in it', "Bearer $OWN", '/moved/a',
        Authorization => "Bearer $OWN";
    goes_up 'not where it is sent from there', "Bearer $KEY", '/moved/a',
        Authorization => "Bearer $OWN";
    goes_up 'nor elsewhere', "Bearer $KEY", '/elsewhere/a',
        Authorization => "Bearer $OTHER";
};

subtest 'what the provider thinks of it' => sub {
    for my $status (401, 403, 429) {
        my $body = "{\"error\":{\"message\":\"Bad token $OWN\"}}";
        $provider->forget->answer(sub ($request) {
            $request->reply($status, ['WWW-Authenticate' => 'Bearer x'], $body);
        });
        my $r = request($nginx->port, target => '/backed/a',
            headers => [Authorization => "Bearer $OWN"]);
        is $r->status, $status, "$status passes";
        is $r->body, $body, 'whole';
        is $r->header('www-authenticate'), 'Bearer x', 'with its headers';
        is scalar @{$provider->requests}, 1, 'and nothing else is tried';
    }
};

subtest 'nothing at all' => sub {
    for my $status (200, 401) {
        $provider->forget->answer(sub ($request) { $request->reply($status) });
        my $r = request($nginx->port, target => '/bare/a',
            headers => [Authorization => "Bearer $OWN", 'x-api-key' => $KEY]);
        is $r->status, $status, "$status passes";
        my $head = $provider->last->head;
        is_deeply [grep { index($head, $_) >= 0 } @GATEWAY, $OWN], [],
            'no credential of any kind';
        unlike $head, qr/^authorization:/mi, 'nor a header for one';
        like $head, qr/\r\n\r\n\z/, 'and the head ends as it should';
    }
};

subtest 'WebSocket' => sub {
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = Wire->handshake($nginx->port, target => '/socket/a',
        headers => [Authorization => "Bearer $OWN"]);
    is $wire->message->status, 101, 'a handshake';
    is $provider->last->header('authorization'), "Bearer $OWN", 'likewise';
    $wire->close;
};

$nginx->stop;
done_testing;
