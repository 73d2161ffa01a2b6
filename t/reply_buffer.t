# The head of a reply has a large buffer, and what follows it a page, where it
# fits: whatever comes, in pieces of whatever size, passes as it was sent, and
# a stream that waits for its next event has no more than that.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Mojo::WebSocket qw(build_frame);
use POSIX  ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Await;
use Nginx;
use Provider;
use Wire;

my $KEY      = 'sk-test-provider-9d07';
my $PAGE     = POSIX::sysconf(POSIX::_SC_PAGESIZE());
my $LARGE    = 4 * $PAGE;
my $provider = Provider->new;
my $nginx    = Nginx->new(log_level => 'debug');
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address, LARGE => $LARGE);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_admit       any;
    keystile_allow       GET /v1/responses;
    keystile_allow       GET /v1/socket websocket;
    keystile_inject      openai;
    keystile_buffer_size %%LARGE%%;
    keystile_zone        main 1m;
    upstream kept { server %%PROVIDER%%; keepalive 4; }

    server {
        listen 127.0.0.1:%%PORT%% sndbuf=4k;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /kept/ {
            keystile_allow       GET /kept/responses;
            keystile_buffer_size 256k;
            keystile_pass        http://kept;
        }
        location = /v1/socket {
            keystile_meter main;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

# nginx says at this level how much of a buffer each read was for.
my $says = `${\$nginx->binary} -V 2>&1` =~ /--with-debug/;

sub last_reads ($count) {
    my @sizes = $nginx->error_log =~ /recv: fd:\d+ [1-9]\d* of (\d+)$/mg;
    return join ' ', @sizes[-$count .. -1];
}

sub reads ($sizes, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    SKIP: {
        skip 'an nginx without debug logs', 1 if !$says;
        is last_reads(scalar split / /, $sizes), $sizes, $name;
    }
    return;
}

sub ask ($target = '/v1/responses') {
    $provider->forget->hold;
    my $wire = Wire->connect($nginx->port)->expect;
    $wire->write(compose(target => $target));
    return ($wire, $provider->next_request);
}

sub chunk ($bytes) { return sprintf "%x\r\n%s\r\n", length $bytes, $bytes }

my $CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
my @SIZES   = (
    ['small',      10],
    ['a page',     $PAGE - 50],
    ['two pages',  2 * $PAGE],
    ['many pages', 20 * $PAGE + 17],
    ['small',      300],
    ['a page',     $PAGE],
    ['a megabyte', 1_048_576],
    ['small',      1],
    ['small',      40],
    ['small',      7],
);

# Each is awaited before the next is sent.
sub pass_on ($wire, $request, $body, $frame) {
    for my $piece (@SIZES) {
        my ($name, $size) = @$piece;
        my $bytes = join '', map { chr(97 + $_ % 26) } 1 .. $size;
        $request->write($frame->($bytes));
        $body .= $bytes;
        await $name, sub { length $wire->message->body >= length $body };
        ok $wire->message->body eq $body, $name;
    }
    return $body;
}

# What fills the page makes way for the large buffer.
sub large_again ($wire, $request) {
    my $before = length $wire->message->body;
    $request->write(chunk('e' x (3 * $LARGE)));
    await 'a large event',
        sub { length $wire->message->body >= $before + 3 * $LARGE };
    SKIP: {
        skip 'an nginx without debug logs', 1 if !$says;
        like $nginx->error_log, qr/recv: fd:\d+ \d+ of $LARGE\n(?!.*of $PAGE\n)/s,
            'the next large one is read into the large buffer';
    }
    return;
}

my %HEADS = (
    'a head of its own'             => ['',              ''],
    'a head with a small event'     => ['',              'data: 1'],
    'a head with two pages of it'   => ['',              'd' x (2 * $PAGE)],
    'a head of more than a page'    => ['h' x ($PAGE * 2), ''],
    'such a head, and a small event' => ['h' x ($PAGE * 2), 'data: 1'],
    'such a head, and a page of it' => ['h' x ($PAGE * 2), 'd' x ($PAGE + 9)],
);
for my $name (sort keys %HEADS) {
    my ($header, $first) = @{$HEADS{$name}};
    subtest "a stream: $name" => sub {
        my ($wire, $request) = ask();
        $request->write("${CHUNKED}X-Long: $header\r\n\r\n"
                . ($first eq '' ? '' : chunk($first)));
        is $wire->await_head->header('x-long') // '', $header, 'the head';
        await 'the first', sub { length $wire->message->body >= length $first };
        my $sent = pass_on($wire, $request, $first, \&chunk);
        reads("$PAGE", 'the last event is read into a page');
        large_again($wire, $request);
        $sent = $wire->message->body;
        $request->last_chunk;
        my $r = $wire->response;
        ok $r->complete && $r->body eq $sent, 'the end';
    };
    subtest "until the end: $name" => sub {
        my ($wire, $request) = ask();
        $request->write("HTTP/1.1 200 OK\r\nX-Long: $header\r\n\r\n$first");
        $wire->await_head;
        await 'the first', sub { length $wire->message->body >= length $first };
        my $sent = pass_on($wire, $request, $first, sub ($bytes) { $bytes });
        reads("$PAGE", 'the last piece is read into a page');
        $request->connection->close;
        ok $wire->response->body eq $sent, 'the end';
    };
}

subtest 'an event that comes byte by byte, over both buffers' => sub {
    my ($wire, $request) = ask();
    my $raw = "$CHUNKED\r\n" . chunk('data: 1') . chunk("\n\n") . "0\r\n\r\n";
    for my $byte (split //, $raw) {
        $request->write($byte);
        settle;
    }
    is $wire->response->body, "data: 1\n\n", 'passes';
};

# nginx reads on while there is room in a buffer that the caller has not taken
# all of: a small piece then comes behind a large one.
subtest 'a caller that reads slowly' => sub {
    my ($wire, $request) = ask();
    setsockopt $wire->handle, SOL_SOCKET, SO_RCVBUF, pack 'i', 4096;
    $wire->pause;
    my $sent = 'd' x ($LARGE - $PAGE);
    $request->write("$CHUNKED\r\n" . chunk($sent));
    for my $n (1 .. 500) {
        my $event = "data: $n\n\n";
        $request->write(chunk($event));
        $sent .= $event;
        settle;
    }
    $request->last_chunk;
    $wire->resume;
    ok $wire->response->body eq $sent, 'gets every byte';
};

# The answer is whole, but its caller is yet to take it: what comes then is of
# no reply, and no other request is sent after it.
subtest 'bytes behind the last chunk, and a caller that reads slowly' => sub {
    my ($wire, $request) = ask('/kept/responses');
    setsockopt $wire->handle, SOL_SOCKET, SO_RCVBUF, pack 'i', 4096;
    $wire->pause;
    my $sent = 'd' x 200_000;
    $request->write("$CHUNKED\r\n" . chunk($sent) . "0\r\n\r\n");
    my $said = qr/upstream sent data after its last chunk/;
    for (1 .. 5000) {
        $request->write('x');
        settle;
        last if $nginx->error_log =~ $said;
    }
    like $nginx->error_log, $said, 'nginx says so';
    $wire->resume;
    my $r = $wire->response;
    ok $r->complete && $r->body eq $sent, 'the answer, and nothing behind it';
    is $wire->unread, '', 'nor later';

    my ($next, $other) = ask('/kept/responses');
    isnt $other->connection, $request->connection, 'another connection';
    $other->reply(200);
    is $next->response->body, '{"ok":true}', 'and another answer';
};

# Both ends, with these bytes behind the provider's answer.
sub open_socket ($with = '') {
    $provider->forget->hold;
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => '/v1/socket', headers => [
        Connection => 'Upgrade', Upgrade => 'websocket',
        'Sec-WebSocket-Key' => 'c2l4dGVlbiBieXRlcyBvaw==',
        'Sec-WebSocket-Version' => 13]));
    my $request = $provider->next_request;
    $request->write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            . "Connection: upgrade\r\nX-Long: " . 'h' x $PAGE . "\r\n\r\n$with");
    my $far = $request->connection->websocket;
    $wire->await_head;
    return ($wire->websocket, $far);
}

for my $with ('', 'small', 'w' x (2 * $PAGE)) {
    subtest 'a socket, and ' . length($with) . ' bytes with it' => sub {
        my ($wire, $far) =
            open_socket($with eq '' ? '' : build_frame(0, 1, 0, 0, 0, 1, $with));
        ok $wire->next_frame->{payload} eq $with, 'they are there'
            if $with ne '';
        for my $piece (@SIZES) {
            my ($name, $size) = @$piece;
            for my $ends ([$wire, $far, 'up'], [$far, $wire, 'down']) {
                my ($from, $to, $way) = @$ends;
                $from->send_frame(chr(65 + $size % 26) x $size);
                ok $to->next_frame->{payload} eq chr(65 + $size % 26) x $size,
                    "$name $way";
            }
        }
        reads("$PAGE $PAGE", 'each way into a page') if length $with < $PAGE;
        $far->close;
        is $wire->await_end, 'eof', 'and the end';
    };
}

done_testing;
