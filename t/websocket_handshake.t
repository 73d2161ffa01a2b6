# What counts as a request for a WebSocket, and what becomes of one that is
# not allowed, or not understood.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-0d1e';
my $CLIENT   = 'sk-test-client-5ab3';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => [$CLIENT]}]});
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_allow       GET,POST /both;
    keystile_allow       GET      /both websocket;
    keystile_allow       GET      /socket websocket;
    keystile_allow       GET,POST /plain;
    keystile_inject      openai;

    server {
        listen 127.0.0.1:%%PORT%%;
        location / { keystile_pass http://%%PROVIDER%%; }
    }
CONF

my $verdict = Verdict->new(
    provider => $provider, key => $KEY, secrets => [$CLIENT]);
my @CLIENT  = (Authorization => "Bearer $CLIENT");
my @UPGRADE = (Connection => 'Upgrade', Upgrade => 'websocket');

# The provider takes an upgrade if it is asked for one.
sub ask (%request) {
    $provider->answer(sub ($request) {
        my $asked = grep { $_ eq 'websocket' } $request->tokens('upgrade');
        $asked ? $request->accept_websocket : $request->reply(200);
    });
    my $wire = Wire->connect($nginx->port)->expect($request{method} // 'GET');
    $wire->write(compose(%request));
    return $wire->response;
}

sub upgraded ($name, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $request = $verdict->admitted($name, ask(%request), 101) // return;
    is_deeply [map { [$request->all($_)] } qw(connection upgrade)],
        [['upgrade'], ['websocket']], 'the handshake goes up';
    return;
}

sub served ($name, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $request = $verdict->admitted($name, ask(%request)) // return;
    is $request->header('upgrade'), undef, 'Upgrade does not go up';
    ok !$request->wants_upgrade, 'nor does Connection';
    is $request->body, $request{body} // '', 'the body does';
    return;
}

my @SOCKETS = (
    [@UPGRADE],
    [Connection => 'upgrade', Upgrade => 'WebSocket'],
    [connection => 'UPGRADE', upgrade => 'WEBSOCKET'],
    [Connection => 'keep-alive, Upgrade', Upgrade => 'websocket'],
    [Connection => 'Upgrade,keep-alive', Upgrade => 'websocket'],
    [Connection => 'keep-alive', Connection => 'Upgrade',
        Upgrade => 'websocket'],
    [Connection => 'Upgrade', Connection => 'keep-alive',
        Upgrade => 'websocket'],
    [Connection => ', ,Upgrade ,', Upgrade => " \twebsocket\t "],
    [Connection => 'Upgrade', Upgrade => 'websocket, h2c'],
    [Connection => 'Upgrade', Upgrade => 'h2c,websocket'],
    [Connection => 'Upgrade', Upgrade => 'h2c', Upgrade => 'websocket'],
    [Connection => 'Upgrade', Upgrade => 'websocket', Upgrade => 'h2c'],
);
my @NONE = (
    [Connection => 'Upgrade', Upgrade => 'h2c'],
    [Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c',
        'HTTP2-Settings' => 'AAMAAABkAAQAoAAAAAIAAAAA'],
    [Connection => 'Upgrade', Upgrade => 'TLS/1.2, HTTP/2.0'],
    [Connection => 'Upgrade', Upgrade => 'websocket/13'],
    [Connection => 'Upgrade', Upgrade => 'websockets'],
    [Connection => 'Upgrade', Upgrade => 'web socket'],
    [Connection => 'Upgrade', Upgrade => ''],
    [Connection => 'Upgrade'],
    [Connection => 'keep-alive', Upgrade => 'websocket'],
    [Connection => 'Upgraded', Upgrade => 'websocket'],
    [Upgrade => 'websocket'],
    ['X-Upgrade' => 'websocket', Connection => 'X-Upgrade'],
);

subtest 'a WebSocket is asked for' => sub {
    for my $headers (@SOCKETS) {
        my @headers = (@CLIENT, @$headers);
        upgraded("@$headers", target => '/both', headers => \@headers);
        upgraded('where nothing else is', target => '/socket',
            headers => \@headers);
        my $r = ask(target => '/plain', headers => \@headers);
        $verdict->refused('where none is allowed', $r, 426,
            'websocket_not_allowed');
        is_deeply [$r->tokens('connection')], ['close'], 'and closed';
    }
};

subtest 'no WebSocket is asked for' => sub {
    for my $headers (@NONE) {
        my @headers = (@CLIENT, @$headers);
        for my $target (qw(/both /plain)) {
            served("@$headers", target => $target, headers => \@headers);
            served('a POST', method => 'POST', target => $target,
                headers => \@headers, body => '{"stream":true}');
        }
        my $r = ask(target => '/socket', headers => \@headers);
        $verdict->refused('where nothing else is', $r, $r->status);
        like $r->status, qr/\A40[35]\z/, 'is refused';
    }
    served('HTTP/1.0 has no upgrades', target => '/both', version => 'HTTP/1.0',
        headers => [@CLIENT, @UPGRADE]);
};

subtest 'methods' => sub {
    served("POST $_, with Upgrade", method => 'POST', target => $_,
        headers => [@CLIENT, @UPGRADE], body => '{}') for qw(/both /plain);
    my $r = ask(method => 'POST', target => '/socket', body => '{}',
        headers => [@CLIENT, @UPGRADE]);
    $verdict->refused('POST where there are only WebSockets', $r, $r->status);
    like $r->status, qr/\A40[35]\z/, 'is refused';
};

subtest 'a handshake with a body' => sub {
    my @bodies = (
        ['Content-Length' => 3], ['Content-Length' => 100_000],
        ['Transfer-Encoding' => 'chunked'],
    );
    for my $framing (@bodies) {
        my $r = ask(target => '/both', headers => [@CLIENT, @UPGRADE,
            @$framing], body => "3\r\nabc\r\n0\r\n\r\n");
        $verdict->refused("@$framing", $r, 400, 'bad_request_body');
    }
    upgraded('an empty one is none', target => '/both',
        headers => [@CLIENT, @UPGRADE, 'Content-Length' => 0]);
};

subtest 'admission comes first' => sub {
    my $r = ask(target => '/both', headers => [@UPGRADE]);
    $verdict->refused('no key', $r, 401, 'invalid_api_key');
    $r = ask(target => '/other', headers => [@CLIENT, @UPGRADE]);
    $verdict->refused('another path', $r, 403, 'path_not_allowed');
};

subtest 'a 101 that nobody asked for' => sub {
    for my $more ('', "Upgrade: websocket\r\nConnection: Upgrade\r\n") {
        for my $method (qw(GET POST)) {
            $provider->forget->hold;
            my $wire = Wire->connect($nginx->port)->expect($method);
            $wire->write(compose(method => $method, target => '/both',
                headers => [@CLIENT, 'Upgrade' => 'h2c',
                    Connection => 'Upgrade'], body => ''));
            my $request = $provider->next_request;
            $request->write("HTTP/1.1 101 Switching\r\n$more\r\nsmuggled");
            my $r = $wire->response;
            is $r->status, 502, $method;
            is $r->json->{error}{code}, 'upstream_unavailable', 'code';
            unlike $wire->received, qr/smuggled/, 'nothing of it passes';
            is $request->connection->await_end, 'eof', 'it is closed';
        }
    }
};

$nginx->stop;
done_testing;
