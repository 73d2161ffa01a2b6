# The official Anthropic SDK: the client's key as x-api-key or as a Bearer
# token, the provider's always as x-api-key.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Gateway;
use MockProvider;
use NodeClient;
use Test::More;

my $gateway = Gateway->start;
my $mock    = $gateway->mock;
my $line    = 'x-api-key: ' . REAL_KEY;
my $text    = 'Hello from the mock provider.';

sub sdk ($scenario, %arguments) {
    $gateway->forget;
    return scenario('anthropic.mjs', $scenario,
        base_url => $gateway->url('MAIN'), %arguments);
}

sub ok_request ($target) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @requests = $mock->events('request');
    is_deeply [map { "$_->{method} $_->{target}" } @requests],
        ["POST $target"], 'what the provider was asked';
    ok_credential($requests[0], $line, $target);
    is header($requests[0], 'anthropic-version'), '2023-06-01',
        'anthropic-version goes up';
    return $requests[0];
}

sub ok_error ($said, $code, %expected) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply {map { $_ => $said->{$_} } keys %expected}, \%expected,
        'the SDK\'s error' or diag explain $said;
    is $said->{body}{type}, 'error', 'in Anthropic\'s form';
    is $said->{body}{error}{type}, $code, 'of Anthropic\'s type';
    return;
}

my %callers = (
    'x-api-key'    => {api_key    => CLIENT_KEY},
    'Bearer token' => {auth_token => CLIENT_KEY},
    'both'         => {api_key    => CLIENT_KEY, auth_token => CLIENT_KEY},
    'x-api-key and a foreign Bearer token' =>
        {api_key => CLIENT_KEY, auth_token => UNKNOWN_KEY},
    'Bearer token and a foreign x-api-key' =>
        {api_key => UNKNOWN_KEY, auth_token => CLIENT_KEY},
);

for my $caller (sort keys %callers) {
    subtest "$caller: streamed" => sub {
        my $said = sdk('stream', %{$callers{$caller}});
        is $said->{text}, $text, 'the text';
        is $said->{usage}{output_tokens}, 30, 'usage';
        is_deeply $said->{types}, [qw(message_start content_block_start
            content_block_delta content_block_delta content_block_delta
            content_block_stop message_delta message_stop)],
            'every event, in order';
        ok_request('/v1/messages');
    };

    subtest "$caller: whole" => sub {
        my $said = sdk('json', %{$callers{$caller}});
        is $said->{text}, $text, 'the text';
        is $said->{request_id}, 'req_mock_anthropic',
            'the provider\'s request id';
        ok_request('/v1/messages');
    };
}

subtest 'as Claude Code calls it' => sub {
    is sdk('beta', api_key => CLIENT_KEY)->{text}, $text, 'the text';
    my $request = ok_request('/v1/messages?beta=true');
    is header($request, 'anthropic-beta'), 'mock-2026-01-01',
        'anthropic-beta goes up';
};

for my $name (qw(api_key auth_token)) {
    subtest "an unknown key as $name" => sub {
        my $said = sdk('error', $name => UNKNOWN_KEY);
        ok_error($said, 'authentication_error',
            name   => 'AuthenticationError',
            status => 401);
        like $said->{body}{error}{message}, qr/\AInvalid API key/,
            'the message';
        is $said->{body}{request_id}, $said->{headers}{'x-request-id'},
            'the request id';
        ok_untouched($mock);
    };
}

subtest 'the provider refuses the real key' => sub {
    my $said = sdk('error', api_key => CLIENT_KEY, model => 'error-401');
    ok_error($said, 'api_error',
        name   => 'InternalServerError',
        status => 503);
    ok $said->{headers}{'retry-after'}, 'Retry-After';
    my $begins = substr REAL_KEY, 0, 12;
    unlike $said->{message}, qr/\Q$begins\E|Incorrect/,
        'the provider\'s words stay behind';
};

subtest 'the provider\'s own 429' => sub {
    my $said = sdk('error', api_key => CLIENT_KEY, model => 'error-429');
    ok_error($said, 'rate_limit_error',
        name   => 'RateLimitError',
        status => 429);
    is $said->{headers}{'retry-after'}, 1, 'Retry-After';
};

$gateway->nginx->tolerate(qr/credential "anthropic"/);
$gateway->stop;
done_testing;
