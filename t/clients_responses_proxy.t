# The real Codex CLI with the settings that OpenAI documents for
# `codex responses-api-proxy`: through that, and through what stands in for it
# here, both started and ended as documented.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Codex;
use MockProvider;
use ResponsesProxy;
use Test::More;

plan skip_all => 'the module is in the binary'
    if ($ENV{KEYSTILE_MODULE} // 'a file') eq '';

my $KEY  = 'sk-test-real-Vb2nT7yQm4';
my $mock = MockProvider->start(credential => $KEY);

sub turn ($port, %how) {
    $mock->forget;
    my $more = delete $how{more} // '';
    return codex(
        settings => [
            "model_providers.openai-proxy={ name = 'OpenAI Proxy', "
                . "base_url = 'http://127.0.0.1:$port/v1', "
                . "wire_api='responses'$more }",
            'model_provider=openai-proxy',
            'model="' . ($how{model} // 'mock-1') . '"',
        ]);
}

# What a request is, but for the ids that Codex makes up, and its lengths.
sub shape ($request) {
    my %headers = map { /\A([^:]+): (.*)\z/ ? (lc $1 => $2) : () }
        split /\r\n/, $request->{head};
    delete @headers{qw(connection x-request-id)};
    for my $name (keys %headers) {
        $headers{$name} = 'an id'
            if $name =~ /\A(?:content-length|x-codex-\w+-metadata)\z/
            || $headers{$name} =~ /\A[0-9a-f]{8}-[0-9a-f-]{27}(?::\d+)?\z/;
    }
    return {
        line    => "$request->{method} $request->{target}",
        input   => $request->{input},
        model   => $request->{model},
        headers => \%headers,
    };
}

my %shapes;
for my $whose (qw(theirs ours)) {
    subtest "$whose, as documented" => sub {
        my $proxy = ResponsesProxy->start(
            original   => $whose eq 'theirs',
            documented => 1,
            key        => $KEY,
            upstream   => 'http://' . $mock->address . '/v1/responses',
            options    => ['--http-shutdown']);
        my $turn = turn($proxy->port);
        is $turn->exit, 0, 'Codex is content' or diag $turn->err;
        is $turn->text, 'Hello from the mock provider.', 'the answer';
        is $turn->usage->{input_tokens}, 120, 'and what it cost';
        my @requests = $mock->events('request');
        is @requests, 1, 'one request';
        ok_credential($requests[0], "authorization: Bearer $KEY", 'it');
        $shapes{$whose} = shape($requests[0]);

        $turn = turn($proxy->port, model => 'tool');
        is $turn->exit, 0, 'a turn with a tool';
        is scalar(() = $mock->events('request')), 2, 'two requests';
        is header(($mock->events('request'))[1], 'x-codex-turn-state'),
            'turn-state-of-the-mock', 'the turn state goes round';

        $turn = turn($proxy->port, model => 'error-400');
        like $turn->errors, qr/The mock provider was asked for a 400/,
            'an error of the provider is shown';

        is system(qw(curl --fail --silent --show-error),
            'http://127.0.0.1:' . $proxy->port . '/shutdown'), 0, 'shutdown';
        is $proxy->end, 0, 'ends it';
    };
}

is_deeply $shapes{ours}, $shapes{theirs}, 'the provider sees the same request';

subtest 'a Codex that tries WebSocket first' => sub {
    my $proxy = ResponsesProxy->start(key => $KEY,
        upstream => 'http://' . $mock->address . '/v1/responses');
    my $turn = turn($proxy->port, more => ', supports_websockets=true');
    is $turn->exit, 0, 'Codex is content';
    unlike $turn->errors, qr/Reconnecting|Falling back/, 'with no warning';
    my @refusals = $proxy->said =~ /(websocket_not_allowed)/g;
    is @refusals, 1, 'after one try';
    $proxy->end('TERM');
};

$mock->stop;
done_testing;
