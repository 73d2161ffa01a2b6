# Answers that are fetched later: what they cost is not seen, so that the POST
# that asks for one is charged with what was set aside. To look what became of
# it, or to cancel it, costs nothing.

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

# How figures grew by a request without a model that is answered so, and what
# the limit was charged.
sub charged ($reply, %request) {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, ['Content-Type' => 'application/json'],
            encode_json($reply));
    });
    my $used = sub {
        my $limit = $nginx->client_of($nginx->idle, 'ci')->{limits}[0];
        return $limit->{current_value} + $limit->{reserved_value};
    };
    my $before = $used->();
    my $growth = $nginx->growth('ci', sub {
        my $r = $nginx->call('ci', method => 'POST', target => '/v1/batches',
            body => '{"requests":[]}', %request);
        is $r->status, 200, 'passes';
    });
    return ($growth, $used->() - $before);
}

my %LATER = (
    'Anthropic, a batch' => {id => 'msgbatch_1', type => 'message_batch',
        processing_status => 'in_progress', request_counts => {}},
    'OpenAI, a batch' => {id => 'batch_1', object => 'batch',
        status => 'validating', model => 'gpt-5',
        usage => {input_tokens => 0, output_tokens => 0, total_tokens => 0}},
    'Mistral, a batch' => {id => '1', object => 'batch', status => 'QUEUED'},
    'Gemini, a batch'  => {name => 'batches/1',
        metadata => {state => 'BATCH_STATE_PENDING'}},
    'Gemini, a video' => {name => 'models/veo-3/operations/1'},
    'xAI, deferred'   => {request_id => '9a1d'},
    'OpenAI, in the background' => {id => 'resp_1', object => 'response',
        status => 'queued', model => 'gpt-5', usage => undef},
);
for my $name (sort keys %LATER) {
    subtest $name => sub {
        my ($growth, $tokens) = charged($LATER{$name});
        is $growth->{usage_missing}, 1, 'its figures are missing';
        cmp_ok $tokens, '>=', 2048, 'it is charged';
        ($growth, $tokens) = charged($LATER{$name}, method => 'GET',
            body => undef);
        is_deeply $growth, {requests => 1}, 'to look for it is not';
        is $tokens, 0, 'nor for limits';
    };
}

my %FREE = (
    'Anthropic, cancelled' => {id => 'msgbatch_1', type => 'message_batch',
        processing_status => 'canceling'},
    'OpenAI, cancelled' => {id => 'batch_1', object => 'batch',
        status => 'cancelling', model => 'gpt-5', usage =>
            {input_tokens => 7, output_tokens => 8, total_tokens => 15}},
    'OpenAI, an answer that is called off' => {id => 'resp_1',
        object => 'response', status => 'cancelled', model => 'gpt-5',
        usage => undef},
    'Mistral, cancelled' => {object => 'batch',
        status => 'CANCELLATION_REQUESTED'},
    'an upload' => {id => 'file-1', object => 'file', purpose => 'batch',
        status => 'processed'},
    'Gemini, an upload' => {file => {name => 'files/1'}},
    'Gemini, cancelled' => {},
);
for my $name (sort keys %FREE) {
    subtest $name => sub {
        my ($growth, $tokens) = charged($FREE{$name});
        is_deeply $growth, {requests => 1}, 'costs nothing';
        is $tokens, 0, 'nor for limits';
    };
}

$nginx->stop;
done_testing;
