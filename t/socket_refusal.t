# A provider that accepts the handshake of a WebSocket and refuses the credential
# afterwards, by an error: what it says of the key does not reach the client. The
# client is told as by HTTP, and the next handshake has another credential.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Mojo::JSON      qw(decode_json encode_json);
use Mojo::WebSocket qw(WS_CONTINUATION WS_PING WS_TEXT build_frame);
use Await;
use Nginx;
use Pool;
use Provider;
use Wire;

use constant {LARGEST_HELD => 2048, PAGE => 4096};

my $provider = Provider->new;
my $nginx    = Nginx->new;
my $pool     = Pool->new(provider => $provider, nginx => $nginx);
$pool->location('alone', 1);
$pool->location('other', 1, 'keystile_buffer_size 4k;');
$pool->location($_, 2) for qw(plain named forbidden);
$pool->location('forbids', 2, 'keystile_next_credential http_403;');
$pool->location('metered', 2, 'keystile_meter main;');
$pool->location('own', 1, '', inject => 'passthrough own-1');
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_zone  main 256k;
    keystile_admit any;
    keystile_allow GET /** websocket;
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /healthz { keystile_health; }
        location = /metrics { keystile_status main; }
        location = /metrics/json { keystile_status main format=json; }
CONF
    PROVIDER => $provider->address);

my $CREATE = '{"type":"response.create","model":"gpt-5","input":[]}';
my $KEY    = 'sk-test-********wxyz';
my $OURS   = {type => 'error', status => 503, error => {
    type    => 'api_error',
    param   => undef,
    code    => 'upstream_credential_rejected',
    message => "The provider does not accept the gateway's credential"}};
my $FORBIDDEN = {type => 'error', status => 403, error => {
    type    => 'permission_error',
    param   => undef,
    code    => 'upstream_forbidden',
    message => 'The provider refused this request'}};

# As OpenAI's Realtime interface says it.
my $REFUSAL = '{"type":"error","event_id":"event_1","error":{"type":'
    . '"invalid_request_error","code":"invalid_api_key","message":"Incorrect '
    . qq[API key provided: $KEY.","param":null,"event_id":null}}];

# An open WebSocket, and its far end.
sub open_socket ($name, $with_101 = '', %request) {
    $provider->forget->answer(sub ($request) {
        $request->accept_websocket;
        $request->write($with_101) if $with_101 ne '';
    });
    my $wire = Wire->handshake($nginx->port, target => "/$name/a", %request);
    is $wire->message->status, 101, 'a socket';
    return ($wire, $provider->last->connection->websocket);
}

# The next message, in fragments or not.
sub next_text ($wire) {
    my $text = '';
    while (my $frame = $wire->next_frame) {
        next if $frame->{op} eq 'ping';
        $text .= $frame->{payload};
        return $text if $frame->{fin};
    }
    return;
}

sub next_json ($wire) { return decode_json next_text($wire) }

sub text ($payload) {
    return build_frame(0, 1, 0, 0, 0, WS_TEXT, $payload);
}

# nginx has taken what the provider has written so far.
sub await_taken ($wire, $far) {
    $wire->send_frame('settled');
    is $far->next_frame->{payload}, 'settled', 'nginx has it' or die;
    return;
}

# Both halves of the bytes, apart.
sub send_cut ($wire, $far, $bytes, $at) {
    $far->write(substr $bytes, 0, $at);
    await_taken($wire, $far);
    return $far->write(substr $bytes, $at);
}

subtest 'a key that is refused' => sub {
    my ($wire, $far) = open_socket('plain');
    is $pool->sent, 'plain-1', 'with the first credential';
    $wire->send_frame($CREATE);
    $far->next_frame;
    $far->write(text($REFUSAL) . text('{"type":"x"}')
            . build_frame(0, 1, 0, 0, 0, 8, pack 'na*', 3000, 'bad key'));
    is_deeply next_json($wire), $OURS, 'is told as by HTTP';
    is next_text($wire), '{"type":"x"}', 'before what comes next';
    is $wire->next_frame->{payload}, pack('na*', 3000, 'bad key'),
        'and before the end';
    ok $wire->received !~ /wxyz|Incorrect/, 'no word of the key';
    $wire->close;
    open_socket('plain');
    is $pool->sent, 'plain-2', 'the next handshake has the next';
    like $nginx->error_log,
        qr/the provider does not accept credential "plain-1": it says so on a/,
        'the log says so';
    like $nginx->error_log,
        qr/"plain-1" is left alone for \d+ seconds: the provider answered 401/,
        'and what becomes of it';
    my $health = request($nginx->port, target => '/healthz')->json;
    my ($state) = grep { $_->{name} eq 'plain-1' } @{$health->{credentials}};
    is $state->{status}, 'cools_down', 'so does health';
    like request($nginx->port, target => '/metrics')->body,
        qr/refusals_total\{credential="plain-1",reason="rejected"\} 1\n/,
        'and it is counted';
};

subtest 'along with the 101' => sub {
    my ($wire) = open_socket('alone', text('{"type":"x"}') . text($REFUSAL));
    is next_text($wire), '{"type":"x"}', 'what came before it';
    is_deeply next_json($wire), $OURS, 'is hidden, too';
    ($wire, my $far) = open_socket('alone', substr text($REFUSAL), 0, 20);
    await_taken($wire, $far);
    $far->write(substr text($REFUSAL), 20);
    is_deeply next_json($wire), $OURS, 'also in two pieces';
    ok $wire->received !~ /event_1|wxyz/, 'no byte of it passes';
    $wire->close;
};

# It takes most of the buffer.
subtest 'behind a long 101' => sub {
    for my $size (2500, 3200, 3700) {
        $provider->forget->answer(sub ($request) {
            $request->accept_websocket('X-Long' => 'x' x $size);
        });
        my $wire = Wire->handshake($nginx->port, target => '/other/a');
        is $wire->message->status, 101, "of $size bytes";
        my $far   = $provider->last->connection->websocket;
        my $error = '{"type":"error","error":{"message":"' . 'x' x 1500
            . '"}}';
        send_cut($wire, $far, text($error), 800);
        is next_text($wire), $error, 'what is held passes';
        send_cut($wire, $far, text($REFUSAL), 100);
        is_deeply next_json($wire), $OURS, 'or not';
        $wire->close;
    }
};

subtest 'as it is also said' => sub {
    my ($wire, $far) = open_socket('alone');
    for my $error (
        {type => 'error', status      => 401, error => {message => $KEY}},
        {type => 'error', status_code => 401, error => {message => $KEY}},
        {error => {code => 'invalid_api_key', message => $KEY}},
        {type => 'error', error => {type => 'authentication_error'}},
    ) {
        $far->send_frame(encode_json $error);
        is_deeply next_json($wire), $OURS, encode_json $error;
    }
    for my $status (403) {
        $far->send_frame(encode_json {type => 'error', status => $status,
            error => {code => 'model_not_found', message => "no $KEY"}});
        is_deeply next_json($wire), $FORBIDDEN, "$status of the request";
    }
    $wire->close;
};

subtest 'which credential is next' => sub {
    my $of_turn = '{"type":"error","status":403,"error":{"code":"no_model"}}';
    my $of_key
        = '{"type":"error","status":403,"error":{"code":"invalid_api_key"}}';
    my $after = sub ($name, $error) {
        my ($wire, $far) = open_socket($name);
        $far->send_frame($error);
        $wire->next_frame;
        $wire->close;
        open_socket($name);
        return $pool->sent;
    };
    is $after->(forbidden => $of_turn), 'forbidden-1', 'of a turn';
    is $after->(forbidden => $of_key),  'forbidden-1', 'no condition';
    is $after->(forbids   => $of_turn), 'forbids-1',   'nor where it is one';
    is $after->(forbids   => $of_key),  'forbids-2',   'of the key';
    is $after->(named     => $REFUSAL), 'named-2',     'of a name alone';
    is $after->(alone     => $REFUSAL), 'alone-1',     'a lone one stays';
};

subtest 'cut at each byte' => sub {
    my ($wire, $far) = open_socket('alone');
    my $before = '{"type":"y"}';
    for my $bytes (text($REFUSAL), build_frame(0, 0, 0, 0, 0, WS_TEXT,
            substr $REFUSAL, 0, 40)
            . build_frame(0, 1, 0, 0, 0, WS_PING, 'p')
            . build_frame(0, 1, 0, 0, 0, WS_CONTINUATION,
            substr $REFUSAL, 40),
        text('{"type":"response.failed","response":{"id":"event_1","error":'
                . '{"code":"invalid_api_key","message":"' . $KEY . '"}}}')) {
        my $wrong = 0;
        for my $at (1 .. length($bytes) - 1) {
            $far->write(text($before) . substr $bytes, 0, $at);
            $wire->send_frame('settled');
            $far->next_frame;
            $far->write(substr($bytes, $at) . text($before));
            $wrong++ if next_text($wire) ne $before;
            my $ours = next_json($wire);
            $wrong++ if $ours->{error}{code} ne $OURS->{error}{code};
            $wrong++ if next_text($wire) ne $before;
        }
        is $wrong, 0, 'is ours';
    }
    ok $wire->received !~ /event_1|wxyz/, 'no byte of it passes';
    $wire->close;
};

subtest 'what is no refusal' => sub {
    my ($wire, $far) = open_socket('alone');
    my @texts = ('', '{', 'no JSON', '{}', '{"a":1}', "\xc3\xa9" x 40,
        '{"type":"session.created"}', '{"event_id":"e","type":"x","y":"z"}',
        '{"type":"error","error":{"code":"x","message":"invalid_api_key"}}',
        '{"type":"error","status":400,"error":{"code":"model_not_found"}}');
    my $wrong = 0;
    for my $text (@texts) {
        my $bytes = text($text);
        for my $at (1 .. length($bytes) - 1) {
            $far->write(substr $bytes, 0, $at);
            $wire->send_frame('settled');
            $far->next_frame;
            $far->write(substr $bytes, $at);
            $wrong++ if $wire->next_frame->{payload} ne $text;
        }
    }
    is $wrong, 0, 'passes as it is, cut at each byte';

    for my $size (LARGEST_HELD - 30 .. LARGEST_HELD + 30, PAGE - 30 .. PAGE + 4,
        3 * PAGE, 100_000) {
        my $text = '{"a":"' . 'x' x $size . '"}';
        $far->send_frame($text);
        $wrong++ if $wire->next_frame->{payload} ne $text;
        $text = '{"type":"error","error":{"message":"' . 'x' x $size . '"}}';
        $far->send_frame($text);
        $wrong++ if $wire->next_frame->{payload} ne $text;
    }
    is $wrong, 0, 'of any size';
    $far->send_frame('{}', op => 'binary');
    is $wire->next_frame->{payload}, '{}', 'binary';

    # Of what begins like an error and does not go on, control frames do.
    $far->write(substr text($REFUSAL), 0, 30);
    await_taken($wire, $far);
    is @{$wire->frames}, 0, 'what may be one waits';
    $far->close;
    $wire->await_end;
    ok $wire->received !~ /event_1/, 'and is not given when it ends';
    $wire->close;
};

# What is replaced by something longer may be at the end of what nginx reads at
# once.
subtest 'at the end of a page' => sub {
    my $short  = text('{"type":"error","status":401}');
    my $filled = '{"type":"x","y":""}';
    my $after  = text('{"type":"x"}');
    my $wrong  = 0;
    for my $room (0 .. 40, 100 .. 260) {
        my ($wire, $far) = open_socket('other');
        my $size = PAGE - length($short) - $room - 4 - length $filled;
        $far->write(text($filled =~ s/""/'"' . 'z' x $size . '"'/er)
            . $short . $after x 30);
        my %seen;
        $seen{next_json($wire)->{error}{code} // 'other'}++ for 1 .. 32;
        $wrong++ if $seen{upstream_credential_rejected} != 1;
        $wire->close;
    }
    is $wrong, 0, 'told once, and all else passes';
};

subtest 'longer than one that is held' => sub {
    my ($wire, $far) = open_socket('other');
    my $error = $REFUSAL =~ s/event_1/'e' x LARGEST_HELD/er;
    $far->write(substr text($error), 0, LARGEST_HELD);
    await_taken($wire, $far);
    $far->write(substr text($error), LARGEST_HELD, 20);
    await_taken($wire, $far);
    $far->write(substr text($error), LARGEST_HELD + 20);
    $wire->await_end;
    ok $wire->received !~ /wxyz/, 'ends the socket before the key';
    like $nginx->error_log, qr/a part of an error that is not for its client/,
        'and the log says why';
};

subtest 'many at once' => sub {
    my ($wire, $far) = open_socket('other');
    $far->write(text($REFUSAL) x 200 . text('{"type":"end"}'));
    my $count = 0;
    while ((my $text = next_text($wire)) ne '{"type":"end"}') {
        $count++ if decode_json($text)->{status} == 503;
    }
    is $count, 200, 'each is told';
    ok $wire->received !~ /wxyz/, 'none passes';
    $wire->close;
};

subtest 'counted' => sub {
    my ($wire, $far) = open_socket('metered');
    $wire->send_frame($CREATE);
    $far->next_frame;
    $far->send_frame($REFUSAL);
    is_deeply next_json($wire), $OURS, 'refused';
    $wire->send_frame($CREATE);
    is $far->next_frame->{payload}, $CREATE, 'another turn goes up';
    $far->send_frame('{"type":"response.completed","response":{"id":"r",'
            . '"usage":{"input_tokens":3,"output_tokens":4}}}');
    like next_text($wire), qr/completed/, 'and is answered';
    $wire->close;
    my $totals;
    await 'the socket to end', sub {
        my $json = request($nginx->port, target => '/metrics/json')->json;
        return if $json->{clients}[0]{open};
        return $totals = $json->{clients}[0]{totals};
    };
    is $totals->{input_tokens},  3, 'what it took';
    is $totals->{output_tokens}, 4, 'and gave';
    is $totals->{requests},      2, 'in two turns';
};

subtest 'of a credential of the caller\'s own' => sub {
    my ($wire, $far) = open_socket('own', '',
        headers => [Authorization => 'Bearer eyJ.own.token']);
    is $provider->last->header('authorization'), 'Bearer eyJ.own.token',
        'it goes up';
    $far->send_frame($REFUSAL);
    is next_text($wire), $REFUSAL, 'its refusal passes';
    $wire->close;
};

$nginx->stop;
done_testing;
