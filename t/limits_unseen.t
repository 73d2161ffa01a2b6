# What limits do about what keystile cannot see, or cannot stop by refusing a
# turn: a reply without figures or without a model's name, one of which the
# caller wants but a part, a model in the target of a WebSocket, and a provider
# that speaks without being asked.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Golden;
use Metered;
use Mojo::JSON      qw(encode_json);
use Mojo::WebSocket qw(WS_TEXT build_frame);
use Wire;

my $nginx = Metered->new(
    prices => [
        {model => 'gpt-5-nano', input => 1, output => 1},
        {model => '*', input => 1000, output => 1000}],
    clients => {
        (map { $_ => {limits => [{tokens => 1_000_000, per => 'month'}]} }
            qw(stream socket noted left_0 left_1 left_2)),
        label    => {limits => [{usd => 1000, per => 'month'}]},
        mask     => {limits => [{tokens => 1_000_000, per => 'month'}]},
        realtime => {models => ['gpt-5*', 'a+b']},
        heard    => {limits => [{tokens => 1000, per => 'month'}]},
        swaps    => {limits => [{tokens => 1_000_000, per => 'month',
            model => 'o3'}]},
        held     => {limits => [{concurrent => 1, model => 'gpt-5*'}]},
        speaks   => {limits => [{tokens => 200, per => 'month'},
            {concurrent => 1}]},
        bogus    => {limits => [{tokens => 200, per => 'month'}]},
        asked    => {limits => [{requests => 1, per => 'month'}]},
        left     => {limits => [{requests => 1, per => 'month'}]},
        priced   => {models => ['gpt-5*'],
            limits => [{usd => 1000, per => 'month'}]},
        model    => {limits => [{tokens => 100, per => 'month',
            model => 'gpt-realtime*'}]},
    },
    server => <<'CONF')->serve;
        keystile_allow GET  /v1/realtime websocket query=*;
        keystile_allow POST /v1beta/** query=*;
        keystile_allow GET  /fixed websocket
            to=/v1/realtime?model=gpt-realtime-2;
        location = /fixed { keystile_pass http://%%PROVIDER%%; }
CONF
my $provider = $nginx->provider;

sub charged ($id, $wire = undef) {
    $wire->close if $wire;
    my $client = $nginx->client_of($nginx->idle, $id);
    is $client->{limits}[0]{reserved_value}, 0, 'nothing is set aside';
    return ($client->{limits}[0]{current_value}, $client->{totals});
}

sub pair ($id, $target = '/v1/responses') {
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket($id, target => $target);
    return ($wire, $wire->message->status != 101
        ? undef : $provider->next_request->connection);
}

# Chat Completions that are not asked for their figures, as by the SDKs: 2048
# tokens were charged, whatever came.
subtest 'as many tokens as events' => sub {
    my $delta = 'data: {"choices":[{"delta":{"content":"x"}}],"model":"m"}'
        . "\n\n";
    $provider->forget->answer(sub ($request) {
        $request->reply(200, ['Content-Type' => 'text/event-stream'],
            $delta x 5000 . "data: [DONE]\n\n");
    });
    $nginx->turn('stream');
    my ($tokens, $totals) = charged('stream');
    is $totals->{usage_missing}, 1, 'a stream without figures';
    cmp_ok $tokens, '>=', 5000, 'is charged by its events';
    is $totals->{output_tokens}, 0, 'of which none are made up';

    my ($wire, $far) = pair('socket');
    my $create = encode_json({type => 'response.create', model => 'm',
        input => []});
    $wire->send_frame($create);
    $far->next_frame;
    $far->send_frame('{"type":"response.output_text.delta","delta":"x"}')
        for 1 .. 9000;
    $wire->next_frame for 1 .. 9000;
    ($tokens) = charged('socket', $wire);
    cmp_ok $tokens, '>=', 9000 + 8192, 'a turn that is cut off by its messages';
};

# The label of a cheap model was believed.
subtest 'a price where the reply names no model' => sub {
    my $reply = '{"usage":{"input_tokens":1000,"output_tokens":1000}}';
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, $reply);
    });
    $nginx->turn('label',
        body => '{"model":"gpt-5-nano","model":"gpt-5-pro"}');
    my ($usd, $totals) = charged('label');
    is $usd, 2_000_000, 'limits take that of "*"';
    is $totals->{cost_usd}, 0.002, 'counters that of the label';
    $provider->answer(sub ($request) {
        $request->reply(200, undef, $reply =~ s/\}\z/,"model":"gpt-5-nano"}/r);
    });
    $nginx->turn('label', body => '{"model":"gpt-5-nano"}');
    is((charged('label'))[0], 2_002_000, 'of a reply that does, its own');
};

subtest 'a reply of which only a part is wanted' => sub {
    $provider->forget->answer(sub ($request) {
        my $masked = $request->header('x-goog-fieldmask');
        $request->reply(200, undef, $masked ? '{"candidates":[]}'
            : '{"candidates":[],"usageMetadata":{"promptTokenCount":5,'
                . '"candidatesTokenCount":7}}');
    });
    my $r = $nginx->call('mask', method => 'POST', body => '{}',
        target => '/v1beta/models/gemini-3:generateContent',
        headers => ['X-Goog-FieldMask' => 'candidates']);
    like $r->body, qr/usageMetadata/, 'comes whole';
    is((charged('mask'))[0], 12, 'and is charged');
    for my $query (qw(fields=a $fields=a %24fields=a alt=proto $alt=media
        callback=f alt)) {
        $provider->requests([]);
        $r = $nginx->call('mask', method => 'POST', body => '{}',
            target => "/v1beta/models/gemini-3:generateContent?$query");
        is $r->status, 403, "$query is refused";
        is_deeply $provider->requests, [], 'before the provider is asked';
    }
};

subtest 'the model in the target of a WebSocket' => sub {
    for my $case (
        ['gpt-4o'           => 400], ['gpt-5&model=gpt-5' => 400],
        ['gpt-5;model=o3'   => 400], ['x' x 300           => 400],
        ['gpt-5&deployment=o3' => 400], ['gpt-5&deploymen%74=' => 400],
        ['gpt-5'            => 101], ['gpt%2d5.1&a=b'     => 101],
        ['a%2Bb'            => 101],
    ) {
        my ($query, $status) = @$case;
        my ($wire, $far) = pair('realtime', "/v1/realtime?model=$query");
        is $wire->message->status, $status, substr $query, 0, 20;
        is scalar @{$provider->requests}, $status == 101 ? 1 : 0,
            'what the provider gets';
        $_->close for grep { $_ } $wire, $far;
    }
    my ($two) = pair('realtime', '/v1/realtime?deployment=a&deployment=b');
    is $two->message->status, 400, 'two deployments';
    my ($wire, $far) = pair('realtime', '/v1/realtime');
    is $wire->message->status, 101, 'one that names none opens';
    $_->close for $wire, $far;
};

# It hears when its client has said enough: there is no turn to refuse.
my $ERROR = '{"type":"error","status":400,"error":{"message":"no"}}';
sub spoken ($id, $is_bogus = 0) {
    my ($first, @rest) = response_messages(input => 60, output => 60,
        id => "resp_$id", model => '');
    return ($first, $is_bogus ? $ERROR : (), @rest);
}

sub hear ($wire, $far, @texts) {
    for my $text (@texts) {
        $far->send_frame($text);
        is $wire->next_frame->{payload}, $text, 'it comes';
    }
    return;
}

sub hear_all ($wire, $count) {
    $wire->next_frame for 1 .. $count;
    return;
}

sub ended ($wire, $far, $code) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like $wire->next_frame->{payload}, qr/"code":"$code"/,
        'then the client is told that the limit is used up';
    like $wire->await_end, qr/eof|reset/, 'which ends the socket';
    like $far->await_end, qr/eof|reset/, 'for the provider, too';
    return;
}

# As 'spoken' begins.
sub spoken_as ($model) {
    return (response_messages(input => 6, output => 6, id => 'resp_late',
        model => $model))[0];
}

subtest 'a provider that speaks by itself' => sub {
    # With a place of its own in `concurrent`, and an error that makes each
    # answer look like the rest of one.
    for my $id (qw(speaks bogus)) {
        my ($wire, $far) = pair($id, '/v1/realtime?model=gpt-5');
        hear($wire, $far, spoken("${id}_1", $id eq 'bogus'));
        hear($wire, $far, spoken("${id}_2", $id eq 'bogus'));
        ended($wire, $far, 'usage_limit_reached');
        my ($tokens, $totals) = charged($id);
        is $tokens, 240, "$id: charged";
        is $totals->{requests}, 2, 'as two requests';
    }
    my ($wire, $far) = pair('asked', '/v1/realtime?model=gpt-5');
    hear($wire, $far, spoken('asked', 1));
    ended($wire, $far, 'usage_limit_reached');

    ($wire, $far) = pair('model', '/v1/realtime?model=gpt-realtime-2');
    hear($wire, $far, spoken('model'));
    ended($wire, $far, 'usage_limit_reached');
    is((charged('model'))[0], 120, 'a limit on the model of the target');
    ($wire) = pair('model', '/v1/realtime?model=gpt-realtime-2');
    is $wire->message->status, 429, 'which opens no other socket';
    ($wire) = pair('model', '/v1/realtime?model=gpt-realtime-2&model=a');
    is $wire->message->status, 400, 'nor does one that is named twice';
    ($wire) = pair('model', '/fixed');
    is $wire->message->status, 429, 'nor one that the rule names';
    ($wire, $far) = pair('model', '/v1/realtime?model=gpt-5');
    hear($wire, $far, spoken('other_1'), spoken('other_2'));
    is((charged('model', $wire))[0], 120, 'and not of another');

    ($wire, $far) = pair('left', '/v1/realtime?model=gpt-5');
    hear($wire, $far, (spoken('left'))[0]);
    is((charged('left', $wire))[0], 1, 'one that its client leaves is counted');
    ($wire) = pair('left', '/v1/realtime?model=gpt-5');
    is $wire->message->status, 429, 'and was the last';
};

# As the Realtime interface has it.
subtest 'a turn without a model, where the target names one' => sub {
    my ($wire, $far) = pair('priced', '/v1/realtime?model=gpt-5-nano');
    $wire->send_frame('{"type":"response.create"}');
    is eval { $far->next_frame->{payload} }, '{"type":"response.create"}',
        'goes up';
    hear($wire, $far, spoken('priced'));
    is((charged('priced', $wire))[0], 120, 'and costs what that costs');
};

# Of the Responses interface, whose target names none: what it asks is written
# in a prompt that the provider keeps.
subtest 'a turn without a model, where nothing names one' => sub {
    for my $more ('"prompt":{"id":"p"}', '"input":[]') {
        my ($wire, $far) = pair('priced', '/v1/realtime?model=gpt-5-nano');
        $wire->send_frame("{\"type\":\"response.create\",$more}");
        like $wire->next_frame->{payload}, qr/must name one model/,
            "with $more";
        is @{$far->frames}, 0, 'it does not go up';
        $_->close for $wire, $far;
    }
};

# What its target may name it by is not known: a deployment, say.
subtest 'an answer of a model that is not known to be allowed' => sub {
    for my $case (['', 'bad_request_body'], ['o3', 'model_not_allowed']) {
        my ($model, $code) = @$case;
        my ($wire, $far)
            = pair('realtime', '/v1/realtime?deployment=gpt-4o');
        my ($first, @rest) = response_messages(input => 6, output => 6,
            id => "resp_un$model", model => $model);
        hear($wire, $far, $first, @rest);
        ended($wire, $far, $code);
    }
    my ($wire, $far) = pair('realtime', '/v1/realtime?deployment=gpt-5');
    hear($wire, $far, response_messages(input => 6, output => 6,
        id => "resp_$_", model => 'gpt-5.1')) for 1 .. 2;
    $_->close for $wire, $far;
};

# Nothing was set aside for it, so that there is nothing to charge it with.
subtest 'an answer that was not asked for, without figures' => sub {
    my ($wire, $far) = pair('noted', '/v1/realtime?model=gpt-5');
    for my $status (qw(failed completed)) {
        hear($wire, $far, encode_json({type => 'response.done', response => {
            id => "resp_$status", status => $status, usage => undef}}));
    }
    my ($tokens, $totals) = charged('noted', $wire);
    is $tokens, 0, 'is not charged';
    is $totals->{requests}, 1, 'but is a request, where it has not failed';
};

# That it is of a turn which it has asked for, and which an error has ended, is
# not what an error can make it.
subtest 'the same after a turn that failed' => sub {
    my $create = '{"type":"response.create","model":"gpt-5","input":[]}';
    my @cases = (
        ['before its answer', [], [$ERROR], 'model_not_allowed', 'o3'],
        ['without a name',    [], [$ERROR], 'bad_request_body',  ''],
        ['amid an answer', ['{"type":"bogus"}'],
            [spoken_as('o3'), $ERROR], 'model_not_allowed', 'o3'],
    );
    for my $case (@cases) {
        my ($name, $more, $before, $code, $model) = @$case;
        my ($wire, $far) = pair('realtime', '/v1/realtime?deployment=gpt-4o');
        my @sent = (@$more, $create);
        $wire->send_frame($_) for @sent;
        $far->next_frame for @sent;
        hear($wire, $far, @$before);
        my ($first, @rest) = response_messages(input => 6, output => 6,
            id => 'resp_late', model => $model);
        hear($wire, $far, @$before > 1 ? @rest : ($first, @rest));
        ended($wire, $far, $code);
        pass $name;
    }
    my ($wire, $far) = pair('realtime', '/v1/realtime?deployment=gpt-5');
    for my $id (1 .. 2) {
        $wire->send_frame($create);
        $far->next_frame;
        hear($wire, $far, $ERROR, response_messages(input => 6, output => 6,
            id => "resp_$id", model => 'gpt-5-2025-08-07'));
    }
    $_->close for $wire, $far;
};

subtest 'what was said, written down by a model' => sub {
    my $text = encode_json({usage => {input_tokens => 300,
        output_tokens => 300, type => 'tokens'}, transcript => 'x',
        type => 'conversation.item.input_audio_transcription.completed'});
    my ($wire, $far) = pair('heard', '/v1/realtime?model=gpt-realtime');
    hear($wire, $far, $text, $text);
    ended($wire, $far, 'usage_limit_reached');
    my ($tokens, $totals) = charged('heard');
    is $tokens, 1200, 'is charged';
    is $totals->{requests}, 2, 'as two requests';
};

# The error may be for the message that was no turn, and the answer go on.
subtest 'an error that a client has asked for' => sub {
    my $create = encode_json({type => 'response.create', model => 'gpt-5',
        input => []});
    my $held = sub {
        my $client = $nginx->client_of($nginx->status, 'held');
        return $client->{limits}[0]{current_value};
    };
    my ($wire, $far) = pair('held');
    $wire->send_frame($_) for '{"type":"bogus"}', $create;
    $far->next_frame for 1 .. 2;
    hear($wire, $far, $ERROR);
    is $held->(), 1, 'frees no place';
    my ($other) = pair('held');
    $other->send_frame($create);
    like $other->next_frame->{payload}, qr/limit/, 'on another socket';
    $other->close;
    hear($wire, $far, response_messages(input => 6, output => 6, id => 'late'));
    is $held->(), 0, 'the answer that comes late does';
    is $nginx->status->{clients} && $nginx->client_of($nginx->status, 'held')
        ->{totals}{input_tokens}, 6, 'and is counted';

    $wire->send_frame($_) for '{"type":"bogus"}', $create;
    $far->next_frame for 1 .. 2;
    hear($wire, $far, $ERROR);
    $wire->send_frame($create);
    is $far->next_frame->{payload}, $create,
        'nor is it in the way of the next turn of its socket';
    hear($wire, $far, $ERROR);
    is((charged('held', $wire))[0], 0, 'nor does it outlive that');
    is $nginx->client_of($nginx->idle, 'held')->{totals}{requests}, 3,
        'each turn is a request';
};

# Nor does it wipe out what came before.
subtest 'as many tokens as messages, whatever errors came' => sub {
    my $delta = '{"type":"response.output_text.delta","delta":"x"}';
    for my $errors (0 .. 2) {
        my $id = "left_$errors";
        my ($wire, $far) = pair($id);
        $wire->send_frame($_) for my @sent = (('{"type":"bogus"}') x $errors,
            '{"type":"response.create","model":"gpt-5","input":[]}');
        $far->next_frame for @sent;
        my ($first) = response_messages(id => "resp_$id");
        hear($wire, $far, $first);
        for my $part (0 .. $errors) {
            $far->write(build_frame(0, 1, 0, 0, 0, WS_TEXT, $delta) x 3000);
            hear_all($wire, 3000);
            hear($wire, $far, $ERROR) if $part < $errors;
        }
        my ($tokens, $totals) = charged($id, $wire);
        is $totals->{usage_missing}, 1, "$errors errors: it is missing";
        cmp_ok $tokens, '>=', 8192 + 3000 * ($errors + 1), 'and charged';
    }
};

# Errors that it has asked for make answers look like those of other turns.
subtest 'turns that seem to be each other\'s' => sub {
    my $create = sub ($model) {
        return encode_json({type => 'response.create', model => $model,
            input => []});
    };
    my $due = 0;
    for my $errors (1, 2) {
        my ($wire, $far) = pair('swaps');
        my @sent = ('{"type":"bogus"}', $create->('o3'),
            $create->('mini'), ('{"type":"bogus"}') x ($errors - 1));
        $wire->send_frame($_) for @sent;
        $far->next_frame for @sent;
        hear($wire, $far, $ERROR) for 1 .. $errors;
        hear($wire, $far, response_messages(input => 5000, output => 60,
            id => "o3_$errors", model => 'o3'));
        hear($wire, $far, response_messages(input => 7, output => 8,
            id => "mini_$errors", model => 'mini'));
        $due += 5060;
        my ($tokens) = charged('swaps', $wire);
        cmp_ok $tokens, '>=', $due, "$errors: what o3 used counts for o3";
        cmp_ok $tokens, '<', $due + 2 * 10_300, 'and not much more';
    }
};

$nginx->stop;
done_testing;
