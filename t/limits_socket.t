# Limits and models on a WebSocket: each response.create is judged, a refusal
# is a message on the open socket, and nothing of what was refused goes up.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Metered;
use Mojo::JSON qw(decode_json encode_json);
use Wire;

my %LIMITS = (
    two_a_day     => [{requests => 2, per => 'day'}],
    two_a_minute  => [{requests => 2, per => 'minute'}],
    two_a_minute2 => [{requests => 2, per => 'minute'}],
    tokens        => [{tokens => 100, per => 'month'}],
    early         => [{requests => 1, per => 'day'}],
    sockets       => [{concurrent => 2}],
    fragments     => [{requests => 1, per => 'day'}],
    pending       => [{tokens => 1_000_000, per => 'day'}],
    held          => [{tokens => 20_000, per => 'day'}],
    by_model      => [{requests => 1, per => 'day', model => 'gpt-5*'}],
    prewarms      => [{requests => 1, per => 'day'}],
    generated     => [{requests => 1, per => 'day'}],
    unused        => [{requests => 100, per => 'day'}],
    race          => [{requests => 10, per => 'day'}],
);
on_one_day();
my $nginx = Metered->new(
    workers => 2,
    clients => {
        (map { $_ => {limits => $LIMITS{$_}} } keys %LIMITS),
        models => {models => ['gpt-5*', 'o4-mini']},
    })->serve;
my $provider = $nginx->provider;

my %TURN   = (input => 60, output => 5);
my $CREATE = create();

sub create (%members) {
    return encode_json({type => 'response.create', model => 'gpt-5.1',
        input => [], %members});
}

sub pair ($id) {
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket($id);
    return ($wire, $provider->next_request->connection);
}

# A turn that is admitted.
sub admitted ($name, $wire, $far, $message = $CREATE, %turn) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $wire->send_frame($message);
    is $far->next_frame->{payload}, $message, "$name: goes up";
    return answered($wire, $far, %turn);
}

sub answered ($wire, $far, %turn) {
    for my $text (response_messages(%TURN, id => 'resp_' . rand, %turn)) {
        $far->send_frame($text);
        $wire->next_frame;
    }
    return;
}

# A message that is refused, and the one frame that says so.
sub refused ($name, $wire, $far, $message, $status, $code) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $seen = length $far->received;
    $wire->send_frame($message);
    my $answer = refusal($name, $wire, $status, $code);
    # What came later would have come by now.
    $wire->send_frame('?', op => 'ping');
    is $far->next_frame->{payload}, '?', 'the socket is usable';
    is length($far->received) - $seen, 1 + 2 + 4,
        'and nothing of the message went up';
    return $answer;
}

sub refusal ($name, $wire, $status, $code) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $frame = $wire->next_frame;
    ok $frame->{op} eq 'text' && $frame->{fin}, "$name: one text frame";
    my $answer = eval { decode_json($frame->{payload}) }
        or return fail("no JSON: $frame->{payload}");
    is $answer->{type}, 'error', 'an error';
    is $answer->{status}, $status, 'with its status';
    is $answer->{error}{code}, $code, 'and its code';
    ok length $answer->{error}{message}, 'and words';
    return $answer;
}

subtest 'requests of a day' => sub {
    my ($wire, $far) = pair('two_a_day');
    admitted($_, $wire, $far) for 1, 2;
    my $answer = refused('the third', $wire, $far, $CREATE, 429,
        'usage_limit_reached');
    is $answer->{error}{type}, 'usage_limit_reached', 'its type';
    cmp_ok $answer->{error}{resets_at}, '>', time - 1, 'and when it ends';
    my $http = $nginx->turn('two_a_day')->json;
    is_deeply [sort keys %{$answer->{error}}], [sort keys %{$http->{error}}],
        'the same object as over HTTP';
    refused('a fourth', $wire, $far, $CREATE, 429, 'usage_limit_reached');
    $wire->close;
    $nginx->idle;
    $provider->forget;
    my $connections = $provider->connections;
    my $handshake = $nginx->open_socket('two_a_day')->message;
    is $handshake->status, 429, 'another handshake is refused';
    is $handshake->json->{error}{code}, 'usage_limit_reached', 'likewise';
    is $provider->connections, $connections, 'and the provider is not asked';
};

subtest 'requests of a minute' => sub {
    my ($codes) = in_one_window(60, sub ($try) {
        my ($wire, $far) = pair($try == 1 ? 'two_a_minute' : 'two_a_minute2');
        admitted($_, $wire, $far) for 1, 2;
        my $answer = refused('the third', $wire, $far, $CREATE, 429,
            'rate_limit_exceeded');
        $wire->close;
        return join ' ', map { $_ // '' }
            @{$answer->{error}}{qw(type code resets_at)};
    });
    is $codes, 'rate_limit_error rate_limit_exceeded ', 'type and code';
};

subtest 'tokens' => sub {
    my ($wire, $far) = pair('tokens');
    admitted($_, $wire, $far) for 1, 2;
    refused('when they are used up', $wire, $far, $CREATE, 429,
        'usage_limit_reached');
    admitted('other messages', $wire, $far, '{"type":"response.cancel"}');
};

subtest 'a prewarm' => sub {
    my ($wire, $far) = pair('prewarms');
    my $prewarm = create(generate => \0);
    admitted("prewarm $_", $wire, $far, $prewarm, output => 0) for 1 .. 3;
    admitted('a turn', $wire, $far);
    refused('another', $wire, $far, $CREATE, 429, 'usage_limit_reached');
    # "generate": false is what the client says, not what the provider did.
    ($wire, $far) = pair('generated');
    admitted('one that generated', $wire, $far, $prewarm);
    refused('and was a turn', $wire, $far, $CREATE, 429,
        'usage_limit_reached');
};

subtest 'what is reserved' => sub {
    my ($wire, $far) = pair('pending');
    $wire->send_frame($CREATE);
    $far->next_frame;
    my $limit = sub {
        $nginx->client_of($nginx->status, 'pending')->{limits}[0];
    };
    cmp_ok $limit->()->{reserved_value}, '>', 0, 'while a turn is under way';
    answered($wire, $far);
    await 'its end to be counted',
        sub { $limit->()->{reserved_value} == 0 };
    is $limit->()->{current_value}, 65, 'until what it cost is known';
    $wire->send_frame($CREATE);
    $far->next_frame;
    $wire->close;
    $nginx->idle;
    is $limit->()->{reserved_value}, 0, 'or the socket is closed';
    cmp_ok $limit->()->{current_value}, '>', 65, 'and then it is charged';
};

# As over HTTP: what is only set aside is there again soon.
subtest 'what is only set aside' => sub {
    my ($wire, $far) = pair('held');
    my ($other) = pair('held');
    for (1 .. 2) {
        $wire->send_frame($CREATE);
        $far->next_frame;
    }
    $wire->send_frame($CREATE);
    my $answer = refusal('a third', $wire, 429, 'rate_limit_exceeded');
    is $answer->{error}{type}, 'rate_limit_error', 'its type';
    ok !exists $answer->{error}{resets_at}, 'not when the window ends';
    like $answer->{error}{message},
        qr/set aside for requests that are under way/, 'but why';
    my $handshake = $nginx->open_socket('held')->message;
    is $handshake->status, 429, 'a handshake is refused';
    is $handshake->json->{error}{code}, 'rate_limit_exceeded', 'likewise';
    answered($wire, $far) for 1 .. 2;
    admitted('when they are answered', $wire, $far);
    $_->close for $wire, $other;
};

subtest 'sockets at one time' => sub {
    my @pairs = map { [pair('sockets')] } 1 .. 2;
    my $third = $nginx->open_socket('sockets')->message;
    is $third->status, 429, 'a third is refused';
    is $third->json->{error}{code}, 'rate_limit_exceeded', 'as a passing limit';
    is $nginx->turn('sockets')->status, 429, 'and so is a request';
    admitted("turn $_", @{$pairs[0]}) for 1 .. 3;
    $pairs[0][0]->close;
    await 'room', sub {
        ($nginx->client_of($nginx->status, 'sockets'))->{open} == 1;
    };
    $provider->forget;
    is $nginx->turn('sockets')->status, 200, 'until one is closed';
};

subtest 'fragments' => sub {
    my ($wire, $far) = pair('fragments');
    admitted('a turn', $wire, $far);
    my $seen   = length $far->received;
    my @pieces = unpack '(a9)*', create(input => 'x' x 500);
    for my $i (0 .. $#pieces) {
        $wire->send_frame($pieces[$i], fin => $i == $#pieces ? 1 : 0,
            op => $i ? 'continuation' : 'text');
        $wire->send_frame($i, op => 'ping') if $i < 2;
    }
    refusal('another, in fragments', $wire, 429, 'usage_limit_reached');
    is $far->next_frame->{payload}, $_, 'a ping amid them goes up' for 0, 1;
    $wire->send_frame('?', op => 'ping');
    is $far->next_frame->{payload}, '?', 'the socket is usable';
    is length($far->received) - $seen, 3 * 7, 'and nothing else went up';
};

subtest 'a large message' => sub {
    my ($wire, $far) = pair('models');
    my $large = create(model => 'gpt-5.1', input => 'x' x 3_000_000);
    admitted('that names its model first', $wire, $far, $large);
    # JSON in which the model is the last.
    my $late = '{"type":"response.create","input":"' . 'x' x 3_000_000
        . '","model":"%s"}';
    admitted('and last', $wire, $far, sprintf $late, 'o4-mini');
    admitted('another', $wire, $far);
    # What has gone up cannot be taken back, but it can be left without an end.
    $wire->send_frame(sprintf $late, 'gpt-4o');
    like $wire->await_end, qr/eof|reset/, 'one that may not closes the socket';
    $far->await_end;
    is_deeply $far->frames, [], 'and is not whole above';
};

# Its model is known, and its end has gone wrong.
for my $id (qw(models unused)) {
    subtest "a large message that is no JSON: $id" => sub {
        my ($wire, $far) = pair($id);
        my $message = create();
        chop $message;
        $message .= ',"x":"' . 'x' x 3_000_000 . q(","y":['"']});
        $wire->send_frame($message);
        like $wire->await_end, qr/eof|reset/, 'closes the socket';
        $far->await_end;
        is_deeply $far->frames, [], 'and is not whole above';
        ($wire, $far) = pair($id);
        # Whose type comes after what has gone wrong.
        refused('a small one', $wire, $far, q({"x":['"'],)
            . '"type":"response.create","model":"gpt-5","y":[\'"\']}', 400,
            'bad_request_body');
        admitted('a good one', $wire, $far);
    };
}

subtest 'models' => sub {
    my ($wire, $far) = pair('models');
    admitted($_, $wire, $far, create(model => $_))
        for 'gpt-5.1', 'gpt-5', 'o4-mini', 'O4-Mini';
    refused($_, $wire, $far, create(model => $_), 400, 'model_not_allowed')
        for 'gpt-4o', 'o4-mini-2', 'gpt-4o gpt-5';
    my %bad = (
        'no model'    => '{"type":"response.create"}',
        'two'         => '{"type":"response.create","model":"gpt-5",'
            . '"model":"gpt-5"}',
        'no text'     => '{"type":"response.create","model":["gpt-5"]}',
        'not whole'   => '{"type":"response.create","model":"gpt-5"',
        'two values'  => '{"type":"response.create","model":"gpt-5"}{}',
    );
    # Nearly JSON, in which more than one model or type can be read.
    my $begun = '{"type":"response.create","model":"gpt-5"';
    %bad = (%bad,
        'another, in single quotes' =>
            qq($begun,"x":['"'],"model":"gpt-4o","y":['"']}),
        'a type, in single quotes' => q({"x":['"'],"type":"response.create",)
            . q("model":"gpt-4o","y":['"']}),
        'a type, in a comment' => q({"x":[/*"*/],"type":"response.create",)
            . q("model":"gpt-4o","y":[/*"*/]}),
        'another bracket' => qq($begun,"x":[}}),
        'no UTF-8'        => qq($begun,"x":["\xED\xA0\x80"]}),
    );
    refused($_, $wire, $far, $bad{$_}, 400, 'bad_request_body')
        for sort keys %bad;
    refused('one that is cut off in an escape', $wire, $far, '{"x":"\\',
        400, 'bad_request_body');
    refused('and has no say in the next', $wire, $far,
        '{"a":["","],",":["],"type":"response.create","model":"gpt-4o",'
        . '"b":["\""]}', 400, 'model_not_allowed');
    refused('a prewarm too', $wire, $far,
        create(model => 'gpt-4o', generate => \0), 400, 'model_not_allowed');
    admitted('the socket goes on', $wire, $far);
    admitted('a name that is escaped', $wire, $far,
        '{"type":"response.create","model":"gpt\u002d5"}');
};

subtest 'a limit on a model' => sub {
    my ($wire, $far) = pair('by_model');
    admitted('one', $wire, $far);
    refused('two', $wire, $far, $CREATE, 429, 'usage_limit_reached');
    admitted('another model', $wire, $far, create(model => 'o4-mini'));
};

subtest 'early frames' => sub {
    my $sink  = Stream->new(masks => 1, deaf => 1, closed => 1);
    my $early = $sink->send_frame($CREATE)->send_frame($CREATE)
        ->send_frame('!', op => 'ping')->out;
    $provider->forget->hold;
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => '/v1/responses', headers => [
        bearer('early'), Connection => 'Upgrade', Upgrade => 'websocket',
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => 'c2l4dGVlbiBieXRlcyBvaw==']) . $early);
    my $far = $provider->next_request->accept_websocket;
    is $far->next_frame->{payload}, $CREATE, 'the first goes up';
    is $far->next_frame->{payload}, '!', 'the second does not';
    $wire->await_head;
    is $wire->message->status, 101, 'the handshake is answered first';
    $wire->websocket;
    refusal('the second', $wire, 429, 'usage_limit_reached');
};

subtest 'a refusal amid an answer' => sub {
    my ($wire, $far) = pair('race');
    $wire->send_frame($CREATE) for 1 .. 11;
    is $far->next_frame->{payload}, $CREATE, 'ten go up' for 1 .. 10;
    refusal('the eleventh', $wire, 429, 'usage_limit_reached');
    my ($first, @rest) = response_messages(%TURN);
    my ($begin, $end) = $first =~ /\A(.{40})(.*)\z/s;    # its type at least
    $far->send_frame($begin, fin => 0);
    is $wire->next_frame->{payload}, $begin, 'a fragment has come down';
    $wire->send_frame($CREATE);
    settle;
    $nginx->status;
    $far->send_frame($end, op => 'continuation');
    my @frames = map { $wire->next_frame } 1 .. 2;
    is $frames[0]{payload}, $end, 'the rest follows it';
    is decode_json($frames[1]{payload})->{status}, 429, 'and then the refusal';

    # A frame that is half down.
    my $sink = Stream->new(masks => 0, deaf => 1, closed => 1);
    my $raw  = $sink->send_frame('{"type":"some","more":"text"}')->out;
    $far->write(substr $raw, 0, 18);
    await 'half a frame', sub { $wire->unread =~ /"some/ };
    $wire->send_frame($CREATE);
    settle;
    $nginx->status;
    $far->write(substr $raw, 18);
    @frames = map { $wire->next_frame } 1 .. 2;
    is $frames[0]{payload}, '{"type":"some","more":"text"}', 'a half frame is not torn';
    is decode_json($frames[1]{payload})->{status}, 429, 'the refusal follows';
};

subtest 'refusals are counted' => sub {
    my ($wire, $far) = pair('models');
    my $count = sub {
        $nginx->client_of($nginx->status, 'models')->{refusals}
            {model_not_allowed} // 0;
    };
    my $before = $count->();
    refused('one', $wire, $far, create(model => 'gpt-4o'), 400,
        'model_not_allowed');
    is $count->() - $before, 1, 'by their reason';
};

$nginx->idle;
$nginx->stop;
done_testing;
