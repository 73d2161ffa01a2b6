# /v1/usage: a client's own figures and limits, and no one else's.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Configuration;
use Golden;
use Metered;
use Verdict;

my $nginx = Metered->new(
    clients => {
        ci      => {},
        other   => {},
        fresh   => {},
        limited => {limits => [
            {requests => 60, per => 'minute'}, {requests => 100, per => 'hour'},
            {tokens => 2_000_000, per => 'day'}, {usd => 0.5, per => 'week'},
            {usd => 50, per => 'month'}, {concurrent => 8},
            {usd => 1, per => 'day', model => 'gpt-5*'}]},
        models  => {models => ['gpt-5*']},
        gone    => {disabled => \1},
    },
    locations => <<'CONF',
        location = /own/usage {
            keystile_key_headers x-own-key;
            keystile_usage main;
        }
CONF
)->serve;
my $provider = $nginx->provider;
my $verdict  = Verdict->new(provider => $provider, key => Metered::KEY,
    secrets => [map { key_of($_) } qw(ci other limited gone)]);

my %TURN = (input => 1000, cached => 400, output => 100);

sub usage ($id, %request) {
    return $nginx->call($id, target => '/v1/usage', %request);
}

my @MEMBERS = qw(account_pool_usage cached_input_tokens limits request_count
    total_cost_usd total_tokens upstream_limits);

subtest 'figures' => sub {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(%TURN));
    });
    $nginx->turn('ci') for 1 .. 3;
    $nginx->turn('other');
    $nginx->idle;
    my $r = usage('ci');
    is $r->status, 200, 'are there';
    is $r->header('content-type'), 'application/json', 'as JSON';
    like $r->header('cache-control') // '', qr/no-store/, 'not to be kept';
    my $usage = $r->json;
    is_deeply [sort keys %$usage], \@MEMBERS, 'all members';
    is $usage->{request_count}, 3, 'requests';
    is $usage->{total_tokens}, 3300, 'input and output';
    is $usage->{cached_input_tokens}, 1200, 'cached input';
    cmp_ok abs($usage->{total_cost_usd}
        - 3 * (600 * 1.25 + 400 * .125 + 100 * 10) / 1e6), '<', 1e-9, 'cost';
    is_deeply [@$usage{qw(limits upstream_limits account_pool_usage)}],
        [[], [], {primary => undef, secondary => undef}], 'no limits';
    is usage('other')->json->{request_count}, 1, 'each has its own';
    like $r->body, qr/"request_count":\s*3\b/, 'numbers are numbers';
};

subtest 'a client that was never there' => sub {
    my $usage = usage('fresh')->json;
    is_deeply [map { $usage->{$_} } qw(request_count total_tokens
        cached_input_tokens total_cost_usd)], [0, 0, 0, 0], 'has used nothing';
};

subtest 'asking costs nothing' => sub {
    is_deeply $nginx->growth('ci', sub { usage('ci') for 1 .. 5 }), {},
        'it is no request';
};

subtest 'limits' => sub {
    $nginx->turn('limited');
    $nginx->idle;
    my @limits = @{usage('limited')->json->{limits}};
    is @limits, 7, 'all of them';
    my @names = qw(limit_type limit_window max_value current_value
        remaining_value model_filter);
    my $cost = 600 * 1.25 + 400 * .125 + 100 * 10;    # microdollars: 1800
    my @expected = (
        ['concurrent', undef, 8, 0, 8, undef],
        ['cost_usd', 'daily', 1_000_000, $cost, 1_000_000 - $cost, 'gpt-5*'],
        ['cost_usd', 'monthly', 50_000_000, $cost, 50_000_000 - $cost, undef],
        ['cost_usd', 'weekly', 500_000, $cost, 500_000 - $cost, undef],
        ['requests', 'hour', 100, 1, 99, undef],
        ['requests', 'minute', 60, 1, 59, undef],
        ['total_tokens', 'daily', 2_000_000, 1100, 2_000_000 - 1100, undef],
    );
    my $text = sub ($row) { return join ' ', map { $_ // '' } @$row };
    my @got  = sort { $text->($a) cmp $text->($b) }
        map { my $limit = $_; [map { $limit->{$_} } @names] } @limits;
    is_deeply \@got, \@expected, 'each with its figures'
        or diag explain \@got;
    for my $limit (@limits) {
        my $name = "$limit->{limit_type} " . ($limit->{limit_window} // '');
        is_deeply [sort keys %$limit], [sort @names, qw(reset_at source)],
            "$name: all members";
        ok length $limit->{source}, 'a source';
        my $at = $limit->{reset_at} // 'none';
        is $at, 'none', 'no reset' if $limit->{limit_type} eq 'concurrent';
        next if $limit->{limit_type} eq 'concurrent';
        ok $at =~ /\A(?:\d{10}|\d{4}-\d\d-\d\dT[\d:.]+Z)\z/,
            "a reset: $at";
    }
};

subtest 'what is open' => sub {
    $provider->forget->hold;
    my $wire    = $nginx->start_turn('limited');
    my $request = $provider->next_request;
    my ($limit) = grep { $_->{limit_type} eq 'concurrent' }
        @{usage('limited')->json->{limits}};
    is "$limit->{current_value} $limit->{remaining_value}", '1 7', 'counts';
    $request->reply(200);
    $wire->response;
    $wire->close;
    $nginx->idle;
};

subtest 'one who has used up a limit' => sub {
    $nginx->clients->{limited}{limits} = [{requests => 1, per => 'month'}];
    $nginx->write_files;
    is $nginx->reload, '', 'a lower limit';
    $provider->forget;
    $nginx->turn('limited');
    is $nginx->turn('limited')->status, 429, 'is reached';
    my $r = usage('limited');
    is $r->status, 200, 'one may still ask';
    my ($limit) = @{$r->json->{limits}};
    is $limit->{remaining_value}, 0, 'and is told that nothing remains';
    $verdict->_count;
};

subtest 'who may ask' => sub {
    my $key = qr/API key/i;
    $verdict->refused('nobody', usage(undef), 401, 'invalid_api_key', $key);
    $verdict->refused('one that is unknown', usage(undef,
        headers => ['X-Api-Key' => 'sk-test-unknown']), 401,
        'invalid_api_key', $key);
    $verdict->refused('one that is disabled', usage('gone'), 401,
        'invalid_api_key', $key);
    is usage(undef, headers => ['X-Api-Key' => key_of('ci')])->status, 200,
        'by either header';
    is usage('models')->status, 200, 'a client with models, without a body';
    my $own = sub (@headers) {
        return $nginx->call(undef, target => '/own/usage',
            headers => \@headers);
    };
    is $own->('X-Own-Key' => key_of('ci'))->status, 200, 'by one of its own';
    $verdict->refused('and then no other', $own->(bearer('ci')), 401,
        'invalid_api_key', qr/x-own-key/);
};

subtest 'methods' => sub {
    my $head = usage('ci', method => 'HEAD');
    is $head->status, 200, 'HEAD';
    for my $method (qw(POST PUT DELETE OPTIONS)) {
        my $r = usage('ci', method => $method);
        is $r->status, 405, $method;
        is $r->json->{error}{code}, 'method_not_allowed', 'as JSON';
    }
};

$nginx->stop;

my $plain = Nginx->new;
$plain->key_file('openai.key', 'sk-test-provider-9a01');
$plain->client_file({clients => [{id => 'ci', keys => [key_of('ci')]}]});
configure_with($plain, 'sk-test-provider-9a01');
subtest 'configurations' => sub {
    my $usage = sub ($location, %change) {
        return (http => 'keystile_zone main 1m;',
            more => "keystile_meter main; } location = /u { $location",
            %change);
    };
    passes 'with a set', $usage->('keystile_admit team; keystile_usage main;');
    fails 'no such zone', 'other',
        $usage->('keystile_admit team; keystile_usage other;');
    fails 'with anyone', 'keystile_usage',
        $usage->('keystile_admit any; keystile_usage main;');
    fails 'with nobody', 'keystile_admit', $usage->('keystile_usage main;');
    fails 'two handlers', 'keystile_', $usage->(
        'keystile_admit team; keystile_usage main; keystile_health;');
};

done_testing;
