# Whatever happens, in whatever order, it adds up: turns over HTTP and on
# sockets begin, end, are aborted and cut, nginx is reloaded and its workers
# are killed; and once all is quiet, nothing is open or reserved, and what was
# counted is what the provider has billed.
#
# KEYSTILE_TEST_SEED repeats a run, KEYSTILE_TEST_STEPS makes it longer.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use List::Util qw(shuffle sum0);
use Metered;
use Mojo::JSON qw(encode_json);

use constant STEPS => $ENV{KEYSTILE_TEST_STEPS} // 500;
my $seed = $ENV{KEYSTILE_TEST_SEED} // int rand 1e9;
srand $seed;
note "KEYSTILE_TEST_SEED=$seed";

my @LIMITS = ({concurrent => 12}, {tokens => 1_000_000_000, per => 'month'},
    {requests => 1_000_000, per => 'month'}, {usd => 1_000_000, per => 'month'},
    {tokens => 1_000_000_000, per => 'month', model => 'gpt-5*'});
my %CLIENTS = (
    free   => {},
    capped => {limits => \@LIMITS},
    models => {models => ['gpt-5*', 'o4-mini'], limits => \@LIMITS},
);
my @IDS    = sort keys %CLIENTS;
my @MODELS = qw(gpt-5.1 o4-mini);

my $nginx    = Metered->new(workers => 2, clients => \%CLIENTS)->serve;
my $provider = $nginx->provider->hold;
$nginx->tolerate(qr/exited on signal 9/);

# What is open: each a hash with id, wire, far (the provider's request, or its
# connection) and, for sockets, turns that wait for an answer. And what has to
# come out, by client: figures of turns whose last event has reached the
# client, and how many turns there may have been at most.
my (@streams, @sockets, %billed, %turns, %done);
my $number = 0;

sub pick (@from) { return $from[rand @from] }

sub new_turn () {
    return {input => 1 + int rand 1000, output => int rand 100,
        model => pick(@MODELS), id => 'resp_' . ++$number};
}

sub bill ($id, $turn) {
    $billed{$id}{input_tokens}  += $turn->{input};
    $billed{$id}{output_tokens} += $turn->{output};
    $billed{$id}{turns}++;
    return;
}

sub gone ($list, $entry) {
    @$list = grep { $_ != $entry } @$list;
    return;
}

# ---- steps: each returns whether it could do anything ----

sub start_stream () {
    return 0 if @streams >= 20;
    my $id   = pick(@IDS);
    my $turn = new_turn();
    my $seen = @{$provider->requests};
    my $wire = $nginx->start_turn($id,
        headers => [Connection => 'keep-alive', 'X-Turn' => $turn->{id}],
        json    => {model => $turn->{model}, input => 'x' x rand 5000});
    my $far;
    await 'a request to be judged', sub {
        my @new = @{$provider->requests};
        ($far) = grep { ($_->header('x-turn') // '') eq $turn->{id}
            && $_->complete } splice @new, $seen;
        return $far || $wire->message->complete || $wire->ended;
    };
    return 1 if !$far;    # refused: too many are open
    $turns{$id}++;
    push @streams, {id => $id, wire => $wire, far => $far, turn => $turn};
    return 1;
}

sub begin_answer () {
    my $stream = pick(grep { !$_->{begun} } @streams) // return 0;
    $stream->{begun} = 1;
    my ($first) = response_messages(%{$stream->{turn}});
    $stream->{far}->begin(200, ['Content-Type' => 'text/event-stream']);
    $stream->{far}->chunk("data: $first\n\n");
    return 1;
}

# All of the events but for the end of the reply, and perhaps that.
sub finish_stream () {
    my $stream = pick(@streams) // return 0;
    my %turn   = %{$stream->{turn}};
    my $far    = $stream->{far};
    gone(\@streams, $stream);
    if (!$stream->{begun} && rand() < .3) {
        $far->reply(200, undef, response_document(%turn));
    }
    else {
        $far->begin(200) if !$stream->{begun};
        my $events = response_events(%turn);
        # Not in the figures that are looked for below: a chunk may end there.
        my $cut = 1 + int rand length($events) - 200;
        $far->chunk(substr $events, 0, $cut);
        $far->chunk(substr $events, $cut);
        $far->last_chunk if rand() < .7;
    }
    my $wire = $stream->{wire};
    my $last = qr/"total_tokens":\d+\}\}/;
    await 'the last event',
        sub { $wire->message->body =~ $last || $wire->ended };
    bill($stream->{id}, \%turn) if $wire->message->body =~ $last;
    rand() < .5 ? $wire->close : $wire->reset;
    return 1;
}

sub abort_stream () {
    my $stream = pick(@streams) // return 0;
    gone(\@streams, $stream);
    rand() < .5 ? $stream->{wire}->close : $stream->{wire}->reset;
    return 1;
}

sub cut_stream () {
    my $stream = pick(@streams) // return 0;
    gone(\@streams, $stream);
    my $connection = $stream->{far}->connection;
    rand() < .5 ? $connection->close : $connection->reset;
    await 'the client to be told', sub {
        $stream->{wire}->ended || $stream->{wire}->message->complete;
    };
    $stream->{wire}->close;
    return 1;
}

sub fail_stream () {
    my $stream = pick(grep { !$_->{begun} } @streams) // return 0;
    gone(\@streams, $stream);
    $stream->{far}->reply(pick(400, 429, 500));
    $stream->{wire}->response;
    return 1;
}

sub start_socket () {
    return 0 if @sockets >= 8;
    my $id   = pick(@IDS);
    my $name = 'socket_' . ++$number;
    $provider->answer(sub ($request) {
        $request->accept_websocket if $request->wants_upgrade;
    });
    my $wire = $nginx->open_socket($id, headers => ['X-Turn' => $name]);
    $provider->hold;
    my ($far) = grep { ($_->header('x-turn') // '') eq $name }
        @{$provider->requests};
    return 1 if !$far;    # refused
    push @sockets, {id => $id, wire => $wire, far => $far->connection,
        turns => []};
    return 1;
}

sub ask_socket () {
    my $socket = pick(@sockets) // return 0;
    return 0 if @{$socket->{turns}} >= 3;
    my $turn    = new_turn();
    my $prewarm = rand() < .2;
    my $text = encode_json({type => 'response.create',
        model => $turn->{model}, input => 'x' x rand 3000,
        $prewarm ? (generate => \0) : ()});
    $socket->{wire}->send_frame($text);
    await 'the message', sub {
        @{$socket->{far}->frames} || $socket->{far}->ended };
    shift @{$socket->{far}->frames};
    $turns{$socket->{id}}++ if !$prewarm;
    push @{$socket->{turns}}, {%$turn, prewarm => $prewarm};
    return 1;
}

sub answer_socket () {
    my $socket = pick(grep { @{$_->{turns}} } @sockets) // return 0;
    my $turn   = shift @{$socket->{turns}};
    # Nothing is generated for a prewarm.
    my @texts  = response_messages(%$turn,
        $turn->{prewarm} ? (output => 0, reasoning => 0) : ());
    $socket->{far}->send_frame($_) for @texts;
    my $count = 0;
    await 'the answer', sub {
        $count++ while shift @{$socket->{wire}->frames};
        return $count >= @texts || $socket->{wire}->ended;
    };
    bill($socket->{id}, $turn) if $count >= @texts && !$turn->{prewarm};
    return 1;
}

sub end_socket () {
    my $socket = pick(@sockets) // return 0;
    gone(\@sockets, $socket);
    my ($from, $to) = shuffle($socket->{wire}, $socket->{far});
    rand() < .5 ? $from->close : $from->reset;
    $to->await_end;
    $to->close;
    return 1;
}

sub reload () {
    is $nginx->reload, '', 'a reload';
    return 1;
}

# All that it served is lost with it; its figures are not, once it has noticed
# that a turn is over.
sub kill_worker () {
    await 'all ends to be noticed', sub {
        my $open = sum0 map { $_->{open} } @{$nginx->status->{clients}};
        return $open <= @streams + @sockets;
    };
    my $worker = pick(grep { kill 0 => $_ } $nginx->worker_pids);
    my $log    = length $nginx->error_log;
    kill KILL => $worker;
    await 'another worker', sub {
        substr($nginx->error_log, $log) =~ /start worker process \d+/;
    };
    settle;
    @streams = grep { !$_->{wire}->ended } @streams;
    @sockets = grep { !$_->{wire}->ended } @sockets;
    return 1;
}

my @STEPS = (
    (\&start_stream) x 20, (\&begin_answer) x 8, (\&finish_stream) x 12,
    (\&abort_stream) x 5, (\&cut_stream) x 4, (\&fail_stream) x 3,
    (\&start_socket) x 5, (\&ask_socket) x 12, (\&answer_socket) x 10,
    (\&end_socket) x 4);
my %special = (
    (map { int(STEPS * $_ / 5) => \&reload } 1 .. 4),
    (map { int(STEPS * ($_ + .5) / 4) => \&kill_worker } 0 .. 2));

for my $step (1 .. STEPS) {
    ($special{$step} // pick(@STEPS))->();
}
while (@streams || @sockets) {
    pick(\&finish_stream, \&abort_stream, \&cut_stream, \&answer_socket,
        \&end_socket)->();
}

my $status;
my $reserved = sub ($status) {
    return sum0 map { $_->{reserved_value} } map { @{$_->{limits}} }
        @{$status->{clients}};
};
await 'all to be at rest', sub {
    $status = $nginx->idle;
    return !$reserved->($status);
}, 30;
pass 'nothing is open or reserved';

for my $id (@IDS) {
    my $client = $nginx->client_of($status, $id);
    my %got    = %{$client->{totals}};
    my %due    = %{$billed{$id} // {}};
    is $got{$_} // 0, $due{$_} // 0, "$id: $_"
        for qw(input_tokens output_tokens);
    cmp_ok $got{requests} - $got{usage_missing}, '>=', $due{turns} // 0,
        "$id: all turns that were billed are requests";
    cmp_ok $got{requests}, '<=', $turns{$id} // 0, "$id: and no others";
    my %limits = map { $_->{limit_type} . ($_->{model_filter} // '') => $_ }
        @{$client->{limits}};
    is $limits{concurrent}{current_value}, 0, "$id: no place is taken"
        if %limits;
    cmp_ok $limits{total_tokens}{current_value}, '>=',
        $got{input_tokens} + $got{output_tokens},
        "$id: the limit has all that was counted" if %limits;
    cmp_ok $limits{requests}{current_value}, '>=', $got{requests},
        "$id: requests too" if %limits;
}
cmp_ok sum0(map { $_->{turns} // 0 } values %billed), '>', STEPS / 20,
    'enough has happened';

$nginx->stop;
done_testing;
