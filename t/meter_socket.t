# The turns of a WebSocket: each is counted when it ends, by what its last
# event says, while the frames of both sides pass as they came.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Metered;
use Mojo::JSON qw(encode_json);
use Mojo::WebSocket qw(build_frame);
use Wire;

my $nginx = Metered->new(
    clients   => {ci => {}},
    locations => <<'CONF',
        location /off/ {
            keystile_allow GET /off/responses websocket;
            keystile_meter off;
            keystile_inject off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /any/ {
            keystile_admit any;
            keystile_allow GET /any/responses websocket;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
)->serve;
my $provider = $nginx->provider;
my $lines    = 0;

my %TURN = (input => 100, cached => 60, output => 20, reasoning => 5);
my $CREATE = create();
my $PREWARM = create(generate => \0);

sub create (%members) {
    return encode_json({type => 'response.create', model => 'gpt-5.1',
        input => [], %members});
}

# Both ends of a socket that is open.
sub pair (%request) {
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket('ci', %request);
    return ($wire, $provider->next_request->connection);
}

# Sends the message and lets the provider answer it with that turn.
sub turn ($wire, $far, $message, %turn) {
    $wire->send_frame($message);
    my $frame = $far->next_frame;
    $frame->{payload} eq $message or fail('the message goes up as it was');
    return answer($wire, $far, %turn);
}

sub answer ($wire, $far, %turn) {
    for my $text (response_messages(%turn)) {
        $far->send_frame($text);
        $wire->next_frame->{payload} eq $text or fail('a message comes down');
    }
    return;
}

# What the figures grow by in a socket that ends behind $code->($wire, $far).
sub growth ($code, %request) {
    $lines++;
    return $nginx->growth('ci', sub {
        my ($wire, $far) = pair(%request);
        $code->($wire, $far);
        $wire->close;
        $far->await_end;
    });
}

subtest 'turns' => sub {
    is_deeply growth(sub ($wire, $far) { }), {}, 'none';
    is $nginx->logged($lines)->{tokens}, '///', 'nothing is known of it';

    is_deeply growth(sub ($wire, $far) { turn($wire, $far, $CREATE, %TURN) }),
        {requests => 1, figures(%TURN)}, 'one';
    my $line = $nginx->logged($lines);
    is "$line->{model} $line->{tokens}", 'gpt-5.1 100/60/20/5', 'is logged';
    cmp_ok abs($line->{cost} - (40 * 1.25 + 60 * .125 + 20 * 10) / 1e6), '<',
        1e-9, 'with its cost';
    like $line->{ttft}, qr/\A\d+\.\d{3}\z/, 'and its time';

    is_deeply growth(sub ($wire, $far) {
        turn($wire, $far, $CREATE, %TURN, id => "resp_$_") for 1 .. 3;
    }), {requests => 3, figures(map { $_ => 3 * $TURN{$_} } keys %TURN)},
        'three';
    is $nginx->logged($lines)->{tokens}, '300/180/60/15', 'are summed up';
};

subtest 'while the socket is open' => sub {
    my ($wire, $far) = pair();
    $lines++;
    my $client = sub { $nginx->client_of($nginx->status, 'ci') };
    my $before = $client->();
    is $before->{open}, 1, 'it is open';
    turn($wire, $far, $CREATE, %TURN);
    await 'the turn to be counted', sub {
        $client->()->{totals}{requests} > $before->{totals}{requests};
    };
    is $client->()->{totals}{input_tokens},
        $before->{totals}{input_tokens} + 100, 'a turn counts when it ends';
    is $client->()->{open}, 1, 'the socket is still open';
    $wire->close;
    $nginx->idle;
    is $client->()->{open}, 0, 'until it is not';
};

subtest 'a prewarm' => sub {
    is_deeply growth(sub ($wire, $far) {
        turn($wire, $far, $PREWARM, input => 36, id => 'resp_0');
    }), {}, 'is no turn';
    is_deeply growth(sub ($wire, $far) {
        turn($wire, $far, $PREWARM, input => 36, id => 'resp_0');
        turn($wire, $far, create(previous_response_id => 'resp_0'), %TURN);
    }), {requests => 1, figures(%TURN)}, 'one before a turn';
    is_deeply growth(sub ($wire, $far) { $wire->send_frame($PREWARM);
        $far->next_frame }), {}, 'one without an answer';
};

subtest 'the ends of turns' => sub {
    for my $end (qw(completed incomplete failed)) {
        is_deeply growth(sub ($wire, $far) {
            turn($wire, $far, $CREATE, %TURN, end => $end);
            turn($wire, $far, $CREATE, %TURN, id => 'resp_2');
        }), {requests => 2, figures(map { $_ => 2 * $TURN{$_} } keys %TURN)},
            $end;
    }
    my $error = encode_json({type => 'error', status => 400,
        error => {message => 'no', code => 'some'}});
    is_deeply growth(sub ($wire, $far) {
        $wire->send_frame($CREATE);
        $far->next_frame;
        $far->send_frame($error);
        is $wire->next_frame->{payload}, $error, 'an error passes';
        turn($wire, $far, $CREATE, %TURN);
    }), {requests => 2, figures(%TURN)}, 'and costs nothing';
    is_deeply growth(sub ($wire, $far) {
        turn($wire, $far, $CREATE, usage => 0);
    }), {requests => 1, usage_missing => 1}, 'completed without usage';
};

subtest 'a socket that ends amid a turn' => sub {
    my %amid = (requests => 1, usage_missing => 1);
    my ($created) = response_messages(%TURN);
    for my $end (qw(close reset)) {
        for my $who (qw(client provider)) {
            $lines++;
            is_deeply $nginx->growth('ci', sub {
                my ($wire, $far) = pair();
                $wire->send_frame($CREATE);
                $far->next_frame;
                $far->send_frame($created);
                $wire->next_frame;
                my ($from, $to)
                    = $who eq 'client' ? ($wire, $far) : ($far, $wire);
                $from->$end;
                $to->await_end;
            }), \%amid, "$end by the $who";
        }
    }
    is_deeply growth(sub ($wire, $far) {
        turn($wire, $far, $CREATE, %TURN);
        $wire->send_frame($CREATE);
        $far->next_frame;
    }), {requests => 2, usage_missing => 1, figures(%TURN)},
        'in the second turn';
    is_deeply growth(sub ($wire, $far) {
        $wire->send_frame($CREATE) for 1 .. 3;
        $far->next_frame for 1 .. 3;
    }), {requests => 3, usage_missing => 3}, 'with three that wait';
};

subtest 'several at once' => sub {
    is_deeply growth(sub ($wire, $far) {
        $wire->send_frame($CREATE) for 1 .. 3;
        $far->next_frame for 1 .. 3;
        answer($wire, $far, %TURN, id => "resp_$_") for 1 .. 3;
    }), {requests => 3, figures(map { $_ => 3 * $TURN{$_} } keys %TURN)},
        'are counted each';
};

subtest 'other messages' => sub {
    is_deeply growth(sub ($wire, $far) {
        for my $message ('{}', 'no JSON', '{"type":"response.cancel"}',
            '{"type":"ping","x":{"type":"response.create"}}') {
            $wire->send_frame($message);
            is $far->next_frame->{payload}, $message, "$message goes up";
        }
        for my $op (qw(binary ping pong)) {
            $wire->send_frame($CREATE, op => $op) if $op eq 'binary';
            $wire->send_frame('x', op => $op)     if $op ne 'binary';
            is $far->next_frame->{op}, $op, "$op goes up";
        }
    }), {}, 'are no turns';
};

subtest 'fragments' => sub {
    my @pieces = unpack '(a9)*', $CREATE;
    is_deeply growth(sub ($wire, $far) {
        for my $i (0 .. $#pieces) {
            $wire->send_frame($pieces[$i], fin => $i == $#pieces ? 1 : 0,
                op => $i ? 'continuation' : 'text');
            $wire->send_frame('?', op => 'ping') if $i == 2;
        }
        my $text = '';
        while (my $frame = $far->next_frame) {
            $text .= $frame->{payload} if $frame->{op} ne 'ping';
            last if $frame->{fin} && $frame->{op} ne 'ping';
        }
        is $text, $CREATE, 'of a message go up';
        for my $message (response_messages(%TURN)) {
            my ($begin, $rest) = $message =~ /\A(.{11})(.*)\z/s;
            $far->send_frame($begin, fin => 0);
            $far->send_frame('!', op => 'ping');
            $far->send_frame($rest, op => 'continuation');
            my @frames = map { $wire->next_frame } 1 .. 3;
            is join('', map { $_->{payload} } @frames), "$begin!$rest",
                'and come down';
        }
    }), {requests => 1, figures(%TURN)}, 'make one turn';
};

subtest 'bytes one by one' => sub {
    is_deeply growth(sub ($wire, $far) {
        my $sink = Stream->new(masks => 1, deaf => 1, closed => 1);
        for my $byte (split //, $sink->send_frame($CREATE)->out) {
            $wire->write($byte);
            settle;
        }
        is $far->next_frame->{payload}, $CREATE, 'go up';
        my ($last) = reverse response_messages(%TURN);
        $sink = Stream->new(masks => 0, deaf => 1, closed => 1);
        for my $byte (split //, $sink->send_frame($last)->out) {
            $far->write($byte);
            settle;
        }
        is $wire->next_frame->{payload}, $last, 'and come down';
    }), {requests => 1, figures(%TURN)}, 'count';
};

subtest 'a large message' => sub {
    my $large = create(input => 'x' x 5_000_000);
    is_deeply growth(sub ($wire, $far) { turn($wire, $far, $large, %TURN) }),
        {requests => 1, figures(%TURN)}, 'goes up whole, and counts';
};

subtest 'early frames' => sub {
    my $sink = Stream->new(masks => 1, deaf => 1, closed => 1);
    my $early = $sink->send_frame($CREATE)->send_frame($PREWARM)->out;
    $lines++;
    is_deeply $nginx->growth('ci', sub {
        $provider->forget->hold;
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(target => '/v1/responses', headers => [
            bearer('ci'), Connection => 'Upgrade', Upgrade => 'websocket',
            'Sec-WebSocket-Version' => 13,
            'Sec-WebSocket-Key' => 'c2l4dGVlbiBieXRlcyBvaw==']) . $early);
        my $far = $provider->next_request->accept_websocket;
        is $far->next_frame->{payload}, $_, 'go up' for $CREATE, $PREWARM;
        $wire->await_head;
        $wire->websocket;
        answer($wire, $far, %TURN);
        $wire->close;
        $far->await_end;
    }), {requests => 1, figures(%TURN)}, 'count';
};

subtest 'extensions' => sub {
    my @offer = ('Sec-WebSocket-Extensions' =>
        'permessage-deflate; client_max_window_bits');
    my ($wire, $far) = pair(headers => [@offer]);
    is $provider->last->header($offer[0]), undef, 'are not offered';
    is $wire->message->header($offer[0]), undef, 'nor accepted';
    $wire->close;
    $lines++;
    ($wire, $far) = pair(headers => [@offer], target => '/off/responses');
    is $provider->last->header($offer[0]), $offer[1],
        'with neither a meter nor a credential, they are';
    $wire->write(build_frame(1, 1, 1, 0, 0, 1, 'deflated'));
    is $far->next_frame->{payload}, 'deflated', 'and used';
    $wire->close;
    $lines++;
};

# Frames that could carry what nobody reads.
my %BROKEN = (
    'RSV1'           => build_frame(1, 1, 1, 0, 0, 1, $CREATE),
    'RSV2'           => build_frame(1, 1, 0, 1, 0, 1, $CREATE),
    'RSV3'           => build_frame(1, 1, 0, 0, 1, 1, $CREATE),
    'opcode 3'       => build_frame(1, 1, 0, 0, 0, 3, $CREATE),
    'no beginning'   => build_frame(1, 1, 0, 0, 0, 0, $CREATE),
    'two beginnings' => build_frame(1, 0, 0, 0, 0, 1, $CREATE)
        . build_frame(1, 1, 0, 0, 0, 1, $CREATE),
);
for my $name (sort keys %BROKEN) {
    subtest "a frame that is broken: $name" => sub {
        my ($wire, $far) = pair();
        $lines++;
        $wire->write($BROKEN{$name});
        like $wire->await_end, qr/eof|reset/, 'the socket is closed';
        like $far->await_end,  qr/eof|reset/, 'on both sides';
        is_deeply [grep { $_->{op} ne 'close' && $_->{fin} } @{$far->frames}],
            [], 'and nothing of it is whole above';
        $nginx->idle;
    };
}

subtest 'a provider that compresses all the same' => sub {
    my ($wire, $far) = pair();
    $lines++;
    $wire->send_frame($CREATE);
    $far->next_frame;
    my $before = $nginx->client_of($nginx->status, 'ci')->{totals};
    $far->write(build_frame(0, 1, 1, 0, 0, 1, 'deflated'));
    like $wire->await_end, qr/eof|reset/, 'the socket is closed';
    is $nginx->totals('ci')->{usage_missing}, $before->{usage_missing} + 1,
        'the usage is missing';
};

subtest 'no turns on a socket' => sub {
    is_deeply growth(sub ($wire, $far) { turn($wire, $far, $CREATE, %TURN) },
        target => '/off/responses'), {}, 'without a meter';
    $provider->forget->answer(sub ($request) { $request->reply(429) });
    is_deeply $nginx->growth('ci', sub {
        is $nginx->open_socket('ci')->message->status, 429, 'a 429 passes';
    }), {}, 'when the handshake is refused';
    $lines++;
};

subtest 'a caller without a key' => sub {
    $lines++;
    is_deeply $nginx->growth(undef, sub {
        $provider->forget->answer(sub ($request) {
            $request->accept_websocket });
        my $wire = $nginx->open_socket(undef, target => '/any/responses');
        my $far  = $provider->next_request->connection;
        turn($wire, $far, $CREATE, %TURN);
        $wire->close;
        $far->await_end;
    }), {requests => 1, figures(%TURN)}, 'counts as such';
};

subtest 'a reload' => sub {
    my ($wire, $far) = pair();
    turn($wire, $far, $CREATE, %TURN);
    my $before = $nginx->status;
    is $nginx->reload, '', 'succeeds';
    turn($wire, $far, $CREATE, %TURN, id => 'resp_2');
    my $client = $nginx->client_of($before, 'ci');
    await 'the turn to be counted', sub {
        $nginx->client_of($nginx->status, 'ci')->{totals}{input_tokens}
            == $client->{totals}{input_tokens} + 100;
    };
    is $nginx->client_of($nginx->status, 'ci')->{open}, 1, 'it is still open';
    $wire->close;
    is $nginx->totals('ci')->{input_tokens},
        $client->{totals}{input_tokens} + 100, 'and nothing is lost';
};

$nginx->stop;
done_testing;
