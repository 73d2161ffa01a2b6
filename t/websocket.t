# WebSockets: the bytes of both sides pass, whenever they come, until either
# of them ends.

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

my $KEY       = 'sk-test-provider-e3b5';
my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
my $nginx     = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET /*/responses websocket;
    keystile_inject     openai;
    upstream tls { server %%SECURE%%; keepalive 4; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /plain/ { keystile_pass http://%%PLAIN%%; }
        location /tls/ {
            keystile_pass     https://tls;
            keystile_ssl_name api.example.com;
            keystile_ssl_trusted_certificate %%CA%%;
        }
        location /brief/ {
            keystile_websocket_timeout %%TIMEOUT%%;
            keystile_pass http://%%PLAIN%%;
        }
        location /lasting/ {
            keystile_read_timeout %%TIMEOUT%%;
            keystile_pass http://%%PLAIN%%;
        }
        location /silent/ {
            keystile_read_timeout 100ms;
            keystile_pass http://%%PLAIN%%;
        }
    }
CONF
    PLAIN   => $provider->address,
    SECURE  => $secure->address,
    TIMEOUT => patience(2) . 's',    # longer than a handshake takes
    CA      => $authority->cert);

my %PLACES = (plain => $provider, tls => $secure);
my @UPGRADE = (Connection => 'Upgrade', Upgrade => 'websocket');

# A socket that the provider holds, with the early bytes behind the handshake.
sub ask_for_socket ($place, $early = '') {
    my $at   = ($PLACES{$place} // $provider)->forget->hold;
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => "/$place/responses", headers => [@UPGRADE,
        'Sec-WebSocket-Key' => 'c2l4dGVlbiBieXRlcyBvaw==',
        'Sec-WebSocket-Version' => 13]) . $early);
    return ($wire, $at->next_request);
}

# Both ends of an open socket, and the provider's request.
sub open_socket ($place) {
    my ($wire, $request) = ask_for_socket($place);
    my $far = $request->accept_websocket;
    $wire->await_head;
    return ($wire->websocket, $far, $request);
}

# The bytes of a frame of a client.
sub frame ($payload) {
    my $sink = Stream->new(masks => 1, deaf => 1, closed => 1);
    $sink->send_frame($payload);
    return $sink->out;
}

sub same ($name, $frame, $payload, $op = 'text') {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok $frame->{payload} eq $payload && $frame->{op} eq $op, $name;
}

# What was sent, in several frames, has come, before the connection ended.
sub drained ($name, $stream, $payload, $count) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like $stream->await_end, qr/eof|reset/, "$name: it ends";
    is scalar(grep { $_->{payload} eq $payload } @{$stream->frames}), $count,
        'after all that was in flight';
    return;
}

for my $place (sort keys %PLACES) {
    my $verdict = Verdict->new(provider => $PLACES{$place}, key => $KEY);

    subtest "$place: the handshake" => sub {
        my ($wire, $far, $request) = open_socket($place);
        my $r = $wire->message;
        is $r->status, 101, 'accepted';
        is_deeply [$verdict->credential_faults($request)], [], 'credential';
        is_deeply [map { [$request->all($_)] } qw(connection upgrade
            sec-websocket-version sec-websocket-key content-length)],
            [['upgrade'], ['websocket'], [13], ['c2l4dGVlbiBieXRlcyBvaw=='],
            []], 'goes up';
        is_deeply [map { lc $r->header($_) // '' } qw(connection upgrade)],
            [qw(upgrade websocket)], 'and comes back';
        like $r->header('sec-websocket-accept'), qr/\A.{27}=\z/,
            'with the proof that it was read';
    };

    subtest "$place: frames" => sub {
        my ($wire, $far) = open_socket($place);
        for my $op (qw(text binary ping pong)) {
            $wire->send_frame("up $op", op => $op);
            same("$op up", $far->next_frame, "up $op", $op);
            $far->send_frame("down $op", op => $op);
            same("$op down", $wire->next_frame, "down $op", $op);
        }
        $wire->send_frame('one ', fin => 0);
        same('a fragment', $far->next_frame, 'one ');
        $wire->send_frame('two', op => 'continuation');
        same('and the rest', $far->next_frame, 'two', 'continuation');
        $wire->send_frame("\x03\xE8bye", op => 'close');
        same('close up', $far->next_frame, "\x03\xE8bye", 'close');
        $far->send_frame("\x03\xE8", op => 'close');
        same('close down', $wire->next_frame, "\x03\xE8", 'close');
        $far->close;
        is $wire->await_end, 'eof', 'and the end';
    };

    subtest "$place: early frames" => sub {
        for my $size (5, 1000, 100_000) {
            my ($wire, $request) = ask_for_socket($place, frame('a' x $size));
            $wire->write(frame('b' x $size));
            my $far = $request->accept_websocket;
            same("$size bytes with the handshake", $far->next_frame,
                'a' x $size);
            same('and after it', $far->next_frame, 'b' x $size);

            ($wire, $request) = ask_for_socket($place);
            $wire->write(frame('c' x $size))->drain;
            $far = $request->accept_websocket;
            $wire->await_head;
            $wire->write(frame('d'));
            same("$size bytes before the answer", $far->next_frame,
                'c' x $size);
            same('and after it', $far->next_frame, 'd');

            ($wire, $request) = ask_for_socket($place);
            $request->accept_websocket('X-A' => 1)
                ->send_frame('e' x $size)->send_frame('f');
            $wire->await_head;
            same("$size bytes with the answer", $wire->websocket->next_frame,
                'e' x $size);
            same('and after it', $wire->next_frame, 'f');
        }
    };

    subtest "$place: 20 MB each way at once" => sub {
        my ($wire, $far) = open_socket($place);
        my $up   = join '', map { sprintf '%-8d', $_ } 1 .. 2_500_000;
        my $down = reverse $up;
        $wire->send_frame($up, op => 'binary');
        $far->send_frame($down, op => 'binary');
        same('up',   $far->next_frame,  $up,   'binary');
        same('down', $wire->next_frame, $down, 'binary');
    };

    for my $how (qw(half_close close)) {
        subtest "$place: $how, with bytes in flight" => sub {
            my $payload = 'x' x 100_000;
            my ($wire, $far) = open_socket($place);
            $far->pause;
            $wire->send_frame($payload) for 1 .. 50;
            $wire->send_frame('last');
            settle;
            $far->resume;
            $wire->$how;
            drained('of the client', $far, $payload, 50);

            ($wire, $far) = open_socket($place);
            $wire->pause;
            $far->send_frame($payload) for 1 .. 50;
            settle;
            $wire->resume;
            $far->$how;
            drained('of the provider', $wire, $payload, 50);
        };
    }

    subtest "$place: a connection that is lost" => sub {
        for my $how (qw(close reset)) {
            my ($wire, $far) = open_socket($place);
            $wire->$how;
            like $far->await_end, qr/eof|reset/, "$how by the client";
            ($wire, $far) = open_socket($place);
            $far->$how;
            like $wire->await_end, qr/eof|reset/, "$how by the provider";
        }
        my ($wire, $request) = ask_for_socket($place);
        $request->connection->close;
        is $wire->response->status, 502, 'before the handshake is answered';
    };

    subtest "$place: handshakes that the provider refuses" => sub {
        for my $status (200, 204, 302, 400, 403, 404, 429, 500) {
            my ($wire, $request) = ask_for_socket($place, '');
            my $body = $status == 204 ? '' : 'a' x 50_000 . $status;
            $request->reply($status, ['X-Reason' => 'some', 'Retry-After' => 7,
                'Content-Type' => 'text/plain'], $body);
            my $r = $wire->response;
            is $r->status, $status, "a $status";
            ok $r->complete && $r->body eq $body, 'with its body'
                if $status != 403;    # see response_headers.t
            is $r->header('x-reason'), 'some', 'and its headers'
                if $status != 403;
        }
        my ($wire, $request) = ask_for_socket($place);
        $request->reply(403, ['X-Reason' => 'some'],
            '{"error":{"message":"no","code":"not_this_model"}}');
        my $r = $wire->response;
        is $r->status, 403, 'a small 403';
        is $r->json->{error}{message},
            'The provider refused this request: not_this_model', 'in our words';

        ($wire, $request) = ask_for_socket($place);
        $request->begin(404, ['X-Reason' => 'some']);
        $request->chunk('in ');
        $request->chunk('chunks');
        $request->last_chunk->connection->refuse_upgrade;
        is $wire->response->body, 'in chunks', 'a body in chunks';

        ($wire, $request) = ask_for_socket($place);
        $request->reply(401, [], "the key $KEY is bad");
        $r = $wire->response;
        is $r->status, 503, 'a 401 is no business of the client\'s';
        is $r->json->{error}{code}, 'upstream_credential_rejected', 'code';
    };
}
$nginx->tolerate(qr/refused/);

subtest 'timeouts' => sub {
    my ($lasting, $far) = open_socket('lasting');
    my ($brief, $other) = open_socket('brief');
    $brief->send_frame('a');
    same('a brief socket', $other->next_frame, 'a');
    is $brief->await_end, 'eof', 'ends when idle';
    like $other->await_end, qr/eof|reset/, 'on both sides';
    $lasting->send_frame('b');
    same('keystile_read_timeout is not for sockets', $far->next_frame, 'b');
    $far->send_frame('c');
    same('either way', $lasting->next_frame, 'c');
    my ($waiting) = ask_for_socket('silent');
    is $waiting->response->status, 504, 'but it is for the handshake';
};

$nginx->stop;
done_testing;
