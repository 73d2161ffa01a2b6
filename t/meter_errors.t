# Errors that come after an answer, or with it: the model was asked, and is
# paid. Others cost nothing.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Metered;
use Mojo::JSON qw(encode_json);

my $nginx = Metered->new(clients => {
    ci => {limits => [{tokens => 10_000_000, per => 'month'}]}})->serve;
my $provider = $nginx->provider;
$nginx->call('ci');    # the status knows it from now on

use constant EVENTS => ['Content-Type' => 'text/event-stream'];
use constant ERROR  => qq(event: error\ndata: {"error":{"message":"no"}}\n\n);
use constant DONE   => "data: [DONE]\n\n";

# How a client's figures grew by a turn that is answered so, and the tokens
# that its limit was charged.
sub charged ($status, $headers, $body, %request) {
    $provider->forget->answer(sub ($request) {
        $request->reply($status, $headers, $body);
    });
    my $used = sub {
        my $limit = $nginx->client_of($nginx->idle, 'ci')->{limits}[0];
        is $limit->{reserved_value}, 0, 'nothing stays reserved';
        return $limit->{current_value};
    };
    my $before = $used->();
    my $growth = $nginx->growth('ci', sub {
        my $r = $nginx->turn('ci', %request);
        is $r->status, $status, "a $status";
        is $r->body, $body, 'that passes as it came';
    });
    return ($growth, $used->() - $before);
}

sub chunk ($model) {
    return 'data: ' . encode_json({model => $model,
        choices => [{delta => {content => 'x'}}]}) . "\n\n";
}

subtest 'an error amid a stream' => sub {
    for my $end (ERROR, ERROR . DONE) {
        my ($growth, $tokens)
            = charged(200, EVENTS, chunk('gpt-5.1') x 5000 . $end);
        is_deeply $growth, {requests => 1, usage_missing => 1},
            'its figures are missing';
        cmp_ok $tokens, '>=', 5000, 'a token for each event is charged';
    }
    my ($growth, $tokens)
        = charged(200, EVENTS, chunk('gpt-5.1') x 4 . ERROR);
    is $growth->{usage_missing}, undef, 'not after a few, as any begins with';
    is $tokens, 0, 'which cost nothing';
    ($growth, $tokens) = charged(200, EVENTS, chunk('gpt-5.1') x 5 . ERROR);
    is $growth->{usage_missing}, 1, 'after more';
    cmp_ok $tokens, '>=', 2048, 'as much as was reserved';
    ($growth, $tokens) = charged(200, EVENTS, chunk('gpt-5.1') x 5 . ERROR
        . 'data: {"usage":{"prompt_tokens":3,"completion_tokens":4}}' . "\n\n");
    is_deeply $growth, {requests => 1, input_tokens => 3, output_tokens => 4},
        'with figures behind it';
    is $tokens, 7, 'those are charged';
};

subtest 'an error with the answer in it' => sub {
    my $error = sub ($answer) {
        return encode_json({error => {message => 'no',
            type => 'invalid_request_error', code => 'json_validate_failed',
            defined $answer ? (failed_generation => $answer) : ()}});
    };
    my @json = (['Content-Type' => 'application/json']);
    for my $size (0, 100_000) {
        my ($growth, $tokens) = charged(400, @json, $error->('x' x $size));
        is_deeply $growth, {requests => 1, usage_missing => 1},
            "its figures are missing: $size bytes";
        cmp_ok $tokens, '>=', $size / 4 || 2048, 'it is charged';
    }
    my ($growth, $tokens) = charged(400, @json, $error->(undef));
    is_deeply $growth, {requests => 1}, 'one without an answer is free';
    is $tokens, 0, 'for limits, too';
    ($growth, $tokens) = charged(200, EVENTS,
        "event: error\ndata: " . $error->('x') . "\n\n");
    is_deeply $growth, {requests => 1, usage_missing => 1}, 'on a stream';
};

subtest 'errors instead of an answer' => sub {
    for my $body (ERROR, ERROR . DONE, qq(data: {"type":"ping"}\n\n) . ERROR) {
        my ($growth, $tokens) = charged(200, EVENTS, $body);
        is_deeply $growth, {requests => 1}, 'cost nothing';
        is $tokens, 0, 'nor are they charged';
    }
    for my $body ('no JSON', '{"model":"gpt-5.1"}',
        '{"error":{},"usage":{"input_tokens":5,"output_tokens":5}}') {
        my ($growth, $tokens) = charged(400, undef, $body);
        is_deeply $growth, {requests => 1}, "nor does a 400: $body";
        is $tokens, 0, 'nor is it charged';
    }
};

$nginx->stop;
done_testing;
