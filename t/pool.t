# Several credentials in one location: a request that is refused for its
# credential goes out again, the same but for that line, with the next.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Pool;
use Provider;
use Time::HiRes ();
use Wire;

my $provider = Provider->new;
my $closed   = Provider->new->close;
my $nginx    = Nginx->new(log => '$uri $status $keystile_credential '
        . '"$upstream_status" $keystile_decision');
my $pool = Pool->new(provider => $provider, nginx => $nginx);
$pool->location('plain', 3);
$pool->location($_, 2)
    for qw(body early head limited spoken echo google xai);
$pool->location('forbidden', 2, 'keystile_next_credential http_403;');
$pool->location('unlisted',  2, 'keystile_next_credential http_401;');
$pool->location('off',       2, 'keystile_next_credential off;');
$pool->location('tries',     3,
    'keystile_next_credential http_401 http_429 tries=2;');
$pool->location('streamed', 2, 'keystile_request_buffering off;');
$pool->location('brief', 2, 'keystile_next_upstream_timeout 1ms;');
$pool->location('socket', 2);
$pool->location('turns',  3);
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_admit   any;
    keystile_allow   GET,HEAD,POST /**;
    keystile_allow   GET /socket/* websocket;
    server {
        listen 127.0.0.1:%%PORT%%;
CONF
    PROVIDER => $provider->address);

my $BAD = '{"error":{"type":"authentication_error",'
    . '"message":"invalid x-api-key"}}';

subtest 'the next credential' => sub {
    $pool->fates(plain => [401]);
    my $r = $pool->ask('plain', method => 'POST', body => '{"a":1}',
        headers => ['X-Own' => 'kept', Authorization => 'Bearer sk-test-own']);
    is $r->status, 200, 'the client sees the second answer';
    is $r->json->{by}, 'plain-2', 'and no other';
    is $pool->sent, 'plain-1 plain-2', 'one try each';
    my ($first, $second) = @{$provider->requests};
    is $second->body, '{"a":1}', 'the body again';
    my $expected = $first->head;
    my $keys     = $pool->keys;
    $expected =~ s/\Q$keys->{'plain-1'}/$keys->{'plain-2'}/;
    is $second->head, $expected, 'the head is the same but for the key';
    unlike $second->head, qr/sk-test-own/, 'nothing of the client';
    is(($nginx->access_log(1))[-1], '/plain/a 200 plain-2 "401, 200" admitted',
        'the log has both');

    $provider->forget;
    $pool->fates(plain => [401]);
    is $pool->ask('plain')->status, 200, 'another request';
    is $pool->sent, 'plain-2', 'does not try the first again';
};

subtest 'refused least recently' => sub {
    $pool->fates(turns => [429, ['Retry-After' => 1]],
        [429, ['Retry-After' => 1000]], [200]);
    is $pool->ask('turns')->status, 200, 'the third takes it';
    is $pool->sent, 'turns-1 turns-2 turns-3', 'after two tries';
    $provider->forget;
    await_back();
    $pool->fates(turns => [200], [200], [401]);
    is $pool->ask('turns')->json->{by}, 'turns-1', 'back after its second';
    is $pool->sent, 'turns-3 turns-1', 'but the one never refused is first';
};

# The shortest Retry-After is a second: so long the pool has one less.
sub await_back () {
    my $until = time + 2;
    await('a second to pass', sub { time >= $until });
    return;
}

subtest 'what a reply of a refusal costs' => sub {
    my $large = join '', map { chr 33 + $_ % 90 } 1 .. 3_000_000;
    $pool->fates(body => [401, [], 'x' x 5000]);
    my $r = $pool->ask('body', method => 'POST', body => $large);
    is $r->status, 200, 'a large body goes out twice';
    is $pool->sent, 'body-1 body-2', 'once with each';
    ok $provider->last->body eq $large, 'whole';

    $pool->fates(head => [401]);
    is $pool->ask('head', method => 'HEAD')->status, 200, 'HEAD';
    is $pool->sent, 'head-1 head-2', 'too';

    $pool->fates(echo => [401, ['X-Key' => $pool->keys->{'echo-1'}],
        'You sent ' . $pool->keys->{'echo-1'}]);
    $r = $pool->ask('echo');
    is $r->status, 200, 'a reply that repeats the key';
    unlike $r->body . $r->head, qr/You sent|X-Key/, 'is never seen';
};

subtest 'a refusal while the body still goes up' => sub {
    $pool->fates(early => sub ($request) { });
    my $first = $pool->keys->{'early-1'};
    $provider->on_head(sub ($request) {
        $request->reply(401) if index($request->head, $first) >= 0;
    });
    my $large = join '', map { chr 33 + $_ % 90 } 1 .. 8_000_000;
    my $r     = $pool->ask('early', method => 'POST', body => $large);
    is $r->status, 200, 'is one';
    is $pool->sent, 'early-1 early-2', 'the next takes over';
    ok $provider->last->body eq $large, 'with the whole body';
};

subtest 'rate limits' => sub {
    $pool->fates(limited => [429, ['Retry-After' => 30]]);
    is $pool->ask('limited')->json->{by}, 'limited-2', 'a 429';
    is $nginx->logged_as(qr{\A/limited/}),
        '/limited/a 200 limited-2 "429, 200" admitted', 'in the log';
    like $nginx->error_log,
        qr/\[warn\].*credential "limited-1" is left alone for 30 seconds: the/,
        'for as long as it says';
};

# Google's and xAI's.
subtest 'a 400 for the key' => sub {
    for my $body ('{"error":{"code":400,"message":"API key not valid. Please '
            . 'pass a valid API key.","status":"INVALID_ARGUMENT"}}',
        '{"code":"Client specified an invalid argument",'
            . '"error":"Incorrect API key provided: sk***ey."}') {
        my $name = $body =~ /INVALID/ ? 'google' : 'xai';
        $pool->fates($name => [400, [], $body]);
        is $pool->ask($name)->json->{by}, "$name-2", "$name: the next";
        is $pool->sent, "$name-1 $name-2", 'one try each';
    }
    my $echo = '{"error":{"message":"model \\"Invalid API key\\" is unknown"}}';
    $pool->fates(spoken => [400, [], $echo]);
    is $pool->ask('spoken')->body, $echo, 'one that repeats such words passes';
    is $pool->sent, 'spoken-1', 'after one try';
};

subtest 'what is no refusal of the credential' => sub {
    for my $status (400, 404, 500, 502, 503, 529) {
        $pool->fates(spoken => [$status]);
        is $pool->ask('spoken')->status, $status, "$status passes";
        is $pool->sent, 'spoken-1', 'after one try';
    }
    $pool->fates(spoken => [403, [], '{"error":{"message":"Not in Europe"}}']);
    is $pool->ask('spoken')->status, 403, 'a 403 of the request passes';
    is $pool->sent, 'spoken-1', 'after one try';
};

subtest 'conditions' => sub {
    $pool->fates(forbidden => [403, [], $BAD]);
    is $pool->ask('forbidden')->json->{by}, 'forbidden-2', 'http_403';
    $pool->fates(unlisted => [403, [], $BAD]);
    is $pool->ask('unlisted')->status, 503, 'not without it';
    is $pool->sent, 'unlisted-1', 'one try';
    $pool->fates(unlisted => [429]);
    is $pool->ask('unlisted')->status, 429, 'nor on 429';
    is $pool->sent, 'unlisted-1', 'which does not cool down then';

    for my $status (401, 429) {
        $pool->fates(off => [$status]);
        is $pool->ask('off')->status, $status == 401 ? 503 : 429, "off: $status";
        is $pool->sent, 'off-1', 'always the first';
    }
};

subtest 'tries' => sub {
    $pool->fates(tries => [401], [401]);
    my $r = $pool->ask('tries');
    is $r->status, 503, 'given up';
    is $pool->sent, 'tries-1 tries-2', 'after two';
    is $r->header('retry-after'), 1, 'with a third at hand';
    $pool->fates('tries');
    is $pool->ask('tries')->json->{by}, 'tries-3', 'for the next request';
};

subtest 'a body that is not kept' => sub {
    $pool->fates(streamed => [401]);
    my $r = $pool->ask('streamed', method => 'POST', body => 'x' x 200_000);
    is $r->status, 503, 'cannot be sent again';
    is $pool->sent, 'streamed-1', 'one try';
    is $pool->ask('streamed', method => 'POST', body => 'x')->json->{by},
        'streamed-2', 'but the next request has the next';
};

subtest 'the time for all tries' => sub {
    $provider->forget->hold;
    my $wire = Wire->connect($nginx->port)->expect;
    $wire->write(compose(target => '/brief/a'));
    my $request = $provider->next_request;
    await('two milliseconds', passed(0.002));
    $request->reply(401);
    is $wire->response->status, 503, 'is over';
    is $pool->sent, 'brief-1', 'after one';
};

sub passed ($seconds) {
    my $until = Time::HiRes::time() + $seconds;
    return sub { Time::HiRes::time() >= $until };
}

subtest 'WebSocket' => sub {
    $pool->fates(socket => [401], sub ($request) { $request->accept_websocket });
    my $wire = Wire->handshake($nginx->port, target => '/socket/a');
    is $wire->message->status, 101, 'a handshake';
    is $pool->sent, 'socket-1 socket-2', 'with the next';
    $wire->send_frame('hello');
    my $far = $provider->last->connection->websocket;
    is $far->next_frame->{payload}, 'hello', 'is open';
    $wire->close;
};

$nginx->stop;
done_testing;
