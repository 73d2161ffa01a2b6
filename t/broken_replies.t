# Heads of replies that no provider should send: none of them reaches the
# client as anything but our own 502 (RFC 9112 sections 4, 5 and 6.3).

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-e44d';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_inject     openai;
    upstream group { server %%PROVIDER%% max_fails=0; keepalive 4; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ {
            keystile_allow       GET,HEAD,POST /v1/responses;
            keystile_allow       GET /v1/responses websocket;
            keystile_buffer_size 4k;
            keystile_pass        http://%%PROVIDER%%;
        }
        location /kept/ {
            keystile_allow GET,POST /kept/responses;
            keystile_pass  http://group;
        }
    }
CONF

my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub call (%request) {
    return request($nginx->port, target => '/v1/responses', %request);
}

# After what the provider sends and, if it says no more, hangs up.
sub answered ($bytes, %request) {
    $provider->answer(sub ($request) {
        $request->write($bytes);
        $request->connection->close;
    });
    my $r = call(%request);
    $provider->answer(sub ($request) { $request->reply(200) });
    return $r;
}

my $MARK = 'provider-internal';
my $OK   = "HTTP/1.1 200 OK\r\n";
my %BROKEN = (
    'no status line'              => "$MARK\r\n\r\n",
    'HTTP/0.9'                    => "<html>$MARK</html>",
    'another protocol'            => "SSH-2.0-OpenSSH_9.2\r\n$MARK\r\n\r\n",
    'HTTP/2'                      => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n$MARK",
    'a status of two digits'      => "HTTP/1.1 20 OK\r\nX: $MARK\r\n\r\n",
    'a status of four digits'     => "HTTP/1.1 2000 OK\r\nX: $MARK\r\n\r\n",
    'a status that is none'       => "HTTP/1.1 abc OK\r\nX: $MARK\r\n\r\n",
    'a status with spaces in it'  => "HTTP/1.1 2 0 0 OK\r\nX: $MARK\r\n\r\n",
    'a status below 100'          => "HTTP/1.1 099 OK\r\nX: $MARK\r\n\r\n",
    'no head at all'              => '',
    'half a status line'          => 'HTTP/1.1 2',
    'half a head'                 => "${OK}X-A: $MARK\r\n",
    'only an interim reply'       => "HTTP/1.1 100 Continue\r\n\r\n",
    'a header without a name'     => "$OK: $MARK\r\n\r\n",
    'a name with a space'         => "${OK}X A: $MARK\r\n\r\n",
    'a name with a control byte'  => "${OK}X\x01A: $MARK\r\n\r\n",
    'a folded header'             => "${OK}X-A: a\r\n $MARK: b\r\n\r\n",
    'a NUL in a value'            => "${OK}X-A: a\0$MARK\r\n\r\n",
    'a head larger than the buffer' => "${OK}X-A: " . $MARK x 1000
        . "\r\n\r\n",
    'both framings'               => "${OK}Content-Length: 3\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n$MARK",
    'both framings, the other way' => "${OK}Transfer-Encoding: chunked\r\n"
        . "Content-Length: 3\r\n\r\n0\r\n\r\n$MARK",
    'two lengths'                 => "${OK}Content-Length: 3\r\n"
        . "Content-Length: 20\r\n\r\n$MARK",
    'a list of lengths'           => "${OK}Content-Length: 3, 20\r\n\r\n$MARK",
    'a negative length'           => "${OK}Content-Length: -1\r\n\r\n$MARK",
    'a length that is none'       => "${OK}Content-Length: abc\r\n\r\n$MARK",
    'another transfer coding'     => "${OK}Transfer-Encoding: gzip, chunked"
        . "\r\n\r\n0\r\n\r\n$MARK",
    '101 that nobody asked for'   => "HTTP/1.1 101 Switching Protocols\r\n"
        . "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n$MARK",
);

for my $name (sort keys %BROKEN) {
    subtest $name => sub {
        my $r = answered($BROKEN{$name});
        $verdict->admitted('the request went up once', $r, 502);
        is +($r->json // {})->{error}{code}, 'upstream_unavailable',
            'our own error';
        unlike $r->head . $r->body, qr/\Q$MARK\E/, 'nothing of the reply';
        ok $r->complete, 'complete';
        $verdict->admitted('the next request', call());
    };
}

subtest 'a POST is not sent again' => sub {
    for my $name (sort keys %BROKEN) {
        my $r = answered($BROKEN{$name}, method => 'POST', body => '{}');
        $verdict->admitted($name, $r, 502);
    }
};

subtest 'replies that are merely odd' => sub {
    my %odd = (
        'no reason'         => "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        'an empty reason'   => "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        'HTTP/1.0'          => "HTTP/1.0 200 OK\r\n\r\nok",
        'bare line feeds'   => "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        'no header'         => "HTTP/1.1 200 OK\r\n\r\nok",
        'an empty value'    => "${OK}X-A:\r\nContent-Length: 2\r\n\r\nok",
        'another status'    => "HTTP/1.1 299 A\r\nContent-Length: 2\r\n\r\nok",
        'interim replies'   => "HTTP/1.1 102 Processing\r\n\r\n" x 20
            . "${OK}Content-Length: 2\r\n\r\nok",
    );
    for my $name (sort keys %odd) {
        my ($status) = $odd{$name} =~ /(2\d\d)(?!.*HTTP)/s;
        my $r = answered($odd{$name});
        $verdict->admitted($name, $r, $status);
        is $r->body, 'ok', 'its body';
    }
};

# What the parser of nginx lets through, and no caller should have to read.
subtest 'reasons that are none' => sub {
    my %odd = (
        'a substatus'    => '404.1 Not Found',
        'a control byte' => "404 Not\x01Found",
        'another one'    => "404 \x7F",
    );
    for my $name (sort keys %odd) {
        my $r = answered(
            "HTTP/1.1 $odd{$name}\r\nContent-Length: 2\r\n\r\nok");
        $verdict->admitted($name, $r, 404);
        is $r->body, 'ok', 'its body';
        like $r->head, qr{\AHTTP/1\.1 404 Not Found\r\n}, 'in words of ours';
    }
};

subtest 'header lines that are none' => sub {
    my $r = answered($OK . "X-Caf\xE9: one\r\nX-Good: yes\r\n"
            . "X-Bell: a\x07b\r\nX-\"Quoted\": two\r\nX-Del: \x7F\r\n"
            . "X-High: caf\xE9\r\nContent-Length: 2\r\n\r\nok");
    $verdict->admitted('the others', $r);
    is $r->header('x-good'), 'yes',       'pass';
    is $r->header('x-high'), "caf\xE9",   'also with bytes that are no ASCII';
    is $r->body,             'ok',        'and the body';
    unlike $r->head, qr/Caf|Bell|Quoted|Del/, 'these do not';
};

subtest 'a handshake that gets no handshake' => sub {
    my $handshake = sub () {
        return Wire->handshake($nginx->port,
            target => '/v1/responses')->message;
    };
    $provider->answer(sub ($request) { $request->reply(200, [], 'plain') });
    my $r = $handshake->();
    $verdict->admitted('a plain answer', $r);
    is $r->body, 'plain', 'passes';
    $provider->answer(sub ($request) { $request->connection->close });
    $verdict->admitted('none', $handshake->(), 502);
    $provider->answer(sub ($request) { $request->reply(200) });
};

# Of a kept connection that has gone stale nothing comes back. If anything
# did, the request was processed, and is not sent again.
subtest 'over a kept connection' => sub {
    my @kept = (target => '/kept/responses');
    my @part = ('half a status line', 'half a head', 'only an interim reply');
    for my $name (@part, 'no head at all') {
        for my $method (qw(GET POST)) {
            next if $method eq 'GET' && $name eq 'no head at all';
            $verdict->admitted('a request that leaves one', call(@kept));
            my $connections = $provider->connections;
            my $r = answered($BROKEN{$name}, @kept,
                method => $method, body => '{}');
            $verdict->admitted("$name to $method", $r, 502);
            is $provider->connections, $connections, 'over the kept one';
        }
    }
};

$nginx->stop;
done_testing;
