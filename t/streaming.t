# Replies pass byte by byte as they come: an event that the provider has sent
# is the client's before the provider sends another, and a reply that was cut
# off looks cut off.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Wire;

my $KEY      = 'sk-test-provider-41ee';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,HEAD,POST /**;
    keystile_inject     openai;

    gzip              on;
    gzip_types        *;
    gzip_proxied      any;
    gzip_min_length   1;
    gzip_http_version 1.0;
    postpone_output   1460;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /impatient/ {
            keystile_read_timeout %%TIMEOUT%%;
            keystile_pass http://%%PROVIDER%%;
        }
        location /gzip { return 200 "compressible compressible"; }
    }
CONF
    PROVIDER => $provider->address,
    TIMEOUT  => patience(2) . 's');    # longer than a first event takes

my @GZIP = ('Accept-Encoding' => 'gzip');

# Sends a request that the provider then holds.
sub open_request (%request) {
    $provider->forget->hold;
    my $wire = Wire->connect($nginx->port)->expect($request{method} // 'GET');
    $wire->write(compose(target => '/v1/responses', headers => [@GZIP],
        %request));
    return ($wire, $provider->next_request);
}

# The ways to frame a body: how it starts, what one part of it looks like, and
# how it ends. `$total` is its length.
my %FRAMINGS = (
    chunked => {
        begin => sub ($request, $total, @headers) {
            $request->begin(200, [@headers]);
        },
        part => sub ($request, $bytes) { $request->chunk($bytes) },
        end  => sub ($request) { $request->last_chunk },
    },
    length => {
        begin => sub ($request, $total, @headers) {
            $request->write(head(@headers, 'Content-Length' => $total));
        },
        part => sub ($request, $bytes) { $request->write($bytes) },
        end  => sub ($request) { },
    },
    close => {
        begin => sub ($request, $total, @headers) {
            $request->write(head(@headers));
        },
        part => sub ($request, $bytes) { $request->write($bytes) },
        end  => sub ($request) { $request->connection->close },
    },
);

sub head (@headers) {
    my $head = "HTTP/1.1 200 OK\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $head .= "$name: $value\r\n";
    }
    return "$head\r\n";
}

# Sends the parts one by one; each must have come before the next is sent.
sub passes_one_by_one ($framing, $headers, $parts, %request) {
    my ($wire, $request) = open_request(%request);
    my $how  = $FRAMINGS{$framing};
    my $sent = '';
    $how->{begin}->($request, length join('', @$parts), @$headers);
    is $wire->await_head->status, 200, 'the head alone';
    is $wire->message->body, '', 'and nothing else';
    for my $part (@$parts) {
        $how->{part}->($request, $part);
        $sent .= $part;
        await 'the part', sub { length $wire->message->body >= length $sent };
        ok $wire->message->body eq $sent, length($part) . ' bytes';
    }
    $how->{end}->($request);
    my $r = $wire->response;
    ok $r->complete && $r->body eq $sent, 'the end';
    is $r->header('content-encoding'), undef, 'not compressed';
    return $r;
}

is request($nginx->port, target => '/gzip', headers => [@GZIP])
    ->header('content-encoding'), 'gzip', 'gzip is on';

my @EVENTS = (
    "event: response.created\ndata: {\"type\":\"response.created\"}\n\n",
    ": ping\n\n", "data: ", "x", "\n\n", "data: " . 'y' x 5000 . "\n\n",
    "data: [DONE]\n\n",
);
my @TYPES = (
    ['Content-Type' => 'text/event-stream'],
    ['Content-Type' => 'text/event-stream; charset=utf-8',
        'Cache-Control' => 'no-transform'],
    ['Content-Type' => 'application/json'],
    ['Content-Type' => 'text/plain', 'X-Accel-Buffering' => 'yes'],
    [],
);
for my $framing (sort keys %FRAMINGS) {
    for my $headers (@TYPES) {
        subtest "one by one: $framing, @$headers" => sub {
            passes_one_by_one($framing, $headers, \@EVENTS);
        };
    }
    subtest "one by one: $framing, to HTTP/1.0" => sub {
        my $r = passes_one_by_one($framing, $TYPES[0], \@EVENTS,
            version => 'HTTP/1.0');
        is $r->header('transfer-encoding'), undef, 'no chunks';
    };
    subtest "one by one: $framing, to a POST" => sub {
        passes_one_by_one($framing, $TYPES[0], \@EVENTS,
            method => 'POST', body => '{"stream":true}');
    };
    subtest "events of 1 MB: $framing" => sub {
        my @parts = map { "data: " . chr(65 + $_) x 1_048_576 . "\n\n" } 0 .. 3;
        passes_one_by_one($framing, $TYPES[0], \@parts);
    };
}

subtest 'chunks, however they are cut' => sub {
    my ($wire, $request) = open_request();
    my $raw = head('Transfer-Encoding' => 'chunked') . join '',
        "5;name=\"value\"\r\n", "da", "ta:", "\r", "\n", "000", "1\r\n \r\n",
        "0003\r\n1\n\n\r\n", "0", "\r\nX-Trailer: a\r", "\n\r\n";
    for my $byte (split //, $raw) {
        $request->write($byte);
        settle;
    }
    is $wire->response->body, "data: 1\n\n", 'pass';
    ok $wire->message->complete, 'to the end';
};

subtest 'X-Accel-Buffering' => sub {
    my %cases = (
        'text/event-stream'                => 'no',
        'text/event-stream; charset=utf-8' => 'no',
        'Text/Event-Stream'                => 'no',
        'application/json'                 => 'none',
    );
    for my $type (sort keys %cases) {
        $provider->forget->answer(sub ($request) {
            $request->reply(200, ['Content-Type' => $type,
                'X-Accel-Buffering' => 'yes', 'X-Accel-Redirect' => '/gzip']);
        });
        my $r = request($nginx->port, target => '/v1/responses');
        is join(',', $r->all('x-accel-buffering')) || 'none', $cases{$type},
            $type;
        is $r->json->{ok}, 1, 'with its body';
    }
};

# After its first event: name => [framing, more bytes, what then happens to the
# connection, request].
my %DEATHS = (
    'chunked, closed'        => ['chunked', '',                'close'],
    'chunked, reset'         => ['chunked', '',                'reset'],
    'closed within a chunk'  => ['chunked', "a\r\n",           'close'],
    'closed in a chunk head' => ['chunked', '1',               'close'],
    'closed in the trailers' => ['chunked', "0\r\nX: ",        'close'],
    'a bad chunk size'       => ['chunked', "zz\r\n",          'stay'],
    'a bad end of a chunk'   => ['chunked', "1\r\n?xx",        'stay'],
    'length, closed'         => ['length',  '',                'close'],
    'length, reset'          => ['length',  '',                'reset'],
    'until the end, reset'   => ['close',   '',                'reset'],
    'silence'                => ['chunked', '',                'stay',
        target => '/impatient/responses'],
    'silence, with a length' => ['length',  '',                'stay',
        target => '/impatient/responses'],
);
for my $name (sort keys %DEATHS) {
    my ($framing, $more, $end, %request) = @{$DEATHS{$name}};
    subtest "a provider that dies: $name" => sub {
        my ($wire, $request)
            = open_request(%request, headers => [Connection => 'keep-alive']);
        $FRAMINGS{$framing}{begin}->($request, 1000,
            'Content-Type' => 'text/event-stream');
        $FRAMINGS{$framing}{part}->($request, "data: 1\n\n");
        await 'the event', sub { $wire->message->body eq "data: 1\n\n" };
        $request->write($more);
        $request->connection->$end if $end ne 'stay';
        my $r = $wire->response;
        is $r->status, 200, 'the head had gone';
        is substr($r->body, 0, 9), "data: 1\n\n", 'what came is delivered';
        ok !$r->complete, 'the reply is not complete';
        unlike $wire->received, qr/\n0\r\n/, 'no final chunk';
        like $wire->await_end, qr/eof|reset/, 'the connection ends';
        is $request->connection->await_end, 'eof', 'so does the provider\'s'
            if $end eq 'stay';
    };
}

subtest 'more than was promised' => sub {
    my %replies = (
        length  => head('Content-Length' => 4) . 'fourSURPLUS',
        chunked => head('Transfer-Encoding' => 'chunked')
            . "4\r\nfour\r\n0\r\n\r\nSURPLUS",
        none => "HTTP/1.1 204 No Content\r\n\r\nSURPLUS",
    );
    for my $name (sort keys %replies) {
        my ($wire, $request) = open_request();
        $request->write($replies{$name});
        my $r = $wire->response;
        ok $r->complete, "$name: complete";
        unlike $wire->received, qr/SURPLUS/, 'the surplus is not passed';
        is $request->connection->await_end, 'eof', 'the connection is closed';
    }
};

subtest 'replies without a body' => sub {
    my $length = 'Content-Length: 12345';
    my @cases  = (
        [HEAD => '200 OK', $length],
        [HEAD => '200 OK', 'Transfer-Encoding: chunked'],
        [HEAD => '404 Not Found', $length],
        [GET  => '204 No Content'],
        [POST => '204 No Content'],
        [GET  => '304 Not Modified', 'ETag: "a"'],
        [GET  => '304 Not Modified', $length],
        [GET  => '200 OK', 'Content-Length: 0'],
    );
    for my $case (@cases) {
        my ($method, $status, @headers) = @$case;
        my ($wire, $request) = open_request(method => $method,
            headers => [@GZIP, Connection => 'keep-alive']);
        $request->write(join "\r\n", "HTTP/1.1 $status", @headers, '', '');
        my $r = $wire->response;
        is $r->status, substr($status, 0, 3), "$method: $status @headers";
        ok $r->complete, 'complete';
        is $r->header('content-length'), 12345, 'the length is passed'
            if $method eq 'HEAD' && "@headers" eq $length;
        $provider->forget;
        is $wire->ask(target => '/v1/models')->json->{ok}, 1,
            'the next reply on that connection is not mixed up with it';
    }
};

subtest 'informational replies' => sub {
    my $ok    = head('Content-Length' => 2) . 'ok';
    my %cases = (
        'a 100'         => "HTTP/1.1 100 Continue\r\n\r\n",
        'a 103'         => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        'several'       => "HTTP/1.1 100 Continue\r\n\r\n"
            . "HTTP/1.1 102 Processing\r\n\r\n"
            . "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n",
        'with a length' => "HTTP/1.1 199 What\r\nContent-Length: 99\r\n"
            . "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for my $name (sort keys %cases) {
        for my $apart (0, 1) {
            my ($wire, $request) = open_request();
            $request->write($_) && settle
                for $apart ? split //, $cases{$name} . $ok
                           : $cases{$name} . $ok;
            my $r = $wire->response;
            is $r->body, 'ok', $name . ($apart ? ', byte by byte' : '');
            is_deeply $r->interim, [], 'is not passed on';
            is $r->header('link'), undef, 'nor are its headers';
        }
    }
};

# While others are served, nginx has every chance to read too much.
subtest 'a slow client' => sub {
    my $mb   = 1_048_576;
    my $body = join '', map { sprintf '%-16s', $_ } 1 .. 6 * $mb;    # 96 MB
    my $rss  = sub {
        open my $status, '<', '/proc/' . ($nginx->worker_pids)[0] . '/status';
        return (map { /^VmRSS:\s+(\d+)/ ? $1 * 1024 : () } <$status>)[0];
    };
    my ($wire, $request) = open_request();
    my $before = $rss->();
    $wire->pause;
    $request->write(head('Content-Length' => length $body) . $body);
    for (1 .. 200) {
        is request($nginx->port, target => '/gzip')->status, 200, 'the others'
            if !($_ % 50);
        request($nginx->port, target => '/gzip');
    }
    my $held = length $request->connection->out;
    cmp_ok $held, '>', 48 * $mb, 'holds the provider back';
    cmp_ok $rss->() - $before, '<', 4 * $mb, 'and takes no memory';
    ok $wire->resume->response->body eq $body, 'and loses nothing';
};

$nginx->stop;
done_testing;
