# One message in, one message out: the body's framing, Expect, and upgrades
# that are not for us.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-f7a3';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /*/responses;
    keystile_inject     openai;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub sent ($name, $headers, %more) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $response = request($nginx->port, headers => $headers, %more);
    return $verdict->admitted($name, $response) // Message->new;
}

# The lines that frame a request.
sub framing ($request) {
    return join ' ', map { "$_->[0]: $_->[1]" }
        grep { lc($_->[0]) =~ tr/_/-/r
            =~ /\A(?:content-length|transfer-encoding)\z/ }
        @{$request->headers};
}

# A body in chunks of that size.
sub chunked ($body, $size) {
    return join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
        unpack("(a$size)*", $body), '';
}

my $BODY = '{"a":"' . 'x' x 300_000 . '"}';
my $LONG = length $BODY;

for my $location (qw(/v1 /unbuffered)) {
    my @post   = (method => 'POST', target => "$location/responses");
    my $length = qr/\Acontent-length: $LONG\z/i;
    my $either = qr/$length|\Atransfer-encoding: chunked\z/i;

    subtest "bodies, $location" => sub {
        my $request = sent('a POST', [], @post, body => $BODY);
        ok $request->body eq $BODY, 'its body';
        like framing($request), $length, 'one length';

        for my $size (7000, 300_008, 17) {
            $request = sent("in chunks of $size",
                ['Transfer-Encoding' => 'chunked'],
                @post, body => chunked($BODY, $size));
            ok $request->body eq $BODY, 'its body';
            like framing($request), $either, 'one framing';
        }

        like framing(sent('an empty POST', [], @post, body => '')),
            qr/\A(?:content-length: 0)?\z/i, 'says so at most once';
        is sent('an empty POST, chunked', ['Transfer-Encoding' => 'chunked'],
            @post, body => "0\r\n\r\n")->body, '', 'stays empty';
        is framing(sent('a GET', [], target => "$location/responses")), '',
            'says nothing';
        is sent('a GET with a body', [], body => 'abc',
            target => "$location/responses")->body, 'abc', 'its body';
    };

    subtest "piece by piece, $location" => sub {
        my $wire = Wire->connect($nginx->port);
        $wire->write($_) for split //,
            compose(@post, body => 'one byte after the other');
        my $request = $verdict->admitted('arrives', $wire->response);
        is $request->body, 'one byte after the other', 'whole';
    };

    subtest "Expect: 100-continue, $location" => sub {
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(@post, headers =>
            [Expect => '100-continue', 'Content-Length' => 2]));
        $wire->await_bytes(qr/\AHTTP\/1\.1 100 /);
        $wire->write('{}');
        my $request = $verdict->admitted('after the body', $wire->response);
        is $request->header('expect'), undef, 'Expect does not go up';
        is $request->body, '{}', 'the body does';
    };

    subtest "Upgrade: h2c on a POST, $location" => sub {
        my @offer = (Connection => 'Upgrade, HTTP2-Settings', Upgrade => 'h2c',
            'HTTP2-Settings' => 'AAMAAABkAAQAAP__');
        my $wire = Wire->connect($nginx->port);
        for my $time (1, 2) {
            my $bytes = compose(@post, headers => \@offer,
                body => "body $time");
            $wire->expect('POST')->write(substr $bytes, 0, -3);
            $wire->write(substr $bytes, -3);
            my $request = $verdict->admitted("time $time", $wire->response);
            is $request->body, "body $time", 'with its body';
            is_deeply [grep { /upgrade|http2/ } $request->names], [],
                'without the offer';
        }
    };
}

subtest 'two framings are none' => sub {
    my @bad = (
        ['Content-Length'    => 2, 'Transfer-Encoding' => 'chunked'],
        ['Transfer-Encoding' => 'chunked', 'Content-Length' => 5],
        ['Content-Length'    => 2, 'Content-Length' => 3],
        ['Content-Length'    => '2, 3'],
        ['Content-Length'    => '-1'],
        ['Content-Length'    => '0x2'],
    );
    $verdict->refused("@$_", request($nginx->port, method => 'POST',
            target => '/v1/responses', headers => $_, body => "0\r\n\r\n"), 400)
        for @bad;
    my $r = request($nginx->port, method => 'POST', target => '/v1/responses',
        headers => ['Transfer-Encoding' => 'gzip, chunked'],
        body    => "0\r\n\r\n");
    $verdict->refused('another transfer coding', $r, 501);
    $r = request($nginx->port, method => 'POST', target => '/v1/responses',
        headers => ['Transfer-Encoding' => 'chunked'], body => "zz\r\n\r\n");
    $verdict->refused('a broken chunk', $r, 400);
};

subtest 'nothing is left over for the next request' => sub {
    my $inner = "GET /v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    my $wire  = Wire->connect($nginx->port);
    for my $target (qw(/v1/responses /v1/nothing /v1/responses)) {
        my $r = $wire->ask(method => 'POST', target => $target,
            headers => [Connection => 'keep-alive'], body => $inner);
        $target eq '/v1/nothing'
            ? $verdict->refused('a refused one', $r, 403, 'path_not_allowed')
            : is($verdict->admitted('a request', $r)->body, $inner, 'its body');
    }
    $wire->expect('GET')->write(compose(target => '/v1/responses',
            headers => [Connection => 'keep-alive'])
        . compose(target => '/v1/responses'));
    my $first  = $wire->response;
    my $second = $wire->expect->response;
    is $_->status, 200, 'pipelined' for $first, $second;
    is $wire->await_end, 'eof', 'and no more answers';
};

$nginx->stop;
done_testing;
