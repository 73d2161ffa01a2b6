# Request bodies arrive whole, byte for byte, in exactly one framing.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-5c20';
my $MB       = 1_048_576;
my $provider = Provider->new;

my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      POST /**;
    keystile_inject     openai;
    client_body_buffer_size 16k;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /in-file/ {
            client_body_in_file_only clean;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub bytes ($count) {
    return substr join('', map { sprintf '%-8x', $_ } 0 .. $count / 8), 0,
        $count;
}

# The body in chunks of the given sizes, over and over.
sub chunked ($body, @sizes) {
    my $raw = '';
    while ($body ne '') {
        push @sizes, my $size = shift @sizes;
        my $chunk = substr $body, 0, $size, '';
        $raw .= sprintf "%x\r\n%s\r\n", length $chunk, $chunk;
    }
    return $raw . "0\r\n\r\n";
}

# Judges a request: the body is as it was, in one framing.
sub arrived ($name, $response, $body) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $request = $verdict->admitted($name, $response) // return;
    ok $request->body eq $body, 'the body, byte for byte';
    my @framing = grep { /\A(?:content-length|transfer-encoding)\z/i }
        map { $_->[0] } @{$request->headers};
    cmp_ok scalar @framing, '<=', 1, "framed once: @framing";
    is_deeply $request->trailers, [], 'without trailers';
    return $request;
}

my @SIZES  = (0, 1, 2, 1000, 16_384, 16_385, 100_000, 20 * $MB);
my @CHUNKS = ([1 << 30], [1, 2, 3, 5000], [16_384], [7000, 1]);
for my $place (qw(v1 unbuffered in-file)) {
    my %post = (method => 'POST', target => "/$place/responses");
    subtest "/$place: a length" => sub {
        for my $size (@SIZES) {
            my $body = bytes($size);
            my $r = request($nginx->port, %post, body => $body);
            my $request = arrived("$size bytes", $r, $body);
            is $request->header('content-length'), $size, 'Content-Length';
        }
    };
    subtest "/$place: chunks" => sub {
        for my $size (@SIZES) {
            my $body = bytes($size);
            for my $sizes (@CHUNKS) {
                my $r = request($nginx->port, %post,
                    headers => ['Transfer-Encoding' => 'chunked'],
                    body    => chunked($body, @$sizes));
                arrived("$size bytes in chunks of @$sizes", $r, $body);
            }
        }
    };
    subtest "/$place: chunks, byte by byte" => sub {
        my $wire = Wire->connect($nginx->port);
        my $raw  = compose(%post, body => "5;name=\"a\"\r\nhello\r\n"
                . "0001\r\n \r\nA\r\n0123456789\r\n000\r\nX-Api-Key: a\r\n\r\n",
            headers => ['Transfer-Encoding' => 'chunked']);
        $wire->write($_) && settle for split //, $raw;
        arrived('with extensions and trailers', $wire->response,
            'hello 0123456789');
    };
    subtest "/$place: two on one connection" => sub {
        my $wire = Wire->connect($nginx->port);
        my @keep = (Connection => 'keep-alive');
        for my $body ('first', bytes(100_000), 'third') {
            arrived('with a length',
                $wire->ask(%post, headers => [@keep], body => $body), $body);
            arrived('in chunks', $wire->ask(%post,
                headers => [@keep, 'Transfer-Encoding' => 'chunked'],
                body    => chunked($body, 3000)), $body);
        }
    };
    subtest "/$place: broken chunks" => sub {
        for my $raw ("z\r\n", "1\r\nabc", "fffffffffffffffff\r\n", "-1\r\n") {
            my $r = request($nginx->port, %post,
                headers => ['Transfer-Encoding' => 'chunked'],
                body    => $raw);
            is $r->status, 400, $raw =~ s/\s+/ /gr;
            ok !grep({ $_->complete } @{$provider->forget->requests}),
                'no whole request reaches the provider';
            $verdict = Verdict->new(%$verdict);
        }
    };
}

$nginx->stop;
done_testing;
