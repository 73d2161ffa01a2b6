# Limits: what a client may use, in each of their windows; refused before the
# provider is asked, as the clients of providers understand it; and exact
# however many ask at the same time.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Configuration;
use Golden;
use Metered;
use Mojo::Date;
use Mojo::JSON qw(encode_json);
use Time::Local qw(timegm);

my %LIMITS = (
    requests_minute => [{requests => 2, per => 'minute'}],
    requests_hour   => [{requests => 2, per => 'hour'}],
    requests_day    => [{requests => 2, per => 'day'}],
    requests_week   => [{requests => 2, per => 'week'}],
    requests_month  => [{requests => 2, per => 'month'}],
    tokens_minute   => [{tokens => 1000, per => 'minute'}],
    tokens_day      => [{tokens => 1000, per => 'day'}],
    usd_hour        => [{usd => 0.01, per => 'hour'}],
    usd_month       => [{usd => 0.01, per => 'month'}],
    concurrent      => [{concurrent => 2}],
    concurrent_race => [{concurrent => 10}],
    day_race        => [{requests => 10, per => 'day'}],
    minute_race     => [{requests => 10, per => 'minute'}],
    by_model        => [{tokens => 100, per => 'day', model => 'gpt-5*'},
        {requests => 3, per => 'day', model => 'o4-mini'}],
    both            => [{requests => 100, per => 'day'},
        {tokens => 100, per => 'day'}],
    failing         => [{requests => 3, per => 'day'},
        {tokens => 1000, per => 'day'}],
    # Of which a turn reserves a third, or more.
    held_day        => [{requests => 100, per => 'day'},
        {tokens => 6000, per => 'day'}],
    held_month      => [{usd => 0.01, per => 'month'}],
    held_minute     => [{tokens => 6000, per => 'minute'}],
    missing         => [{tokens => 1_000_000, per => 'month'}],
    reloaded        => [{requests => 3, per => 'day'}],
    free            => [],
);
# Each is there twice: see in_one_window().
my %clients = map {
    my %client = @{$LIMITS{$_}} ? (limits => $LIMITS{$_}) : ();
    ($_ => \%client, "${_}_1" => \%client, "${_}_2" => \%client);
} keys %LIMITS;
my $nginx = Metered->new(
    workers => 2,
    clients => \%clients,
    locations => <<'CONF',
        location /gone/ { keystile_pass http://%%GONE%%; }
        location = /models { keystile_pass http://%%PROVIDER%%/v1/models; }
CONF
);
on_one_day();
$nginx->serve(GONE => Provider->new->close->address);
my $provider = $nginx->provider;

sub answers (%turn) {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(%turn));
    });
    return;
}

# One after the other, each behind the end of the one before.
sub turns ($id, $count, %request) {
    return map {
        my $r = $nginx->turn($id, %request);
        $nginx->idle;
        $r;
    } 1 .. $count;
}

my %PERIODS = (minute => 60, hour => 3600, day => 86_400);

# When nginx answered: under load, that may be a while ago.
sub date_of ($r) { return Mojo::Date->new($r->header('date'))->epoch }

# When the window ends that is open then, in UTC: weeks begin on Monday, months
# on their first day.
sub end_of ($per, $now) {
    return $now - $now % $PERIODS{$per} + $PERIODS{$per} if $PERIODS{$per};
    my (undef, undef, undef, undef, $month, $year, $weekday) = gmtime $now;
    return $now - $now % 86_400 + 86_400 * (7 - ($weekday + 6) % 7)
        if $per eq 'week';
    return $month == 11 ? timegm(0, 0, 0, 1, 0, $year + 1)
        : timegm(0, 0, 0, 1, $month + 1, $year);
}

# A refusal is one in every respect.
sub refused ($name, $r, $per) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->status, 429, "$name: 429" or return diag $r->head . $r->body;
    my $error   = ($r->json // {})->{error} // {};
    my $retry   = $r->header('retry-after') // 'none';
    my $passing = $per =~ /minute|hour|concurrent/;
    my $now     = date_of($r);
    my $end     = $per eq 'concurrent' ? undef : end_of($per, $now);
    is $r->header('content-type'), 'application/json', 'JSON';
    like $r->header('x-request-id') // '', qr/\A[\w.-]+\z/, 'a request id';
    is "$error->{type} $error->{code}",
        $passing ? 'rate_limit_error rate_limit_exceeded'
        : 'usage_limit_reached usage_limit_reached', 'type and code';
    like $retry, qr/\A[1-9]\d*\z/, 'Retry-After';
    is $r->header('x-should-retry'), $passing ? undef : 'false',
        'x-should-retry';
    if ($per eq 'concurrent') {
        is $retry, 1, 'in a second';
    }
    else {
        my $left = $end - $now;
        ok $retry >= $left && $retry <= $left + 2,
            "until the window ends: $retry";
    }
    is $error->{resets_at}, $passing ? undef : $end, 'resets_at';
    return $error;
}

subtest 'requests, in each window' => sub {
    for my $per (qw(minute hour day week month)) {
        my @answers = in_one_window($PERIODS{$per} // 86_400, sub ($try) {
            answers(input => 1);
            return map { $nginx->turn("requests_${per}_$try") } 1 .. 4;
        });
        is join(' ', map { $_->status } @answers), '200 200 429 429',
            "two in a $per";
        refused("a $per", $answers[$_], $per) for 2, 3;
        is scalar @{$provider->requests}, 2, 'the provider is asked for those';
    }
};

subtest 'tokens' => sub {
    for my $per (qw(minute day)) {
        my @answers = in_one_window($PERIODS{$per}, sub ($try) {
            answers(input => 300, cached => 100, output => 100);
            return turns("tokens_${per}_$try", 4);
        });
        is join(' ', map { $_->status } @answers), '200 200 200 429',
            "the last that begins below a thousand in a $per ends above";
        refused("tokens of a $per", $answers[-1], $per);
    }
};

subtest 'US dollars' => sub {
    # 4 thousandths each.
    answers(input => 1600, output => 200);
    for my $per (qw(hour month)) {
        my @answers = in_one_window($PERIODS{$per} // 86_400, sub ($try) {
            return turns("usd_${per}_$try", 4);
        });
        is join(' ', map { $_->status } @answers), '200 200 200 429',
            "a cent in a $per";
        refused("dollars of a $per", $answers[-1], $per);
    }
};

subtest 'what is open at one time' => sub {
    $provider->forget->hold;
    my @wires = map { $nginx->start_turn('concurrent') } 1 .. 2;
    my @requests = map { $provider->next_request } 1 .. 2;
    my $before = $provider->connections;
    refused('a third', $nginx->turn('concurrent'), 'concurrent');
    refused('a GET', $nginx->call('concurrent', target => '/models'),
        'concurrent');
    is $provider->connections, $before, 'no connection is opened for them';
    $requests[0]->reply(200);
    $wires[0]->response;
    $wires[0]->close;
    my $third;
    await 'room', sub {
        $third = $nginx->start_turn('concurrent');
        await 'a judgment', sub {
            $third->message->complete || @{$provider->requests} == 3;
        };
        return !$third->message->complete;
    };
    $_->reply(200) for $requests[1], $provider->next_request;
    is $_->response->status, 200, 'is admitted when one has ended'
        for $wires[1], $third;
    $_->close for $wires[1], $third;
    $nginx->idle;
};

# What was only set aside was taken for spent: clients gave up until midnight,
# and seconds later nearly all of the budget was there again.
subtest 'what is only set aside' => sub {
    my %unit = (day => 'tokens', month => 'usd', minute => 'tokens');
    for my $per (qw(day month minute)) {
        my ($r, $now) = in_one_window($PERIODS{$per} // 86_400, sub ($try) {
            my $id = "held_${per}_$try";
            $provider->forget->hold;
            my @wires = map { $nginx->start_turn($id) } 1 .. 3;
            my @requests = map { $provider->next_request } 1 .. 3;
            my $r = $nginx->turn($id);
            $_->reply(200, undef, response_document(input => 10))
                for @requests;
            $_->response->complete && $_->close for @wires;
            $nginx->idle;
            answers(input => 10);
            return ($r, $nginx->turn($id)->status);
        });
        my $error = $r->json->{error};
        is "$error->{type} $error->{code}",
            'rate_limit_error rate_limit_exceeded', "of a $per: passes soon";
        like $error->{message}, qr/set aside for requests that are under way/,
            'and why';
        ok !exists $error->{resets_at}, 'not when the window ends';
        is $r->header('x-should-retry'), undef, 'trying again helps';
        my $retry = $r->header('retry-after') // '';
        like $retry, qr/\A[1-5]\z/, 'in a few seconds';
        is $r->header("x-ratelimit-reset-$unit{$per}"), "${retry}s",
            'as the other header says';
        is $r->header("x-ratelimit-remaining-$unit{$per}"), 0,
            'and nothing is left for it now';
        is $now, 200, 'when it is given back, there is room';
    }
};

# Many at once, of two workers.
sub race ($id, $count) {
    $provider->forget->hold;
    my $before = $provider->connections;
    my @wires = map { $nginx->start_turn($id) } 1 .. $count;
    await 'all to be judged', sub {
        @{$provider->requests} + grep({ $_->message->complete } @wires)
            == $count;
    };
    my $admitted = @{$provider->requests};
    my $opened   = $provider->connections - $before;
    $_->reply(200) for @{$provider->requests};
    my %statuses;
    $statuses{$_->response->status}++ for @wires;
    $_->close for @wires;
    $nginx->idle;
    return ($admitted, $opened, \%statuses);
}

subtest 'races' => sub {
    for my $id (qw(concurrent_race day_race minute_race)) {
        my ($admitted, $opened, $statuses)
            = in_one_window(60, sub ($try) { race("${id}_$try", 64) });
        is $admitted, 10, "$id: ten of 64";
        is $opened, 10, 'and no more connections';
        is_deeply $statuses, {200 => 10, 429 => 54}, 'the others are told';
    }
    for my $id (qw(concurrent_race day_race)) {
        is +(race($id, 64))[0], 10, "$id: ten of 64";
        my $expected = $id eq 'concurrent_race' ? 10 : 0;
        is +(race($id, 64))[0], $expected, "another time: $expected";
    }
};

subtest 'a limit on a model' => sub {
    answers(input => 100, output => 10);
    my $status = sub ($model) {
        my ($r) = turns('by_model', 1, json => {model => $model});
        return $r->status;
    };
    is $status->('gpt-5.1'), 200, 'one turn uses it up';
    is $status->('gpt-5.1'), 429, 'for that model';
    is $status->('GPT-5-mini'), 429, 'and others that match';
    is $status->('o4-mini'), 200, 'not for another' for 1 .. 3;
    is $status->('o4-mini'), 429, 'until its own is used up';
    is $status->('gpt-4o'), 200, 'one without a limit goes on';
    is $nginx->turn('by_model', body => 'no JSON')->status, 400,
        'one that cannot be read is refused';
    is $nginx->turn('by_model', json => {})->status, 400,
        'and one that is not named';
};

subtest 'the headers of a refusal' => sub {
    answers(input => 100);
    $nginx->turn('both');
    $nginx->idle;
    my $r = $nginx->turn('both');
    is $r->status, 429, 'refused';
    is $r->header('x-ratelimit-limit-tokens'), 100, 'the limit';
    is $r->header('x-ratelimit-remaining-tokens'), 0, 'nothing remains';
    my ($seconds)
        = ($r->header('x-ratelimit-reset-tokens') // '') =~ /\A(\d+)s\z/;
    my $left = end_of('day', date_of($r)) - date_of($r);
    ok defined $seconds && abs($seconds - $left) <= 2, 'the time left';
    is_deeply [grep { /\Ax-ratelimit-.*requests/ } $r->names], [],
        'not of a limit that was not reached';
};

subtest 'what charges a limit' => sub {
    answers(input => 100);
    $nginx->growth('failing', sub {
        is $nginx->turn('failing', target => '/gone/responses')->status, 502,
            'one that never reached the provider' for 1 .. 5;
    });
    my $used = sub {
        my $client = $nginx->client_of($nginx->idle, 'failing');
        return {map { $_->{limit_type} => $_->{current_value} }
            @{$client->{limits}}};
    };
    is_deeply $used->(), {requests => 0, total_tokens => 0}, 'charges nothing';
    $provider->forget->answer(sub ($request) { $request->reply(500) });
    is $nginx->turn('failing')->status, 500, 'one that fails';
    is_deeply $used->(), {requests => 1, total_tokens => 0},
        'charges a request';
    is $nginx->turn('failing', method => 'GET', body => undef)->status, 500,
        'a GET';
    is_deeply $used->(), {requests => 2, total_tokens => 0}, 'likewise';
    is $nginx->turn('failing', method => 'DELETE')->status, 405, 'a refusal';
    is $used->()->{requests}, 2, 'charges nothing';
};

subtest 'a turn whose usage is missing' => sub {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, '{"object":"response"}');
    });
    is $nginx->turn('missing')->status, 200, 'passes';
    my $client = $nginx->client_of($nginx->idle, 'missing');
    is $client->{totals}{usage_missing}, 1, 'is counted';
    is $client->{totals}{input_tokens}, 0, 'with no figures that are made up';
    cmp_ok $client->{limits}[0]{current_value}, '>', 0,
        'and charges what was reserved';
    is $client->{limits}[0]{reserved_value}, 0, 'of which nothing is left';
};

subtest 'a reload' => sub {
    answers(input => 1);
    my $statuses = sub ($count) {
        return join ' ', map { $_->status } turns('reloaded', $count);
    };
    is $statuses->(2), '200 200', 'two of three';
    is $nginx->reload, '', 'a reload';
    is $statuses->(2), '200 429', 'forgets none';
    $nginx->clients->{reloaded}{limits} = [{requests => 5, per => 'day'}];
    $nginx->write_files;
    is $nginx->reload, '', 'another limit';
    is $statuses->(3), '200 200 429', 'counts what was before';
    delete $nginx->clients->{reloaded}{limits};
    $nginx->write_files;
    is $nginx->reload, '', 'no limit';
    is $statuses->(2), '200 200', 'is none';
};

subtest 'without limits' => sub {
    answers(input => 1_000_000);
    is $nginx->turn('free')->status, 200, 'there is no end' for 1 .. 3;
    is_deeply $nginx->client_of($nginx->idle, 'free')->{limits}, [], 'nor any';
};

subtest 'refusals are counted' => sub {
    is_deeply $nginx->refusals('requests_month_1', sub {
        $nginx->turn('requests_month_1') for 1 .. 2;
    }), {usage_limit_reached => 2}, 'by their reason';
};

$nginx->stop;

# ---- what cannot take effect is no configuration ----

my $plain = Nginx->new;
$plain->key_file('openai.key', 'sk-test-provider-55aa');
$plain->file('prices.json', encode_json({version => 1, models => [
    {model => '*', input => 1, output => 2}]}));
$plain->file('some-prices.json', encode_json({version => 1, models => [
    {model => 'gpt-5*', input => 1, output => 2}]}));
configure_with($plain, 'sk-test-provider-55aa');

my $ZONE   = 'keystile_zone main 1m;';
my $PRICES = 'keystile_prices %%DIR%%/prices.json;';
my $METER  = 'keystile_meter main;';

sub with_limits (@limits) {
    $plain->client_file({clients => [{id => 'ci', keys => [key_of('ci')],
        limits => [@limits]}]});
    return;
}

subtest 'configurations' => sub {
    with_limits({requests => 1, per => 'day'});
    passes 'limits and a meter', http => $ZONE, more => $METER;
    fails 'limits without a meter', 'keystile_meter', http => $ZONE;
    fails 'a meter that is off', 'keystile_meter',
        http => $ZONE, server => $METER, more => 'keystile_meter off;';
    fails 'no such zone', 'main', more => $METER;
    fails 'a zone twice', 'keystile_zone',
        http => $ZONE . $ZONE, more => $METER;
    fails 'a zone that is too small', 'zone|size|small',
        http => 'keystile_zone main 1k;', more => $METER;
    passes 'limits of clients who may pass nowhere', http => '',
        clients => 'keystile_client_keys other %%DIR%%/clients.json;',
        admit => 'keystile_admit any;';
    with_limits({usd => 1, per => 'day'});
    passes 'dollars with prices', http => $ZONE . $PRICES, more => $METER;
    fails 'dollars without prices', 'keystile_prices',
        http => $ZONE, more => $METER;
    fails 'prices of some models only', '\*', more => $METER,
        http => $ZONE . 'keystile_prices %%DIR%%/some-prices.json;';
    my %bad = (
        'no number'          => {requests => 'many', per => 'day'},
        'zero'               => {requests => 0, per => 'day'},
        'less than zero'     => {tokens => -1, per => 'day'},
        'half a request'     => {requests => 1.5, per => 'day'},
        'no period'          => {requests => 1},
        'another period'     => {requests => 1, per => 'year'},
        'concurrent per day' => {concurrent => 1, per => 'day'},
        'two kinds'          => {requests => 1, tokens => 1, per => 'day'},
        'no kind'            => {per => 'day'},
        'another member'     => {requests => 1, per => 'day', burst => 1},
        'a bad model'        => {requests => 1, per => 'day', model => 'a b'},
        'no model'           => {requests => 1, per => 'day', model => ''},
    );
    for my $name (sort keys %bad) {
        with_limits($bad{$name});
        fails $name, 'clients\\.json:1:\\d+', http => $ZONE . $PRICES,
            more => $METER;
    }
    with_limits({requests => 1, per => 'day'}, {requests => 2, per => 'day'});
    fails 'one twice', 'clients\\.json:1:\\d+', http => $ZONE, more => $METER;
    with_limits({requests => 1, per => 'day'}, {requests => 2, per => 'hour'},
        {requests => 1, per => 'day', model => 'a*'});
    passes 'several', http => $ZONE, more => $METER;
};

subtest 'price files' => sub {
    with_limits({requests => 1, per => 'day'});
    my %bad = (
        'none'            => 'prices',
        'no JSON'         => '{',
        'no version'      => '{"models":[{"model":"*","input":1,"output":1}]}',
        'no models'       => '{"version":1,"models":[]}',
        'no price'        => '{"version":1,"models":[{"model":"*"}]}',
        'less than zero'  =>
            '{"version":1,"models":[{"model":"*","input":-1,"output":1}]}',
        'no number'       =>
            '{"version":1,"models":[{"model":"*","input":"1","output":1}]}',
        'another member'  =>
            '{"version":1,"models":[{"model":"*","inputs":1,"output":1}]}',
        'a pattern twice' => '{"version":1,"models":['
            . '{"model":"*","input":1,"output":1},'
            . '{"model":"*","input":1,"output":1}]}',
    );
    for my $name (sort keys %bad) {
        $plain->file('prices.json', $bad{$name});
        fails $name, 'prices\\.json', http => $ZONE . $PRICES, more => $METER;
    }
    unlink $plain->dir . '/prices.json';
    fails 'no file', 'prices\\.json', http => $ZONE . $PRICES, more => $METER;
};

done_testing;
