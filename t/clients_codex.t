# The real Codex CLI, over HTTP with server-sent events and over WebSocket.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Codex;
use Gateway;
use MockProvider;
use Mojo::JSON qw(decode_json);
use Test::More;

my $gateway = Gateway->start;
my $mock    = $gateway->mock;
my $bearer  = 'authorization: Bearer ' . REAL_KEY;

# One turn after a clean slate.
sub turn ($address, %how) {
    $gateway->forget;
    return codex(
        base_url => $gateway->url($address) . '/v1',
        key      => CLIENT_KEY,
        %how);
}

sub ok_turn ($turn, %usage) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $turn->exit, 0, 'Codex is content' or diag $turn->err, $turn->errors;
    is $turn->text, 'Hello from the mock provider.', 'the answer is shown';
    my %got = %{$turn->usage // {}};
    is_deeply {map { $_ => $got{$_} } keys %usage}, \%usage,
        'usage came through';
    return;
}

sub ok_post ($request, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is "$request->{method} $request->{target}", 'POST /v1/responses',
        "$name: where it was sent";
    ok_credential($request, $bearer, $name);
    is header($request, 'accept-encoding'), undef,
        "$name: no compression asked for";
    ok defined header($request, $_), "$name: $_"
        for qw(session-id thread-id x-codex-turn-metadata);
    return;
}

# The messages on the one socket of a turn.
sub ok_socket () {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @handshakes = $mock->events('handshake');
    is @handshakes, 1, 'one handshake';
    is_deeply [$mock->events('request')], [], 'no request beside it';
    is $handshakes[0]{target}, '/v1/responses', 'where it was sent';
    is $handshakes[0]{status}, 101, 'accepted';
    ok_credential($handshakes[0], $bearer, 'handshake');
    like header($handshakes[0], 'openai-beta'), qr/\Aresponses_websockets=/,
        'openai-beta goes up';
    my @messages = $mock->events('message');
    my %stray;
    for my $message (@messages) {
        $stray{$_} += $message->{seen}{$_} for keys %{$message->{seen}};
    }
    is_deeply [grep { $stray{$_} } sort keys %stray], [], 'no key in a message';
    is_deeply [grep { $_->{type} ne 'response.create' } @messages], [],
        'all messages ask for a response';
    ok exists $messages[0]{generate} && !$messages[0]{generate},
        'the first is a prewarm';
    like $_->{previous_response_id}, qr/\Aresp_mock_/,
        'a later one follows another' for @messages[1 .. $#messages];
    is $mock->await_event('close')->{connection},
        $handshakes[0]{connection}, 'closed behind Codex';
    return @messages;
}

my %callers = (
    MAIN        => [key => CLIENT_KEY],
    PLACEHOLDER => [key => PLACEHOLDER_KEY],
    TLS         => [key => CLIENT_KEY, ca => $gateway->authority->cert],
);

for my $address (sort keys %callers) {
    my @caller = @{$callers{$address}};

    subtest "$address: a turn over HTTP" => sub {
        ok_turn(turn($address, @caller),
            input_tokens        => 120,
            cached_input_tokens => 100,
            output_tokens       => 30);
        my @requests = $mock->events('request');
        is @requests, 1, 'one request';
        ok_post($requests[0], 'request');
        is_deeply [$mock->events('handshake')], [], 'no handshake';
    };

    subtest "$address: a turn over WebSocket" => sub {
        ok_turn(turn($address, @caller, websockets => 1),
            input_tokens  => 120,
            output_tokens => 30);
        is scalar(my @messages = ok_socket()), 2, 'prewarm and turn';
    };
}

subtest 'over TLS, HTTP/2 and nevertheless a WebSocket' => sub {
    my $http = $gateway->nginx->is_built_with('http_v2_module') ? 'HTTP/2.0'
        : 'HTTP/1.1';
    my @caller = @{$callers{TLS}};
    ok_turn(turn('TLS', @caller, model => 'tool'));
    is_deeply [$gateway->lines(2)],
        [("POST /v1/responses $http 200 ci admitted") x 2], $http;
    ok_turn(turn('TLS', @caller, websockets => 1));
    is_deeply [$gateway->lines(1)],
        ['GET /v1/responses HTTP/1.1 101 ci admitted'], 'WebSocket';
};

subtest 'a tool call over HTTP: the turn state goes round' => sub {
    ok_turn(turn('MAIN', model => 'tool'), input_tokens => 240);
    my @requests = $mock->events('request');
    is @requests, 2, 'two requests';
    ok_post($_, 'request') for @requests;
    is header($requests[0], 'x-codex-turn-state'), undef, 'none at first';
    is header($requests[1], 'x-codex-turn-state'), 'turn-state-of-the-mock',
        'Codex repeats what the provider said';
};

subtest 'a tool call over WebSocket: three messages, one socket' => sub {
    ok_turn(turn('MAIN', model => 'tool', websockets => 1),
        input_tokens => 240);
    my @messages = ok_socket();
    is @messages, 3, 'prewarm, turn and the output of the tool';
    is_deeply $messages[2]{input}, ['function_call_output'],
        'the last has only what is new';
};

subtest 'no rule for a WebSocket: one 426, then HTTP' => sub {
    my $turn = turn('HTTP', websockets => 1);
    ok_turn($turn, input_tokens => 120);
    unlike $turn->errors, qr/Reconnecting|Falling back/, 'no warning';
    is_deeply [$gateway->lines(2)],
        ['GET /v1/responses HTTP/1.1 426 - websocket_not_allowed',
        'POST /v1/responses HTTP/1.1 200 ci admitted'],
        'one refusal, one request';
    is_deeply [$mock->events('handshake')], [], 'no handshake went up';
    my @requests = $mock->events('request');
    is @requests, 1, 'one request did';
    is_deeply [map { $_->{connection} } $mock->events('open')],
        [$requests[0]{connection}], 'on the only connection that was opened';
    ok_post($requests[0], 'request');
};

for my $websockets (0, 1) {
    my $how = $websockets ? 'WebSocket' : 'HTTP';
    subtest "an unknown key over $how" => sub {
        my $turn = turn('MAIN',
            key        => UNKNOWN_KEY,
            websockets => $websockets,
            retries    => 0);
        isnt $turn->exit, 0, 'the turn fails';
        like $turn->errors,
            qr/unexpected status 401 Unauthorized: Invalid API key/,
            'Codex shows our message';
        ok_untouched($mock);
        my @lines = $gateway->lines(1);
        is_deeply [grep { !/ 401 - invalid_api_key\z/ } @lines], [],
            'each try was refused as such';
    };
}

subtest 'no key at all' => sub {
    my $turn = turn('MAIN',
        key      => undef,
        retries  => 0,
        provider => 'requires_openai_auth=false');
    my $missing = 'Missing API key in Authorization header or x-api-key header';
    like $turn->errors, qr/unexpected status 401 Unauthorized: $missing/,
        'Codex shows what to send';
    ok_untouched($mock);
};

for my $websockets (0, 1) {
    my $how = $websockets ? 'WebSocket' : 'HTTP';
    subtest "the key as x-api-key over $how" => sub {
        ok_turn(turn('MAIN',
            websockets => $websockets,
            provider => 'env_http_headers={"x-api-key"="GATEWAY_KEY"}'));
        my ($first) = map { $mock->events($_) } qw(handshake request);
        ok_credential($first, $bearer, $how);
    };
}

subtest 'x-api-key decides when the Bearer token is not ours' => sub {
    ok_turn(turn('MAIN',
        provider => 'experimental_bearer_token="' . UNKNOWN_KEY . '",'
            . 'env_http_headers={"x-api-key"="GATEWAY_KEY"}'));
    ok_credential(($mock->events('request'))[0], $bearer, 'request');
};

subtest 'Codex\'s own provider: a WebSocket without being told' => sub {
    ok_turn(turn('MAIN', built_in => 1), input_tokens => 120);
    ok_socket();
};

subtest 'the provider refuses the real key' => sub {
    my $turn = turn('MAIN', model => 'error-401', retries => 0);
    isnt $turn->exit, 0, 'the turn fails';
    is scalar(my @requests = $mock->events('request')), 1,
        'the provider was asked once';
    my $shown = $turn->errors . $turn->err;
    like $turn->errors, qr/\b503\b/, 'Codex sees a 503';
    my $begins = substr REAL_KEY, 0, 12;
    unlike $shown, qr/\Q$begins\E|Incorrect/, 'and no word of the provider\'s';
    is_deeply [$gateway->lines(1)],
        ['POST /v1/responses HTTP/1.1 503 ci admitted'], 'nor a 401';
};

# It asks with HEAD, for which there is no rule, and without the key: what it
# makes of the refusals is that someone is there.
for my $address (sort keys %callers) {
    subtest "$address: codex doctor" => sub {
        my %caller = @{$callers{$address}};
        my $url    = $gateway->forget->url($address) . '/v1';
        my $doctor = codex(
            ca      => $caller{ca},
            key     => $caller{key},
            command => [qw(doctor --network-only --json)],
            config  => <<"TOML");
model_provider = "gateway"

[model_providers.gateway]
name = "gateway"
base_url = "$url"
wire_api = "responses"
env_key = "GATEWAY_KEY"
supports_websockets = true
TOML
        is $doctor->exit, 0, 'it is content' or diag $doctor->err;
        my $report = decode_json($doctor->out);
        my @checks = values %{$report->{checks}};
        is_deeply [$report->{overallStatus}, grep { $_->{status} ne 'ok' }
            @checks], ['ok'], 'with all that it looked at'
            or diag $doctor->out;
        ok exists $report->{checks}{"network.${_}_reachability"}, "with $_"
            for qw(provider websocket);

        my $client = $address eq 'PLACEHOLDER' ? '-' : 'ci';
        is_deeply [sort map { s{ HTTP/[\d.]+}{}r } $gateway->lines(3)],
            ['GET /v1/models 401 - invalid_api_key',
            "GET /v1/responses 101 $client admitted",
            'HEAD /v1/responses 405 - method_not_allowed'], 'as we saw it';
        is_deeply [$mock->events('request')], [], 'no request went up';
        my @handshakes = $mock->events('handshake');
        is @handshakes, 1, 'but one handshake';
        ok_credential($handshakes[0], $bearer, 'handshake');
    };
}

$gateway->nginx->tolerate(qr/credential "openai"/);
$gateway->stop;
done_testing;
