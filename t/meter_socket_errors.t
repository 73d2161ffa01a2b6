# What goes wrong on a WebSocket while turns are under way: errors that answer
# none, usage that nobody asked for, messages whose type comes late, and a
# client that floods; nothing of it makes a turn free, and no one else waits.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use IO::Select;
use Metered;
use Mojo::JSON      qw(encode_json);
use Mojo::WebSocket qw(WS_TEXT build_frame);
use POSIX      qw(WNOHANG);
use Wire;

my $TOKENS = {limits => [{tokens => 1_000_000, per => 'month'}]};
my $DOLLAR = {limits => [{usd => 100, per => 'month'}]};
my $nginx  = Metered->new(
    main    => 'worker_shutdown_timeout 1s;',
    prices  => [
        {model => 'gpt-5*', input => 100, output => 1000},
        {model => '*', input => 0.000001, output => 0.000001}],
    clients => {
        error    => $TOKENS,
        cut      => $TOKENS,
        whole    => $TOKENS,
        refused  => $TOKENS,
        ahead    => $TOKENS,
        twice    => $TOKENS,
        again    => $TOKENS,
        (map { $_ => $TOKENS } qw(again_then again_before again_soon
            again_goes_on again_half)),
        bare     => $TOKENS,
        prewarmed => $TOKENS,
        before   => $TOKENS,
        begun    => $TOKENS,
        early    => $TOKENS,
        unasked  => $TOKENS,
        prewarm  => $TOKENS,
        empty    => $TOKENS,
        first    => $DOLLAR,
        last     => $DOLLAR,
        one      => {limits => [{concurrent => 1}]},
        models   => {models => ['gpt-5*']},
        shutdown => {limits => [{concurrent => 3},
            {tokens => 1_000_000, per => 'month'}]},
    },
    locations => <<'CONF',
        location /small/ {
            keystile_buffer_size 4k;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
    server => 'keystile_allow GET /small/responses websocket;')->serve;
my $provider = $nginx->provider;

my %TURN   = (input => 50_000, output => 60_000);
my $CREATE = encode_json({type => 'response.create', model => 'gpt-5.1',
    input => []});

sub pair ($id, %request) {
    $provider->forget->answer(sub ($request) {
        $request->wants_upgrade ? $request->accept_websocket
            : $request->reply(200);
    });
    my $wire = $nginx->open_socket($id, %request);
    return ($wire, $provider->next_request->connection);
}

# Sends from one end and awaits it at the other, one after the other.
sub relay ($from, $to, @messages) {
    for my $message (@messages) {
        $from->send_frame($message);
        my $frame = eval { $to->next_frame } or return fail $@;
        return fail "$frame->{payload} came"
            if $frame->{payload} ne $message;
    }
    return 1;
}

# What is counted of a client once its socket is closed.
sub counted ($id, @wires) {
    $_->close for @wires;
    return $nginx->client_of($nginx->idle, $id);
}

# The error was taken for the answer of the turn under way, whose usage, when
# it came, was then no one's.
subtest 'an error amid an answer' => sub {
    my ($wire, $far) = pair('error');
    relay($wire, $far, $CREATE);
    my ($first, @rest) = response_messages(%TURN, id => 'resp_a');
    relay($far, $wire, $first);
    relay($wire, $far, '{"type":"bogus"}');
    relay($far, $wire, encode_json({type => 'error', status => 400,
        error => {type => 'invalid_request_error', message => 'no'}}), @rest);
    my $client = counted('error', $wire);
    is $client->{totals}{output_tokens}, 60_000, 'the turn is counted';
    is $client->{limits}[0]{current_value}, 110_000, 'and charged';
    is $client->{limits}[0]{reserved_value}, 0, 'with nothing left set aside';
};

# The client sends it ahead of its turn: then that has ended before there is an
# answer, which was then a turn more.
subtest 'an error before an answer' => sub {
    my ($wire, $far) = pair('before');
    relay($wire, $far, '{"type":"bogus"}', $CREATE);
    relay($far, $wire, encode_json({type => 'error', status => 400,
        error => {type => 'invalid_request_error', message => 'no'}}),
        response_messages(%TURN, id => 'resp_e'));
    my $client = counted('before', $wire);
    is $client->{totals}{requests}, 1, 'one turn';
    is $client->{totals}{output_tokens}, 60_000, 'is counted';
    is $client->{limits}[0]{current_value}, 110_000, 'and charged';
};

# Nobody sees what such an answer costs, if the client then leaves. One that
# ended by its error, as what comes next shows, costs nothing.
subtest 'a client that leaves after an error' => sub {
    my ($first, @rest) = response_messages(%TURN, id => 'resp_c');
    my ($next, @end) = response_messages(%TURN, id => 'resp_d');
    my $error = encode_json({type => 'error', status => 400,
        error => {type => 'invalid_request_error', message => 'no'}});
    my $failed = encode_json({type => 'response.failed', response => {
        id => 'resp_c', status => 'failed', error => {code => 'server_error'}}});
    my %cases = (
        cut     => [1, $first, $error, $rest[0]],
        whole   => [0, $first, $error, $failed],
        refused => [0, $error],
        ahead   => [1, $error, $first, $rest[0]],
        twice   => [1, $first, $error, $error, $rest[0]],
        again   => [1, $first, $error, $first, $error],
        bare    => [1, $first, $error, encode_json({
            type => 'response.completed', response => {id => 'resp_c'}})],
    );
    for my $id (sort keys %cases) {
        my ($missing, @messages) = @{$cases{$id}};
        my ($wire, $far) = pair($id);
        relay($wire, $far, $CREATE);
        relay($far, $wire, @messages);
        my $client = counted($id, $wire);
        is $client->{totals}{requests}, 1, "$id: one request";
        is $client->{totals}{usage_missing}, $missing, "$missing is missing";
        my $charged = $client->{limits}[0]{current_value};
        ok $missing ? $charged > 2048 : $charged == 0,
            "$charged tokens are charged";
    }
};

# Nor where it stays, and asks again: at once, or when it sees the error.
subtest 'a client that asks again after an error' => sub {
    my ($first) = response_messages(%TURN, id => 'resp_g');
    my @next    = response_messages(input => 1, output => 1, id => 'resp_h');
    my $error   = encode_json({type => 'error', status => 400,
        error => {type => 'invalid_request_error', message => 'no'}});
    my @some = ($first, ('{"type":"response.output_text.delta"}') x 100);
    for my $id (qw(then before)) {
        my ($wire, $far) = pair("again_$id");
        relay($wire, $far, '{"type":"bogus"}', $CREATE,
            $id eq 'before' ? $CREATE : ());
        relay($far, $wire, @some, $error);
        relay($wire, $far, $CREATE) if $id eq 'then';
        relay($far, $wire, @next);
        my $client = counted("again_$id", $wire);
        is $client->{totals}{requests}, 2, "$id: two requests";
        is $client->{totals}{usage_missing}, 1, 'of which one is missing';
        cmp_ok $client->{limits}[0]{current_value}, '>', 8192, 'and charged';
    }
    # The error was for something else after all.
    my ($wire, $far) = pair('again_goes_on');
    relay($wire, $far, '{"type":"bogus"}', $CREATE);
    relay($far, $wire, @some, $error);
    relay($wire, $far, $CREATE);
    relay($far, $wire, $some[1], (response_messages(input => 5, output => 6,
        id => 'resp_g'))[1, 2], @next);
    my $once = counted('again_goes_on', $wire);
    is $once->{totals}{usage_missing}, 0, 'one that goes on is not missing';
    is $once->{limits}[0]{current_value}, 13, 'and charged once';

    # Another turn is begun, so that the doubt ends, and never sent.
    ($wire, $far) = pair('again_half');
    relay($wire, $far, '{"type":"bogus"}', $CREATE);
    relay($far, $wire, $first, $error);
    $wire->write(substr build_frame(1, 1, 0, 0, 0, WS_TEXT, $CREATE), 0, -4);
    relay($far, $wire, (@some[1 .. 100]) x 100);
    my $half = counted('again_half', $wire);
    is $half->{totals}{usage_missing}, 1, 'one that is only begun';
    cmp_ok $half->{limits}[0]{current_value}, '>', 8192 + 10_000,
        'forgets nothing';

    ($wire, $far) = pair('again_soon');
    relay($wire, $far, '{"type":"bogus"}', $CREATE);
    relay($far, $wire, ('{"type":"session.updated"}') x 9, $first, $error);
    relay($wire, $far, $CREATE);
    relay($far, $wire, @next);
    my $client = counted('again_soon', $wire);
    is $client->{totals}{usage_missing}, 0, 'not where nothing was said';
    is $client->{limits}[0]{current_value}, 2, 'which costs nothing';
};

# A provider that answers by itself, when it hears someone speak: what nobody
# had asked for was counted as no turn.
subtest 'an answer that was not asked for' => sub {
    my ($wire, $far) = pair('unasked');
    relay($far, $wire, response_messages(%TURN, id => 'resp_b'));
    my $client = counted('unasked', $wire);
    is $client->{totals}{output_tokens}, 60_000, 'is counted';
    is $client->{limits}[0]{current_value}, 110_000, 'and charged';
};

# "generate": false is what the client says. That nothing was generated is for
# the provider to say.
subtest 'a prewarm that generated' => sub {
    my $prewarm = $CREATE =~ s/\}\z/,"generate":false}/r;
    for my $case ([empty => 0, 0], [prewarm => 60_000, 110_000]) {
        my ($id, $output, $charged) = @$case;
        my ($wire, $far) = pair($id);
        relay($wire, $far, $prewarm);
        relay($far, $wire, response_messages(%TURN, output => $output,
            id => "resp_$id"));
        my $client = counted($id, $wire);
        is $client->{limits}[0]{current_value}, $charged,
            "$output tokens: $charged are charged";
        is $client->{limits}[0]{reserved_value}, 0, 'nothing is set aside';
    }
    for my $case ([begun => 1], [early => 0]) {
        my ($id, $is_charged) = @$case;
        my ($wire, $far) = pair($id);
        relay($wire, $far, $prewarm);
        relay($far, $wire, (response_messages(%TURN, id => "resp_$id"))[0])
            if $is_charged;
        my $client = counted($id, $wire);
        is $client->{totals}{usage_missing}, $is_charged,
            "cut off when $id: $is_charged is missing";
        is $client->{limits}[0]{current_value} > 2048 || 0, $is_charged,
            'and charged';
    }
    my ($wire, $far) = pair('prewarmed');
    relay($wire, $far, '{"type":"bogus"}', $prewarm);
    relay($far, $wire, (response_messages(id => 'resp_p', model => ''))[0],
        encode_json({type => 'error', status => 400, error => {}}));
    my $client = counted('prewarmed', $wire);
    is $client->{totals}{usage_missing}, 1, 'amid errors: it is missing, too';
};

# The handshake has a place of its own, which is not counted twice.
subtest 'the first of one socket at a time' => sub {
    my ($wire) = pair('one');
    is $wire->message->status, 101, 'opens';
    $wire->close;
    $nginx->idle;
};

# The reader of messages waited for the type, and the socket for room to read
# it: with a small buffer neither ever came.
subtest 'a type behind more than the buffer holds' => sub {
    my ($wire, $far) = pair('models', target => '/small/responses');
    ok relay($wire, $far, '{"input":"' . 'x' x $_
        . '","type":"response.create","model":"gpt-5.1"}'), "$_ bytes go up"
        for 3000, 4096, 6000, 100_000;
    $_->close for $wire, $far;
    $nginx->idle;
};

# What was set aside before the model was known had the price of no model, and
# that was what a turn without an end cost.
subtest 'the price of a turn that is cut off' => sub {
    my $model = '"model":"gpt-5.1"';
    my $input = '"input":"' . 'x' x 90_000 . '"';
    my %turns = (
        first => qq({"type":"response.create",$model,$input}),
        last  => qq({"type":"response.create",$input,$model}),
    );
    for my $id (sort keys %turns) {
        my ($wire, $far) = pair($id);
        relay($wire, $far, $turns{$id});
        my $client = counted($id, $wire);
        cmp_ok $client->{limits}[0]{current_value}, '>', 1,
            "is that of its model, which comes $id";
    }
};

# A refusal cannot go down amid another message. Too many that wait there end
# the socket, and what was read with them is not judged any more.
subtest 'more refusals than there is room for' => sub {
    my ($wire, $far) = pair('models');
    $far->send_frame('{"type":"x",', fin => 0);
    $wire->next_frame;
    my $from   = length $nginx->error_log;
    my $before = $nginx->client_of($nginx->status, 'models')->{refusals};
    my $refused = Stream->new(masks => 1, deaf => 1, closed => 1);
    $refused->send_frame('{"type":"response.create","model":"o3"}')
        for 1 .. 200;
    $wire->write($refused->out);
    like eval { $wire->await_end } // $@, qr/\A(?:eof|reset)\z/,
        'end the socket';
    my $after = $nginx->client_of($nginx->status, 'models')->{refusals};
    cmp_ok $after->{model_not_allowed} - ($before->{model_not_allowed} // 0),
        '<', 200, 'and what came behind them is not judged';
    my $told = () = substr($nginx->error_log, $from) =~ /refused a turn/g;
    cmp_ok $told, '<', 200, 'nor in the log';
    $_->close for $wire, $far;
    $nginx->idle;
};

# Keeps writing bytes, at most that many; ends by itself only then. Returns its
# pid, once more than the sockets' buffers hold was taken.
sub flood ($handle, $bytes) {
    pipe my $near, my $far or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $handle->blocking(1);
        my $block = 'x' x 1_048_576;
        for my $written (1 .. $bytes / length $block) {
            syswrite $handle, $block or last;
            syswrite $far, '.' if $written == 32;
        }
        POSIX::_exit(0);
    }
    my $select = IO::Select->new($near);
    await 'the flood to come', sub { $select->can_read(0) };
    return $pid;
}

# The worker read on while there was something to read: of a message that is
# refused nothing goes up, so no one slowed its client down.
subtest 'a refused message without an end' => sub {
    my ($wire) = pair('models');
    my $text = '{"type":"response.create","model":"o3","x":"';
    $wire->send_frame($text, fin => 0);
    like $wire->next_frame->{payload}, qr/model_not_allowed/, 'is refused';
    # The head of a continuation of a tebibyte, masked with nothing.
    $wire->write(pack 'CCQ>N', 0, 0x80 | 127, 2**40, 0)->drain;
    my $pid = flood($wire->handle, 8 * 2**30);
    my $r   = eval { $nginx->turn('error') };
    is $r ? $r->status : $@, 200, 'others are answered';
    is waitpid($pid, WNOHANG), 0, 'while it goes on';
    kill KILL => $pid;
    waitpid $pid, 0;
    $wire->close;
    $nginx->idle;
};

# A worker that may wait no longer closes its sockets, and what was under way
# there is charged.
subtest 'the time to shut down is over' => sub {
    my ($wire, $far) = pair('shutdown');
    relay($wire, $far, $CREATE);
    $provider->forget->hold;
    my $turn = $nginx->start_turn('shutdown');    # that has no answer yet
    $provider->next_request;
    is $nginx->reload, '', 'a reload';
    like $_->await_end, qr/eof|reset/, 'ends what is open' for $wire, $turn;
    my $client = $nginx->client_of($nginx->idle, 'shutdown');
    is $client->{totals}{usage_missing}, 2, 'both turns are counted';
    is $client->{limits}[0]{current_value}, 0, 'it is no longer open';
    is $client->{limits}[1]{reserved_value}, 0, 'nothing is set aside';
    cmp_ok $client->{limits}[1]{current_value}, '>', 0, 'but charged';
    $nginx->tolerate(qr/aborting|open socket/);
};

$nginx->stop;
done_testing;
