# A client's key is gone from the memory of nginx once its request is over,
# even while the connection stays: whether it was admitted or refused, and
# however it came in.
#
# What has never become a request of a location with keystile_pass is not ours
# to forget: a head that its client never finished, or that nginx refuses, and
# requests to other locations. Nor is HTTP/2, where nginx keeps headers for
# later requests, nor a key in a query, which nginx logs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Memory;
use Nginx;
use Provider;
use Wire;

plan skip_all => 'needs root and a C compiler' if !can_scan();
plan skip_all => 'ASan has its own mlock(), and keeps what is freed'
    if $ENV{KEYSTILE_SANITIZED};

my $authority = Authority->new;
my $leaf      = $authority->issue('localhost');
my $provider  = Provider->new;
my $closed    = Provider->new->close;
my @keys      = map { fresh_key("client$_") } 1 .. 300;
my $memory    = Memory->new;
my $nginx     = Nginx->new;
$nginx->key_file('openai.key', fresh_key('provider'));
$nginx->client_file({clients => [{id => 'ci', keys => [@keys]}]});
$nginx->start(<<'CONF',
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_key_headers authorization x-api-key x-agent-key;
    keystile_inject      openai;
    keystile_allow       GET,HEAD,POST /v1/responses;
    keystile_allow       GET      /v1/responses websocket;
    keystile_allow       GET      /limited/*;
    keystile_allow       GET      /fallback;
    keystile_allow       GET      /elsewhere;
    limit_req_zone       $keystile_client$https zone=one:1m rate=1r/m;

    server {
        listen 127.0.0.1:%%PORT%%;
        keystile_record %%DIR%%/turns.jsonl;
        listen 127.0.0.1:%%PORT_TLS%% ssl;
        ssl_certificate     %%CERT%%;
        ssl_certificate_key %%CERT_KEY%%;

        location /          { return 404; }
        location /v1/       {
            client_max_body_size 1m;
            keystile_pass http://%%PROVIDER%%;
        }
        location /limited/  {
            limit_req zone=one;
            keystile_pass http://%%PROVIDER%%;
        }
        location /fallback  {
            error_page 502 = @second;
            keystile_pass http://%%CLOSED%%;
        }
        location @second    { keystile_pass http://%%PROVIDER%%; }
        location /elsewhere {
            error_page 502 /page;
            keystile_pass http://%%CLOSED%%;
        }
        location = /page    { return 200 sorry; }
        location = /health  { keystile_health; }
    }
CONF
    PROVIDER => $provider->address,
    CLOSED   => $closed->address,
    CERT     => $leaf->{cert},
    CERT_KEY => $leaf->{key});

# One worker does one thing after the other: what comes before has been done.
sub catch_up () {
    request($nginx->port, target => '/health') for 1, 2;
    settle;
    return;
}

sub copies ($key) {
    $memory->secrets({client => $key});
    return $memory->hits($nginx->master, $nginx->worker_pids);
}

sub gone ($name, $key) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    catch_up();
    my @copies = copies($key);
    ok !@copies, $name or diag join "\n", map { $_->{text} } @copies;
    return;
}

my $tls;    # whether the client's connections are

sub connection () {
    return Wire->connect($tls ? $nginx->port('_TLS') : $nginx->port,
        $tls ? (tls => {}) : ());
}

# A request on a connection that stays open, and what is left after it, and
# after the connection.
sub over ($name, $status, $key, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $wire = connection();
    my @headers = @{$request{headers} // [Authorization => "Bearer $key"]};
    my $r = $wire->ask(
        target => '/v1/responses',
        %request,
        headers => [@headers, Connection => 'keep-alive']);
    is $r->status, $status, "$name: $status";
    gone("$name: nothing is left", $key);
    $wire->close;
    gone("$name: nor after the connection", $key);
    return;
}

sub streams () {
    my $key  = pop @keys;
    my $wire = connection();
    $provider->hold;
    $wire->write(compose(
        target  => '/v1/responses',
        headers => [
            Authorization => "Bearer $key",
            Connection    => 'keep-alive',
        ]));
    my $request = await 'the request', sub { $provider->last };
    cmp_ok scalar copies($key), '>', 0, 'the key is found as long as it lasts';
    $request->begin(200, ['Content-Type' => 'text/event-stream']);
    $request->chunk("data: 1\n\n")->last_chunk;
    $wire->response;
    gone('after a stream', $key);
    $provider->forget;
    return;
}

sub ordinary () {
    for my $header ('Authorization', 'X-Api-Key', 'X-Agent-Key') {
        my $key   = pop @keys;
        my $value = $header eq 'Authorization' ? "Bearer $key" : $key;
        over($header, 200, $key, headers => [$header => $value]);
    }
    my $key = pop @keys;
    over('everywhere', 200, $key,
        headers => [
            'Authorization'       => "Bearer $key",
            'Proxy-Authorization' => "Bearer $key",
            'X-Api-Key'           => $key,
            'x_api_key'           => $key,
            'Api-Key'             => $key,
            'Cookie'              => "key=$key",
        ]);
    over('with a body', 200, $_, method => 'POST', body => 'x' x 1000)
        for pop @keys;
    over('with a large body', 200, $_, method => 'POST', body => 'x' x 500_000)
        for pop @keys;
    over('HEAD', 200, $_, method => 'HEAD') for pop @keys;
    over('after a redirect', 200, $_, target => '/fallback') for pop @keys;
    over('after an error page', 502, $_, target => '/elsewhere') for pop @keys;
    return;
}

sub refused () {
    over('unknown', 401, fresh_key('unknown'));
    over('no bearer', 401, $_, headers => [Authorization => "Basic $_"])
        for fresh_key('unknown');
    over('a path', 403, $_, target => '/v1/files') for pop @keys;
    over('a method', 405, $_, method => 'PUT') for pop @keys;
    over('a target', 400, $_, target => '/v1//responses') for pop @keys;
    over('twice', 400, $_, headers => [map { ('X-Api-Key' => $_) } $_, $_])
        for pop @keys;
    my $key  = pop @keys;
    my $wire = connection();
    my $r    = $wire->ask(
        method  => 'POST',
        target  => '/v1/responses',
        headers => ['X-Api-Key' => $key, 'Content-Length' => 2_000_000]);
    is $r->status, 413, 'too much: 413';
    $wire->close;    # until then nginx waits for what the client still sends
    gone('too much: nothing is left', $key);

    $key = pop @keys;
    over('within the limit', 200, $key, target => '/limited/a');
    over('above the limit', 503, $key, target => '/limited/a');
    return;
}

# Heads that outgrow the first buffer, of 1 KB, and then those of 8 KB: with
# the key before, after, and across the end of each.
sub large () {
    my @fill = (
        (map { [$_] } map { 700 + 31 * $_ } 0 .. 12),
        (map { [7000, $_] } 900, 1020, 1050, 1080, 1100, 1150),
        [4000, 4000, 2000],
    );
    for my $fill (@fill) {
        for my $header ('Authorization', 'X-Api-Key') {
            my $key = pop @keys;
            over("after @$fill bytes, $header", 200, $key, headers => [
                (map { ('X-Fill' => 'x' x $_) } @$fill),
                $header => $header eq 'X-Api-Key' ? $key : "Bearer $key",
                (map { ('X-Fill' => 'x' x $_) } @$fill),
            ]);
        }
    }
    return;
}

# The end of one request and the start of the next in the same read.
sub pipelined () {
    my @mine     = splice @keys, 0, 3;
    my @requests = map {
        compose(target => '/v1/responses', headers => [
            Authorization => "Bearer $_",
            Connection    => 'keep-alive',
        ]);
    } @mine;
    my $wire = connection();
    $provider->forget->hold;
    my $half = int(length($requests[2]) / 2) + 20;
    $wire->write(join '', @requests[0, 1], substr $requests[2], 0, $half);
    for my $i (0, 1) {
        my $request = $provider->next_request;
        gone("the one before $i", $mine[$i - 1]) if $i;
        cmp_ok scalar copies($mine[$i]), '>', 0, "number $i is there";
        $request->reply(200);
    }
    await 'two answers', sub { (() = $wire->received =~ /"ok"/g) == 2 };
    gone('the second', $mine[1]);
    $wire->write(substr $requests[2], $half);
    $provider->next_request->reply(200);
    await 'three answers', sub { (() = $wire->received =~ /"ok"/g) == 3 };
    gone("number $_", $mine[$_]) for 0 .. 2;
    $wire->close;
    $provider->forget;
    return;
}

sub aborted () {
    for my $end (qw(close reset)) {
        my $key  = pop @keys;
        my $head = compose(
            method  => 'POST',
            target  => '/v1/responses',
            headers => [
                Authorization    => "Bearer $key",
                'Content-Length' => 500_000,
            ]);
        my $wire = connection();
        $wire->write($head . 'x' x 10_000)->drain;
        catch_up();
        $wire->$end;
        gone("in the middle of a body ($end)", $key);

        $key  = pop @keys;
        $wire = connection();
        $provider->hold;
        $wire->write(compose(target => '/v1/responses',
            headers => ['X-Api-Key' => $key]));
        my $request = await 'the request', sub { $provider->last };
        $request->begin(200)->chunk('x' x 1000);
        $wire->await_bytes(qr/xxx/);
        $wire->$end;
        $request->connection->await_end;
        gone("in the middle of an answer ($end)", $key);
        $provider->forget;
    }
    return;
}

sub sockets () {
    $provider->answer(sub ($request) { $request->accept_websocket });
    my %handshakes = (
        'Authorization' => sub ($key) { "Bearer $key" },
        'X-Api-Key'     => sub ($key) {$key},
        'both'          => undef,
    );
    for my $header (sort keys %handshakes) {
        my $key     = pop @keys;
        my @headers = $handshakes{$header}
            ? ($header => $handshakes{$header}->($key))
            : ('X-Api-Key' => $key, 'Sec-WebSocket-Protocol' =>
                "realtime, openai-insecure-api-key.$key");
        my $wire = connection();
        $wire->write(compose(target => '/v1/responses', headers => [
            Connection              => 'Upgrade',
            Upgrade                 => 'websocket',
            'Sec-WebSocket-Version' => 13,
            'Sec-WebSocket-Key'     => 'c2l4dGVlbiBieXRlcyBvaw==',
            @headers,
        ]));
        is $wire->await_head->status, 101, "$header: a WebSocket";
        $wire->close;
        $provider->last->connection->await_end;
        gone("after a WebSocket, $header", $key);
        $provider->forget->answer(sub ($request) {
            $request->accept_websocket;
        });
    }
    $provider->forget;
    return;
}

for my $listener (0, 1) {
    $tls = $listener;
    my $name = $tls ? 'TLS' : 'plain';
    subtest "$name: streams",    \&streams;
    subtest "$name: admitted",   \&ordinary;
    subtest "$name: refused",    \&refused;
    subtest "$name: large",      \&large;
    subtest "$name: pipelined",  \&pipelined;
    subtest "$name: aborted",    \&aborted;
    subtest "$name: WebSockets", \&sockets;
}

# What the same requests leave behind in a plain nginx.
subtest 'the check can fail' => sub {
    my $plain = Nginx->new(module => 0);
    $plain->start(<<'CONF', PROVIDER => $provider->address);
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { proxy_pass http://%%PROVIDER%%; }
        }
CONF
    my $key = fresh_key('planted');
    my $r   = request($plain->port,
        headers => [Authorization => "Bearer $key"]);
    is $r->status, 200, 'proxy_pass';
    request($plain->port);
    $memory->secrets({client => $key});
    cmp_ok scalar $memory->hits($plain->worker_pids), '>', 0,
        'leaves a copy of the key';
    $plain->stop;
};

$nginx->stop;
done_testing;
