# The official OpenAI SDK.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Gateway;
use MockProvider;
use NodeClient;
use Test::More;

my $gateway = Gateway->start;
my $mock    = $gateway->mock;
my $bearer  = 'authorization: Bearer ' . REAL_KEY;
my $text    = 'Hello from the mock provider.';

sub sdk ($scenario, %arguments) {
    $gateway->forget;
    return scenario('openai.mjs', $scenario, _arguments(%arguments));
}

sub _arguments (%arguments) {
    return (base_url => $gateway->url('MAIN') . '/v1', key => CLIENT_KEY,
        %arguments);
}

# The one request of a scenario.
sub ok_request ($line) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @requests = $mock->events('request');
    is_deeply [map { "$_->{method} $_->{target}" } @requests], [$line],
        'what the provider was asked';
    ok_credential($requests[0], $bearer, $line) if @requests;
    return;
}

sub ok_error ($said, %expected) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply {map { $_ => $said->{$_} } keys %expected}, \%expected,
        'the SDK\'s error' or diag explain $said;
    like $said->{headers}{'x-request-id'}, qr/\A[\w.-]{1,128}\z/,
        'a request id';
    return;
}

# The headers of the provider that pass, and those that tell whose key it is.
sub ok_headers ($headers) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like delete $headers->{'x-request-id'}, qr/\A[\w.-]{1,128}\z/,
        'a request id';
    is_deeply $headers, {
        'openai-organization'            => undef,
        'openai-processing-ms'           => '7',
        'set-cookie'                     => undef,
        'x-codex-turn-state'             => 'turn-state-of-the-mock',
        'x-ratelimit-remaining-requests' => '4999',
    }, 'the headers that came back';
    return;
}

subtest 'responses, streamed' => sub {
    my $said = sdk('stream');
    is $said->{text}, $text, 'the text';
    is_deeply $said->{types}, [
        'response.created', 'response.in_progress',
        'response.output_item.added', 'response.content_part.added',
        ('response.output_text.delta') x 3,
        'response.output_text.done', 'response.content_part.done',
        'response.output_item.done', 'response.completed',
    ], 'every event, in order';
    is $said->{usage}{total_tokens}, 150, 'usage';
    ok_headers($said->{headers});
    ok_request('POST /v1/responses');
};

subtest 'responses, whole' => sub {
    my $said = sdk('json');
    is $said->{text}, $text, 'the text';
    is $said->{usage}{input_tokens_details}{cached_tokens}, 100, 'usage';
    ok $said->{request_id}, 'the SDK found the request id';
    ok_headers($said->{headers});
    ok_request('POST /v1/responses');
};

subtest 'a body of 16 MB' => sub {
    my $said = sdk('upload');
    is $said->{text}, $text, 'the text';
    ok_request('POST /v1/responses');
    is +($mock->events('request'))[0]{length}, $said->{length},
        'all of it arrived';
};

subtest 'a stream is not held back' => sub {
    is sdk('stepwise')->{text}, $text,
        'the first piece arrived while the provider waited';
};

subtest 'chat, streamed' => sub {
    my $said = sdk('chat');
    is $said->{text}, $text, 'the text';
    is $said->{usage}{total_tokens}, 150, 'the chunk after the last choice';
    ok_request('POST /v1/chat/completions');
};

subtest 'chat, whole' => sub {
    is sdk('chat-json')->{text}, $text, 'the text';
    ok_request('POST /v1/chat/completions');
};

subtest 'models' => sub {
    is_deeply sdk('models')->{ids}, [qw(mock-1 mock-2)], 'the list';
    ok_request('GET /v1/models');
};

subtest 'an x-api-key next to somebody else\'s Bearer token' => sub {
    my $said = sdk('json',
        key     => UNKNOWN_KEY,
        headers => {'x-api-key' => CLIENT_KEY});
    is $said->{text}, $text, 'is as good';
    ok_request('POST /v1/responses');
};

for my $scenario (qw(error error-in-stream)) {
    subtest "$scenario: an unknown key" => sub {
        ok_error(sdk($scenario, key => UNKNOWN_KEY, retries => 2),
            name    => 'AuthenticationError',
            status  => 401,
            type    => 'authentication_error',
            code    => 'invalid_api_key',
            message => '401 Invalid API key');
        ok_untouched($mock);
        is_deeply [$gateway->lines(1)],
            ['POST /v1/responses HTTP/1.1 401 - invalid_api_key'],
            'and the SDK tried once';
    };

    subtest "$scenario: the provider refuses the real key" => sub {
        my $said = sdk($scenario, model => 'error-401');
        ok_error($said,
            name   => 'InternalServerError',
            status => 503,
            type   => 'api_error',
            code   => 'upstream_credential_rejected');
        ok $said->{headers}{'retry-after'}, 'Retry-After';
        my $begins = substr REAL_KEY, 0, 12;
        unlike $said->{message}, qr/\Q$begins\E|Incorrect/,
            'the provider\'s words stay behind';
    };

    subtest "$scenario: the provider's own 429" => sub {
        my $said = sdk($scenario, model => 'error-429');
        ok_error($said,
            name    => 'RateLimitError',
            status  => 429,
            type    => 'rate_limit_error',
            code    => 'mock_429',
            message => '429 The mock provider was asked for a 429.');
        is $said->{headers}{'retry-after'}, 1, 'Retry-After';
    };

    subtest "$scenario: the provider's own 500" => sub {
        ok_error(sdk($scenario, model => 'error-500'),
            name    => 'InternalServerError',
            status  => 500,
            message => '500 The mock provider was asked for a 500.');
    };

    subtest "$scenario: the provider's own 400" => sub {
        ok_error(sdk($scenario, model => 'error-400'),
            name    => 'BadRequestError',
            status  => 400,
            message => '400 The mock provider was asked for a 400.');
    };
}

subtest 'a path that no rule has' => sub {
    ok_error(sdk('error-of-path', retries => 2),
        name   => 'PermissionDeniedError',
        status => 403,
        type   => 'permission_error',
        code   => 'path_not_allowed');
    ok_untouched($mock);
    is_deeply [$gateway->lines(1)],
        ['POST /v1/embeddings HTTP/1.1 403 - path_not_allowed'],
        'and the SDK tried once';
};

subtest 'a method that no rule has' => sub {
    my $said = sdk('error-of-method', retries => 2);
    ok_error($said,
        name   => 'APIError',
        status => 405,
        type   => 'invalid_request_error',
        code   => 'method_not_allowed');
    is $said->{headers}{allow}, 'POST', 'Allow: GET is for WebSockets alone';
    ok_untouched($mock);
    is_deeply [$gateway->lines(1)],
        ['DELETE /v1/responses HTTP/1.1 405 - method_not_allowed'],
        'and the SDK tried once';
};

subtest 'a retry waits as the provider says' => sub {
    my $said = sdk('retried', model => 'error-429', retries => 1);
    is $said->{name}, 'RateLimitError', 'refused again';
    is scalar(my @requests = $mock->events('request')), 2, 'two requests';
    cmp_ok $said->{took}, '>=', 990, 'a second apart';
};

subtest 'the client leaves in mid-stream' => sub {
    $gateway->forget;
    my $client = begin('openai.mjs', 'abort', _arguments());
    my $answer = $mock->await_event('answered');
    ok !$answer->{complete}, 'the provider\'s reply was cut short';
    is $mock->await_event('close')->{connection}, $answer->{connection},
        'and its connection closed';
    ok !$client->ended, 'while the client lives on';
    conclude($client);
};

$gateway->nginx->tolerate(qr/credential "openai"/);
$gateway->stop;
done_testing;
