# What stands in for `codex responses-api-proxy` answers as that does: the same
# requests to both, in front of the same provider. Where the answers differ,
# that is one of the differences which its README tells of.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/clients/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use ResponsesProxy;
use Wire;

plan skip_all => 'the module is in the binary'
    if ($ENV{KEYSTILE_MODULE} // 'a file') eq '';

my $KEY      = 'sk-test-proxy-9f81aa';
my $CALLER   = 'sk-test-caller-7c20de';
my $PATH     = '/v1/responses';
my $UPSTREAM = '/base/responses?api-version=1';
my $provider = Provider->new;
my %proxies  = map {
    $_ => ResponsesProxy->start(
        original => $_ eq 'theirs',
        key      => $KEY,
        upstream => 'http://' . $provider->address . $UPSTREAM,
        options  => ['--http-shutdown']);
} qw(theirs ours);

sub post ($whose, %request) {
    return request($proxies{$whose}->port, method => 'POST',
        target => $PATH, body => '{}', %request);
}

# The status, and `closed` where there is none.
sub raw_status ($whose, $bytes) {
    my $wire = Wire->connect($proxies{$whose}->port);
    $wire->expect($bytes =~ /\A([A-Z]+) /);
    $wire->write($bytes);
    my $status = $wire->await_head->status // 'closed';
    $wire->close;
    return $status;
}

sub requests_from ($code) {
    settle;
    my $before = @{$provider->requests};
    $code->();
    settle;
    return @{$provider->requests} - $before;
}

my $HOST    = "Host: a\r\nConnection: close\r\n";
my $HEAD    = $HOST . "Content-Length: 2\r\n";
my $UPGRADE = "Host: a\r\nConnection: keep-alive, Upgrade\r\n"
    . "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    . "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\n";

# What is refused by both: request lines.
my @REFUSED = (
    (map {"$_ $PATH"} qw(GET HEAD PUT OPTIONS DELETE CONNECT TRACE FOO)),
    (map {"POST $_"} "$PATH?x=1", "$PATH?", "$PATH/", "/$PATH",
        '/v1/%72esponses', '/v1/../v1/responses', "$PATH/.", "$PATH#f",
        "$PATH;x", '/v1\\responses', '/V1/responses', "http://a$PATH",
        "$PATH/compact", '/v1/models', '/', '/shutdown'),
    'GET /shutdown?x', 'GET /shutdown/',
);

# Other requests: name => [bytes, their status, ours]. They are not asked where
# theirs is undef, since they answer nothing at all, or end.
my %CASES = (
    'a POST' => ["POST $PATH HTTP/1.1\r\n$HEAD\r\n{}", 200, 200],
    'HTTP/1.0, no Host' =>
        ["POST $PATH HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", 200, 200],
    'no length'  => ["POST $PATH HTTP/1.1\r\n$HOST\r\n", 200, 200],
    'in chunks'  => ["POST $PATH HTTP/1.1\r\n$HOST"
        . "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, 200],
    'a header of 200 KB' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . 'X-A: ' . ('x' x 200_000) . "\r\n\r\n{}", 200, 200],
    'a folded header' =>
        ["POST $PATH HTTP/1.1\r\n${HEAD}X-A: b\r\n c\r\n\r\n{}", 400, 400],
    'a space before a colon' =>
        ["POST $PATH HTTP/1.1\r\n${HEAD}X-A : b\r\n\r\n{}", 400, 400],
    'a WebSocket handshake' =>
        ["GET $PATH HTTP/1.1\r\n$UPGRADE\r\n", 403, 426],
    'one of something else' => ["GET $PATH HTTP/1.1\r\n"
        . $UPGRADE =~ s/websocket/other/r . "\r\n", 403, 403],
    'one elsewhere' => ["GET /v1/models HTTP/1.1\r\n$UPGRADE\r\n", 403, 403],
    'one by POST'   => ["POST $PATH HTTP/1.1\r\n$UPGRADE\r\n", undef, 200],
    'an offer of HTTP/2' => ["POST $PATH HTTP/1.1\r\nContent-Length: 2\r\n"
        . $UPGRADE =~ s/websocket/h2c/r . "\r\n{}", undef, 200],
    'a method in lower case' => ["post $PATH HTTP/1.1\r\n$HEAD\r\n{}",
        403, 400],
    'a target without a slash' => ["OPTIONS * HTTP/1.1\r\n$HEAD\r\n{}",
        403, 400],
    'HTTP/1.1 without Host' =>
        ["POST $PATH HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 200, 400],
    'two lengths' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . "Content-Length: 3\r\n\r\n{}", 200, 400],
    'a length and chunks' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, 400],
    'Authorization twice' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n{}",
        200, 400],
    'x-api-key twice' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . "x-api-key: a\r\nx-api-key: b\r\n\r\n{}", 200, 200],
    'from a web page' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . "Origin: https://a.example\r\n\r\n{}", 200, 403],
    'a shutdown from a web page' => ["GET /shutdown HTTP/1.1\r\n$HOST"
        . "Sec-Fetch-Site: cross-site\r\n\r\n", undef, 403],
    'another expectation' => ["POST $PATH HTTP/1.1\r\n$HEAD"
        . "Expect: 200-maybe\r\n\r\n{}", 417, 200],
    'a header without a colon' => ["POST $PATH HTTP/1.1\r\n${HEAD}nonsense"
        . "\r\n\r\n{}", 400, 200],
    'a header in UTF-8' => ["POST $PATH HTTP/1.1\r\n${HEAD}X-A: \xc3\xa9"
        . "\r\n\r\n{}", 'closed', 200],
    'HTTP/2 at once' => ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", undef, 400],
);

$CASES{$_} = ["$_ HTTP/1.1\r\n$HEAD\r\n{}", 403, 403] for @REFUSED;

# nginx itself knows what the target of CONNECT looks like, from 1.29.3 on.
$CASES{"CONNECT $PATH"}[2] = 400 if Nginx->new->version >= 1.029003;

for my $name (sort keys %CASES) {
    my ($bytes, $theirs, $ours) = @{$CASES{$name}};
    is raw_status('theirs', $bytes), $theirs, "$name: theirs"
        if defined $theirs;
    is requests_from(sub { is raw_status('ours', $bytes), $ours, $name }),
        $ours == 200 ? 1 : 0, '... and what goes upstream';
}

subtest 'a refusal says so in JSON' => sub {
    for my $target ($PATH, '/v1/models') {
        is post('theirs', method => 'GET', target => $target)->body, '',
            'theirs does not';
        my $answer = post('ours', method => 'GET', target => $target);
        is $answer->json->{error}{type}, 'permission_error', 'ours does';
        is $answer->header('content-type'), 'application/json', 'as JSON';
    }
    my $answer = post('ours', method => 'TRACE');
    is $answer->json->{error}{code}, 'forbidden', 'and so to what nginx does';
};

subtest 'a body has no limit' => sub {
    my $wire = Wire->connect($proxies{ours}->port);
    $wire->write("POST $PATH HTTP/1.1\r\n${HOST}Expect: 100-continue\r\n"
        . "Content-Length: 5000000000\r\n\r\n");
    $wire->await_bytes(qr/\r\n\r\n/);
    like $wire->received, qr{\AHTTP/1\.1 100 }, 'nginx asks for it';
    $wire->close;
};

subtest 'what goes upstream' => sub {
    my @credentials = qw(Authorization x-api-key api-key Cookie
        OpenAI-Organization OpenAI-Project Proxy-Authorization);
    my @headers = ('X-Other' => 'kept', map { ($_ => $CALLER) } @credentials);
    for my $whose (qw(theirs ours)) {
        post($whose, headers => [@headers], body => '{"model":"m"}');
        my $request = $provider->last;
        is $request->target, $UPSTREAM, "$whose: path and query of the URL";
        is $request->header('host'), $provider->address, 'its host';
        is_deeply [$request->all('authorization')], ["Bearer $KEY"], 'the key';
        is $request->header('x-other'), 'kept', 'other headers';
        is $request->body, '{"model":"m"}', 'the body';
        my @foreign = grep { $_->[1] =~ /\Q$CALLER/ } @{$request->headers};
        is scalar @foreign, $whose eq 'ours' ? 0 : @credentials - 1,
            "the caller's credentials";
    }
};

subtest 'what comes back' => sub {
    my %ours = (401 => 503);
    for my $status (200, 204, 400, 401, 403, 404, 413, 426, 429, 500, 503) {
        $provider->answer(sub ($request) {
            $request->reply($status, ['X-Codex-Turn-State' => 'state',
                'Retry-After' => 7, 'Content-Type' => 'application/json']);
        });
        for my $whose (qw(theirs ours)) {
            my $wanted = $whose eq 'ours' ? $ours{$status} // $status : $status;
            my $answer = post($whose);
            is $answer->status, $wanted, "$whose: $status";
            my $is_ours = $whose eq 'ours' && $status =~ /40[13]/;
            is $answer->header('x-codex-turn-state'),
                $is_ours ? undef : 'state', 'its headers';
        }
    }
};

subtest 'an event arrives when it is sent' => sub {
    $provider->hold;
    my $seen = @{$provider->requests};
    my $wire = Wire->connect($proxies{ours}->port);
    $wire->expect('POST');
    $wire->write(compose(method => 'POST', target => $PATH, body => '{}'));
    my $request = await 'the request', sub {
        my $last = $provider->requests->[$seen];
        return $last && $last->complete && $last;
    };
    $request->begin(200, ['Content-Type' => 'text/event-stream']);
    $request->chunk("data: $_\n\n"), $wire->await_bytes(qr/data: $_/)
        for 1 .. 3;
    ok !$wire->message->complete, 'before the answer ends';
    $request->connection->close;
    my $answer = $wire->response;
    ok !$answer->complete, 'an answer that breaks off looks so';
    ok $wire->ended, 'and the connection ends';
};

subtest 'a redirect is not followed' => sub {
    my $other = Provider->new;
    $provider->answer(sub ($request) {
        $request->reply(307, [Location => 'http://' . $other->address . '/a']);
    });
    is post('theirs', body => 'the prompt')->status, 200, 'theirs does';
    is $other->last->body, 'the prompt', 'and tells another the prompt';
    my $requests = @{$other->requests};
    my $answer   = post('ours', body => 'the prompt');
    is $answer->status, 307, 'ours hands it on';
    settle;
    is @{$other->requests}, $requests, 'and asks nobody';
    $other->close;
};

subtest 'a caller that leaves' => sub {
    $provider->hold;
    my $seen = @{$provider->requests};
    my $wire = Wire->connect($proxies{ours}->port);
    $wire->write(compose(method => 'POST', target => $PATH, body => '{}'));
    my $request = await 'the request', sub {
        my $last = $provider->requests->[$seen];
        return $last && $last->complete && $last;
    };
    $wire->close;
    ok await('its end at the provider',
        sub { $request->connection->ended }), 'the provider sees it';
};

subtest 'no provider' => sub {
    $_->close for grep { !$_->closed } @{$provider->streams};
    $provider->close;
    my $theirs = post('theirs');
    is $theirs->status, 500, 'theirs: 500';
    is $theirs->body,   '',  'and nothing';
    my $ours = post('ours');
    is $ours->status, 502, 'ours: 502';
    is $ours->json->{error}{code}, 'upstream_unavailable', 'and says why';
};

subtest 'GET /shutdown' => sub {
    for my $whose (qw(theirs ours)) {
        my $proxy = $proxies{$whose};
        is request($proxy->port, target => '/shutdown')->status, 200, $whose;
        is $proxy->end, 0, 'ends';
        unlike $proxy->said, qr/\Q$KEY/, 'and never said the key';
    }
};

done_testing;
