# keystile_record: each turn of a WebSocket is a line of its own.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use List::Util qw(max);
use Metered;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json false true);
use Recorded;
use Stream;
use Wire;

my $nginx = Recorded->new(
    clients   => {ci => {}, gpt => {models => ['gpt*']}},
    locations => <<'CONF',
        location /metered/ {
            keystile_allow GET /metered/v1/responses websocket;
            keystile_meter main;
            keystile_pass http://%%PROVIDER%%;
        }
        location /off/ {
            keystile_allow GET /off/v1/responses websocket;
            keystile_record off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /short/ {
            keystile_allow GET /short/v1/responses websocket;
            keystile_record %%DIR%%/turns.jsonl max=1k;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
)->serve;
my $provider = $nginx->provider;

my %TURN = (input => 100, cached => 60, output => 20, reasoning => 5);

sub create (%members) {
    return encode_json({type => 'response.create', model => 'gpt-5.1',
        input => [], %members});
}

# Both ends of a socket that is open.
sub pair ($id = 'ci', %request) {
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket($id, %request);
    return ($wire, $provider->next_request->connection);
}

sub ask ($wire, $far, $message) {
    $wire->send_frame($message);
    $far->next_frame->{payload} eq $message or fail('it goes up as it was');
    return;
}

sub answer ($wire, $far, @texts) {
    for my $text (@texts) {
        $far->send_frame($text);
        $wire->next_frame->{payload} eq $text or fail('it comes down');
    }
    return;
}

sub turn ($wire, $far, $message, %turn) {
    ask($wire, $far, $message);
    return answer($wire, $far, response_messages(%turn));
}

subtest 'turns' => sub {
    my ($wire, $far) = pair('ci', headers => ['session-id' => 'S1',
        'x-request-id' => 'mine']);
    my $metadata = {session_id => 'S2', thread_id => 'T2'};
    my $line = $nginx->recorded(sub {
        turn($wire, $far, create(client_metadata => $metadata), %TURN);
    });
    ok delete($line->{$_}) =~ /\A\d/, $_ for qw(time ttft duration);
    my $got = join "\x1e", '', response_messages(%TURN);
    is_deeply $line, {
        request_id => 'mine', upstream_request_id => undef,
        transport  => 'websocket', method => 'GET', path => '/v1/responses',
        client     => 'ci', credential => 'openai', api => 'responses',
        model      => 'gpt-5.1', stream => true, status => 101, cost => undef,
        session_id => 'S1', thread_id => 'T2', hidden_keys => 0,
        usage => {input => 100, cached => 60, cache_written => undef,
            output => 20, reasoning => 5},
        request_bytes  => length create(client_metadata => $metadata),
        response_bytes => length $got,
        truncated      => [], dropped => undef,
        request  => decode_json(create(client_metadata => $metadata)),
        response => decode_json(response_document(%TURN)),
    }, 'one';
    my @lines = $nginx->recorded(sub {
        turn($wire, $far, create(n => $_), %TURN, id => "resp_$_") for 2, 3;
    }, 2);
    is_deeply [map { [$_->{request}{n}, $_->{response}{id}] } @lines],
        [[2, 'resp_2'], [3, 'resp_3']], 'two more';
    @lines = $nginx->recorded(sub {
        ask($wire, $far, create(n => $_)) for 4, 5;
        answer($wire, $far, response_messages(%TURN, id => "resp_$_"))
            for 4, 5;
    }, 2);
    is_deeply [map { [$_->{request}{n}, $_->{response}{id}] } @lines],
        [[4, 'resp_4'], [5, 'resp_5']], 'two at once';
    $wire->close;
    $far->await_end;
};

subtest 'what is no turn' => sub {
    my ($wire, $far) = pair();
    my @lines = $nginx->recorded(sub {
        turn($wire, $far, create(generate => false), input => 36);
        ask($wire, $far, $_) for '{"type":"response.cancel"}', '{}', 'no';
        answer($wire, $far, '{"type":"codex.rate_limits"}');
        turn($wire, $far, create(n => 1), %TURN, id => 'resp_2');
        ask($wire, $far, create(generate => false));
    });
    is scalar @lines, 1, 'has no line';
    is $lines[0]{request}{n}, 1, 'the turn among it has';
    $wire->close;
    $far->await_end;
    ($wire, $far) = pair('ci', target => '/off/v1/responses');
    turn($wire, $far, create(), %TURN);
    $wire->close;
    $far->await_end;
    $provider->forget->answer(sub ($request) { $request->reply(500) });
    is $nginx->open_socket('ci')->message->status, 500, 'a handshake';
    is scalar(my @all = $nginx->lines), 6, 'none more';
};

# Not every server knows what "generate": false means.
subtest 'what may have generated all the same' => sub {
    my ($created) = response_messages(%TURN, id => 'resp_p');
    my $error = '{"type":"error","status":400,"error":{"message":"no"}}';
    my @cases = (
        ['cut off',       'client_disconnect', $created],
        ['amid an error', 'upstream_status',   $created, $error],
    );
    for my $case (@cases) {
        my ($name, $dropped, @messages) = @$case;
        my ($line) = $nginx->recorded(sub {
            my ($wire, $far) = pair();
            ask($wire, $far, create(generate => false, n => 7));
            answer($wire, $far, @messages);
            $wire->close;
            $far->await_end;
        }, 1);
        is "$line->{dropped} $line->{model}", "$dropped gpt-5.1",
            "$name: it has a line";
    }
};

# The error was taken for the answer, and what came after it was not recorded.
subtest 'an answer that goes on after an error' => sub {
    my $error = encode_json({type => 'error', status => 400,
        error => {type => 'invalid_request_error', message => 'no'}});
    my @answer = response_messages(%TURN);
    my %cases = (
        'amid it'              => [[$answer[0], $error], @answer[1 .. $#answer]],
        'before it'            => [[$error], @answer],
        'before it, with more' =>
            [[$error], '{"type":"codex.rate_limits"}', @answer],
    );
    for my $name (sort keys %cases) {
        my ($begin, @rest) = @{$cases{$name}};
        for my $is_cut (0, 1) {
            my ($wire, $far) = pair();
            my @lines = $nginx->recorded(sub {
                ask($wire, $far, create());
                answer($wire, $far, @$begin, @rest[0 .. $#rest - $is_cut]);
                return if !$is_cut;
                $wire->close;
                $far->await_end;
            }, 2);
            my $text = $is_cut ? 'Hi' : 'message';
            is $lines[0]{status}, 400, "$name: the error";
            is $lines[1]{dropped}, $is_cut ? 'client_disconnect' : undef,
                'the rest';
            is $lines[1]{request}, undef, 'which is to no request';
            is $lines[1]{usage}{output}, $is_cut ? undef : 20, 'its usage';
            like encode_json($lines[1]{response}), qr/$text/, 'what it says';
            $_->close for $wire, $far;
        }
    }
    my ($wire, $far) = pair();
    my @lines = $nginx->recorded(sub {
        ask($wire, $far, create());
        answer($wire, $far, $error, '{"type":"codex.rate_limits"}');
        $wire->close;
        $far->await_end;
    });
    is scalar @lines, 1, 'none that does not';
    is $lines[0]{status}, 400, 'has another line';
};

subtest 'a reply that is made of its items' => sub {
    my ($wire, $far) = pair();
    my @items = map { {type => 'message', id => "i$_"} } 0, 1;
    my $line = $nginx->recorded(sub {
        ask($wire, $far, create());
        answer($wire, $far,
            '{"type":"response.created","response":{"id":"r"}}',
            '{"type":"codex.rate_limits","rate_limits":{}}',
            map({ encode_json({type => 'response.output_item.done',
                output_index => $_, item => $items[$_]}) } 0, 1),
            '{"type":"response.completed","response":{"id":"r",'
                . '"output":[]}}');
    });
    is_deeply $line->{response}, {id => 'r', output => \@items}, 'is whole';
    $wire->close;
    $far->await_end;
};

subtest 'fragments, byte by byte' => sub {
    my ($wire, $far) = pair();
    my $line = $nginx->recorded(sub {
        my @pieces = unpack '(a9)*', create(n => 9);
        for my $i (0 .. $#pieces) {
            $wire->send_frame($pieces[$i], fin => $i == $#pieces ? 1 : 0,
                op => $i ? 'continuation' : 'text');
            $wire->send_frame('?', op => 'ping') if $i == 2;
        }
        while (my $frame = $far->next_frame) {
            last if $frame->{fin} && $frame->{op} ne 'ping';
        }
        for my $text (response_messages(%TURN)) {
            my $sink = Stream->new(masks => 0, deaf => 1, closed => 1);
            for my $byte (split //, $sink->send_frame($text)->out) {
                $far->write($byte);
                settle;
            }
        }
    });
    is $line->{request}{n}, 9, 'of the request';
    is_deeply $line->{response}, decode_json(response_document(%TURN)),
        'of the reply';
    $wire->close;
    $far->await_end;
};

subtest 'ends of all kinds' => sub {
    my ($created) = response_messages(%TURN);
    my %LOSS = (client => 'client_disconnect', provider => 'reducer_error');
    for my $how (qw(close reset)) {
        for my $who (qw(client provider)) {
            my @lines = $nginx->recorded(sub {
                my ($wire, $far) = pair();
                ask($wire, $far, create(n => $_)) for 1, 2;
                answer($wire, $far, $created);
                my ($from, $to)
                    = $who eq 'client' ? ($wire, $far) : ($far, $wire);
                $from->$how;
                $to->await_end;
            }, 2);
            is $lines[0]{dropped}, $LOSS{$who}, "$how by the $who";
            is_deeply [$lines[0]{response}{id}, $lines[0]{response}{partial}],
                ['resp_1', true], 'a part of the reply';
            like $lines[1]{dropped}, qr/empty_response|client_disconnect/,
                'and a turn without a reply';
            is $lines[1]{request}{n}, 2, 'which is there';
        }
    }
    my ($wire, $far) = pair();
    my @lines = $nginx->recorded(sub {
        ask($wire, $far, create());
        answer($wire, $far, '{"type":"error","status":429,"error":{}}');
        turn($wire, $far, create(n => 2), %TURN, end => 'failed');
    }, 2);
    is "$lines[0]{dropped} $lines[0]{status}", 'upstream_status 429',
        'an error';
    ok !exists $lines[0]{response}, 'is not kept';
    my $key = 'sk-test-****wxyz';
    my ($refused) = $nginx->recorded(sub {
        ask($wire, $far, create());
        $far->send_frame(qq({"type":"error","error":{"code":)
            . qq("invalid_api_key","message":"Bad key: $key"}}));
        like $wire->next_frame->{payload}, qr/upstream_credential_rejected/,
            'one that refuses the credential';
    }, 1);
    is "$refused->{dropped} $refused->{status}", 'upstream_status 401',
        'counts as a 401';
    ok index(encode_json($refused), $key) < 0, 'and is not kept, either';
    is_deeply [$lines[1]{dropped}, $lines[1]{response}{status}],
        [undef, 'failed'], 'a turn that failed';
    $wire->close;
    $far->await_end;
};

subtest 'a client with rules' => sub {
    my ($wire, $far) = pair('gpt');
    my @lines = $nginx->recorded(sub {
        $wire->send_frame(create(model => 'o4', n => 0));
        like $wire->next_frame->{payload}, qr/model_not_allowed/, 'refused';
        turn($wire, $far, create(n => 1, x => 'x' x 5000), %TURN);
    });
    is scalar @lines, 1, 'what is refused has no line';
    is_deeply $lines[0]{request},
        decode_json(create(n => 1, x => 'x' x 5000)), 'what is not has';
    $wire->close;
    $far->await_end;
};

subtest 'with a meter' => sub {
    my ($wire, $far) = pair('ci', target => '/metered/v1/responses');
    my $cost = (40 * 1.25 + 60 * .125 + 20 * 10) / 1e6;
    my @lines = $nginx->recorded(sub {
        turn($wire, $far, create(), %TURN, id => "resp_$_") for 1, 2;
    }, 2);
    cmp_ok abs($_->{cost} - $cost), '<', 1e-12, 'each has its cost'
        for @lines;
    $wire->close;
    $far->await_end;
};

subtest 'what is longer than max' => sub {
    my ($wire, $far) = pair('ci', target => '/short/v1/responses');
    my $line = $nginx->recorded(sub {
        turn($wire, $far, create(x => 'x' x 70_000), %TURN,
            model => 'm' x 2000);
    });
    is_deeply $line->{truncated}, [qw(request response)], 'is cut';
    # A part of a key could be where it is cut.
    is length $line->{request},
        1024 - max(map { length } Metered::KEY, key_of('ci')),
        'to its beginning';
    is $line->{request_bytes}, length create(x => 'x' x 70_000), 'of so much';
    is $line->{usage}{input}, 100, 'its usage is known all the same';
    $wire->close;
    $far->await_end;
};

# Who sent more than are kept was no longer recorded.
subtest 'more turns than may wait' => sub {
    my ($wire, $far) = pair();
    my $many = Stream->new(masks => 1, deaf => 1, closed => 1);
    $many->send_frame(create(n => $_)) for 1 .. 64;
    $wire->write($many->out);
    is scalar(map { $far->next_frame } 1 .. 64), 64, 'so many may';
    $nginx->recorded(sub { $wire->close; $far->await_end }, 64);
    ($wire, $far) = pair();
    $many->send_frame(create(n => 65));
    $nginx->recorded(sub {
        $wire->write($many->out);
        like $wire->await_end, qr/eof|reset/, 'end the socket';
    }, 64);
    like $nginx->error_log, qr/too many turns at one time/, 'the log says so';
    $far->close;
    ($wire, $far) = pair('gpt');
    $many = Stream->new(masks => 1, deaf => 1, closed => 1);
    $many->send_frame(create(model => 'gpt-5', n => $_)) for 1 .. 65;
    $wire->write($many->out);
    like $wire->next_frame->{payload}, qr/rate_limit_exceeded/,
        'where turns are judged, the last is refused';
    is scalar(map { $far->next_frame } 1 .. 64), 64, 'alone';
    $nginx->recorded(sub { $wire->close; $far->await_end }, 64);
};

subtest 'early frames, and no extensions' => sub {
    my $sink  = Stream->new(masks => 1, deaf => 1, closed => 1);
    my $early = $sink->send_frame(create(n => 7))->out;
    my $line = $nginx->recorded(sub {
        $provider->forget->hold;
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(target => '/v1/responses', headers => [
            bearer('ci'), Connection => 'Upgrade', Upgrade => 'websocket',
            'Sec-WebSocket-Version' => 13,
            'Sec-WebSocket-Extensions' => 'permessage-deflate',
            'Sec-WebSocket-Key' => 'c2l4dGVlbiBieXRlcyBvaw==']) . $early);
        my $request = $provider->next_request;
        is $request->header('sec-websocket-extensions'), undef,
            'none is offered';
        my $far = $request->accept_websocket;
        is $far->next_frame->{payload}, create(n => 7), 'the frame goes up';
        $wire->await_head;
        $wire->websocket;
        answer($wire, $far, response_messages(%TURN));
        $wire->close;
        $far->await_end;
    });
    is $line->{request}{n}, 7, 'and is recorded';
};

$nginx->stop;
done_testing;
