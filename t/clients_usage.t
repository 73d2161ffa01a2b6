# What real clients cost, as /v1/usage tells them, and how Codex takes it that
# its budget is used up.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Await;
use Codex;
use Gateway;
use MockProvider;
use NodeClient;
use Test::More;
use Wire;

my $gateway = Gateway->start;
my $mock    = $gateway->mock;
my $base    = $gateway->url('METERED') . '/v1';

sub usage ($id) {
    my $r = request($gateway->nginx->port('_METERED'), target => '/v1/usage',
        headers => [Authorization => 'Bearer ' . metered($id)]);
    is $r->status, 200, 'usage is told';
    return $r->json;
}

# What $turn adds to the figures of the client: each answer of the mock is of
# 120 tokens, 100 of them cached, and 30 more.
sub costs ($name, $answers, $turn) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = usage('alone');
    $gateway->forget;
    $turn->();
    my %expected = (
        request_count       => $answers,
        total_tokens        => 150 * $answers,
        cached_input_tokens => 100 * $answers,
    );
    my $now;
    await "$name to be counted", sub {
        $now = usage('alone');
        return $now->{request_count} == $before->{request_count} + $answers;
    };
    is $now->{$_} - $before->{$_}, $expected{$_}, "$name: $_"
        for sort keys %expected;
    my $cost = $now->{total_cost_usd} - $before->{total_cost_usd};
    is sprintf('%.6f', $cost), sprintf('%.6f', 0.00036 * $answers),
        "$name: cost";
    return;
}

sub codex_turn (%how) {
    my $turn = codex(base_url => $base, key => metered('alone'), %how);
    is $turn->exit, 0, 'Codex is content' or diag $turn->err, $turn->errors;
    return $turn;
}

subtest 'Codex' => sub {
    costs 'HTTP', 1, sub { codex_turn() };
    costs 'WebSocket', 1, sub { codex_turn(websockets => 1) };
};

subtest 'the OpenAI SDK' => sub {
    for my $scenario (qw(stream json chat)) {
        costs $scenario, 1, sub {
            scenario('openai.mjs', $scenario, base_url => $base,
                key => metered('alone'));
        };
    }
};

subtest 'Codex with a budget that is used up' => sub {
    my @caller = (base_url => $base, key => metered('spent'));
    is codex(@caller)->exit, 0, 'a turn within it';
    for my $websockets (0, 1) {
        $gateway->forget;
        my $turn = codex(@caller, websockets => $websockets);
        isnt $turn->exit, 0, 'Codex gives up';
        like $turn->errors, qr/usage limit/i, 'and says why';
        is_deeply [$mock->events('request'), $mock->events('handshake')], [],
            'the provider was not asked';
        my $asked = 1 + $websockets;    # a handshake, and then by HTTP
        is scalar(my @lines = $gateway->lines($asked)), $asked,
            'and we were not asked again';
    }
};

$gateway->stop;
done_testing;
