# Request bodies on their way: 100 Continue for those that are admitted, and
# with keystile_request_buffering off each part goes up as it comes.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-1d83';
my $CLIENT   = 'sk-test-client-c42e';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => [$CLIENT]}]});
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_allow       POST /**;
    keystile_inject      openai;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /small/ {
            client_max_body_size 1k;
            keystile_pass http://%%PROVIDER%%;
        }
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

my $verdict = Verdict->new(
    provider => $provider, key => $KEY, secrets => [$CLIENT]);
my @ADMITTED = (Authorization => "Bearer $CLIENT");

subtest 'Expect: 100-continue' => sub {
    my %post = (method => 'POST', bare => 1);
    my @want = (Host => 'a', Connection => 'close', Expect => '100-continue');
    my @framings = (['Content-Length' => 5],
        ['Transfer-Encoding' => 'chunked']);
    for my $place (qw(v1 unbuffered)) {
        for my $framing (@framings) {
            my $wire = Wire->connect($nginx->port);
            $wire->write(compose(%post, target => "/$place/responses",
                headers => [@want, @ADMITTED, @$framing]));
            $wire->await_bytes(qr/\AHTTP\/1\.1 100 Continue\r\n\r\n/);
            $wire->write($framing->[1] eq 'chunked' ? "5\r\nhello\r\n0\r\n\r\n"
                : 'hello');
            my $request = $verdict->admitted("/$place, @$framing",
                $wire->response) // next;
            is $request->body, 'hello', 'the body';
            is $request->header('expect'), undef, 'Expect does not go up';
        }
    }
    my @refusals = (
        [401, 'invalid_api_key', '/v1/responses', 'Content-Length' => 5],
        [401, 'invalid_api_key', '/v1/responses', @{$framings[1]}],
        [401, 'invalid_api_key', '/unbuffered/responses', @{$framings[1]}],
        [413, 'payload_too_large', '/small/responses', @ADMITTED,
            'Content-Length' => 1025],
    );
    for my $case (@refusals) {
        my ($status, $code, $target, @headers) = @$case;
        my $r = request($nginx->port, %post, target => $target,
            headers => [@want, @headers]);
        $verdict->refused("$status for $target", $r, $status, $code);
        is_deeply $r->interim, [], 'without a 100 before it';
    }
};

# Opens a request to the unbuffered location, of which a part was sent.
sub open_upload ($head, $part) {
    $provider->forget->hold;
    $verdict = Verdict->new(%$verdict);
    my $wire = Wire->connect($nginx->port);
    $wire->write("POST /unbuffered/responses HTTP/1.1\r\nHost: a\r\n"
        . "Authorization: Bearer $CLIENT\r\n$head\r\n\r\n$part");
    return $wire;
}

my %UPLOADS = (
    'a length' => ['Content-Length: 15', 'first', 'second', 'last'],
    'chunks'   => ['Transfer-Encoding: chunked', "5\r\nfirst\r\n",
        "6\r\nsecond\r\n", "4\r\nlast\r\n0\r\n\r\n"],
    'cut chunks' => ['Transfer-Encoding: chunked', "6\r\nfirst",
        "-\r\n7\r\nsecond-\r\n0004\r\nla", "st\r\n0\r\n\r\n"],
    'an Expect' => ["Content-Length: 15\r\nExpect: 100-continue", 'first',
        'second', 'last'],
);
for my $name (sort keys %UPLOADS) {
    my ($head, @parts) = @{$UPLOADS{$name}};
    subtest "a body that is passed as it comes: $name" => sub {
        my $wire    = open_upload($head, $parts[0]);
        my $request = $provider->next_head;
        await 'the first part', sub { $request->body =~ /first/ };
        unlike $request->connection->received, qr/second/, 'the first part';
        $wire->write($parts[1]);
        await 'the second part', sub { $request->body =~ /second/ };
        ok !$request->complete, 'the second part';
        $wire->write($parts[2]);
        await 'the end', sub { $request->complete };
        is $request->body =~ tr/-//dr, 'firstsecondlast', 'the last part';
        $request->reply(200);
        $verdict->admitted('the answer', $wire->response);
    };
}

subtest 'an answer before the body is complete' => sub {
    for my $name ('a length', 'chunks') {
        my ($head, $part) = @{$UPLOADS{$name}};
        my $wire    = open_upload($head, $part);
        my $request = $provider->next_head;
        $request->reply(429, ['Connection' => 'close'], 'slow down');
        my $r = $wire->response;
        is $r->status, 429, $name;
        is $r->body, 'slow down', 'passes';
        like $request->connection->await_end, qr/eof|reset/,
            'and the provider\'s connection, half used, is not kept';
    }
};

$nginx->stop;
done_testing;
