# WebSockets, with the `ws` library and the OpenAI SDK's realtime client.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Gateway;
use MockProvider;
use Mojo::JSON qw(decode_json);
use NodeClient;
use Test::More;

my $gateway = Gateway->start;
my $mock    = $gateway->mock;
my $bearer  = 'authorization: Bearer ' . REAL_KEY;

sub _arguments (%arguments) {
    my $target = delete $arguments{target} // '/v1/realtime?model=mock-1';
    my $address = $gateway->url(delete $arguments{address} // 'MAIN');
    return (
        url => $address =~ s/\Ahttp/ws/r . $target,
        key => CLIENT_KEY,
        %arguments,
    );
}

sub ws ($scenario, %arguments) {
    $gateway->forget;
    return scenario('websocket.mjs', $scenario, _arguments(%arguments));
}

# The handshake as it reached the provider.
sub ok_handshake () {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @handshakes = $mock->events('handshake');
    is_deeply [map { $_->{target} } @handshakes],
        ['/v1/realtime?model=mock-1'], 'one handshake';
    ok_credential($handshakes[0], $bearer, 'handshake');
    return $handshakes[0];
}

subtest 'a message there and back' => sub {
    my $said = ws('echo');
    is $said->{text}, '{"hello":"there"}', 'the echo';
    ok !$said->{binary}, 'as text';
    is $said->{protocol}, '', 'no subprotocol';
    ok_handshake();
};

subtest 'a client that would compress' => sub {
    my $said = ws('large', deflate => 1, bytes => 1_000_000);
    is $said->{extensions}, '', 'does not, since messages are read';
    is $said->{received}, $said->{sent}, 'the echo';
    is $said->{length}, 1_000_000, 'all of it';
};

subtest '20 MB both ways' => sub {
    my $said = ws('large', bytes => 20 * 1024 * 1024);
    is $said->{length},   20 * 1024 * 1024, 'all of it';
    is $said->{received}, $said->{sent},    'the echo';
    ok $said->{binary}, 'binary';
    my ($message) = $mock->events('message');
    is $message->{sha256}, $said->{sent}, 'as the provider got it';
    is $said->{code}, 1005, 'closed in good order';
};

subtest 'ping and pong, from either side' => sub {
    my $said = ws('ping');
    is $said->{pong}, 'marco', 'the provider answers the client';
    is_deeply [map { $_->{data} } $mock->events('ping')], ['marco'],
        'whose ping it saw';
    is $said->{asked}, 'are you there', 'the client sees the provider\'s';
    is_deeply [map { $_->{data} } $mock->events('pong')], ['are you there'],
        'and answers it';
};

subtest 'the client closes' => sub {
    my $said = ws('closed-by-client');
    my $frame = $mock->await_event('close_frame');
    is $frame->{code},   4001,                        'the code';
    is $frame->{reason}, 'the client has had enough', 'the reason';
    is $said->{code},    4001, 'and the provider\'s answer to it';
    $mock->await_event('close');
};

subtest 'the provider closes' => sub {
    my $said = ws('closed-by-provider');
    is $said->{code},   4002,                          'the code';
    is $said->{reason}, 'the provider has had enough', 'the reason';
    is $mock->await_event('close_frame')->{code}, 4002,
        'and the client\'s answer to it';
    $mock->await_event('close');
};

subtest 'the client drops the connection' => sub {
    $gateway->forget;
    my $client = begin('websocket.mjs', 'dropped', _arguments());
    is $mock->await_event('close_frame')->{code}, 1006,
        'the provider\'s is dropped too';
    $mock->await_event('close');
    ok !$client->ended, 'while the client lives on';
    conclude($client);
};

# How a browser sends its key: next to what it really wants to speak.
subtest 'a key among the subprotocols' => sub {
    my @keys = map { "openai-insecure-api-key.$_" } CLIENT_KEY, UNKNOWN_KEY;
    my $said = ws('echo', protocols => [$keys[0], 'realtime', $keys[1]]);
    is $said->{protocol}, 'realtime', 'the provider\'s choice came back';
    my $handshake = ok_handshake();
    is header($handshake, 'sec-websocket-protocol'), 'realtime',
        'only what is no key goes up';
};

subtest 'subprotocols without a key' => sub {
    my $said = ws('echo', protocols => ['realtime', 'openai-beta.realtime-v1']);
    is $said->{protocol}, 'realtime', 'the provider\'s choice came back';
    is header(ok_handshake(), 'sec-websocket-protocol') =~ s/\s+//gr,
        'realtime,openai-beta.realtime-v1', 'go up as they are';
};

# It insists on TLS.
subtest 'the OpenAI SDK\'s realtime client' => sub {
    my $said = ws('realtime-sdk',
        base_url => $gateway->url('TLS') . '/v1',
        ca       => $gateway->authority->cert);
    is_deeply decode_json($said->{text}),
        {type => 'session.update', session => {}}, 'the echo';
    is $said->{code}, 1000, 'closed in good order';
    ok_handshake();
};

for my $status (400, 429, 500) {
    subtest "the provider refuses the handshake with $status" => sub {
        my $said = ws('refused',
            target => "/v1/realtime?model=error-$status");
        is $said->{status}, $status, 'the status';
        is decode_json($said->{body})->{error}{message},
            "The mock provider was asked for a $status.", 'the body';
        is $said->{headers}{'retry-after'}, $status == 429 ? 1 : undef,
            'Retry-After';
        $mock->await_event('close');
    };
}

subtest 'the provider refuses the real key' => sub {
    my $said = ws('refused', target => '/v1/realtime?model=error-401');
    is $said->{status}, 503, 'the status';
    is decode_json($said->{body})->{error}{code},
        'upstream_credential_rejected', 'the code';
    ok $said->{headers}{'retry-after'}, 'Retry-After';
};

my @refusals = (
    ['an unknown key', 401, 'invalid_api_key', key => UNKNOWN_KEY],
    ['a path without a WebSocket', 426, 'websocket_not_allowed',
        target => '/v1/chat/completions'],
    ['an address without one', 426, 'websocket_not_allowed',
        target => '/v1/responses', address => 'HTTP'],
    ['a parameter that no rule has', 403, undef,
        target => '/v1/realtime?intent=transcription'],
    ['a path that no rule has', 403, 'path_not_allowed',
        target => '/v1/elsewhere'],
);

for my $refusal (@refusals) {
    my ($name, $status, $code, %arguments) = @$refusal;
    subtest "refused here: $name" => sub {
        my $said = ws('refused', %arguments);
        is $said->{status}, $status, 'the status';
        is decode_json($said->{body})->{error}{code}, $code, 'the code'
            if defined $code;
        is lc $said->{headers}{connection}, 'close', 'Connection: close'
            if $status == 426;
        ok_untouched($mock);
    };
}

$gateway->nginx->tolerate(qr/credential "openai"/);
$gateway->stop;
done_testing;
