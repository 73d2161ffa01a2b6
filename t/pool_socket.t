# A rate limit that shows on an open WebSocket: the turn ends as the provider
# ended it, and the next handshake has another credential.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Mojo::JSON qw(encode_json);
use Nginx;
use Pool;
use Provider;
use Wire;

my $provider = Provider->new;
my $nginx    = Nginx->new;
my $pool     = Pool->new(provider => $provider, nginx => $nginx);
$pool->location($_, 2) for qw(plain spelled other split binary);
$pool->location('metered', 2, 'keystile_meter main;');
$pool->location('unlisted', 2, 'keystile_next_credential http_401;');
$pool->location('alone', 1);
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_zone  main 256k;
    keystile_admit any;
    keystile_allow GET /** websocket;
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /healthz { keystile_health; }
CONF
    PROVIDER => $provider->address);

my $CREATE = '{"type":"response.create","model":"gpt-5","input":[]}';

# An open WebSocket, and its far end.
sub open_socket ($name) {
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = Wire->handshake($nginx->port, target => "/$name/a",
        headers => ['Sec-WebSocket-Extensions' => 'permessage-deflate']);
    is $wire->message->status, 101, 'a socket';
    return ($wire, $provider->last->connection->websocket);
}

# What the provider says to a turn, and who has the handshake after it.
sub after_error ($name, @pieces) {
    my ($wire, $far) = open_socket($name);
    is $pool->sent, "$name-1", 'with the first credential';
    $wire->send_frame($CREATE);
    is $far->next_frame->{payload}, $CREATE, 'the turn goes up';
    $far->send_frame($_) for @pieces;
    is $wire->next_frame->{payload}, $_, 'the error comes back' for @pieces;
    $wire->close;
    ($wire) = open_socket($name);
    $wire->close;
    return $pool->sent;
}

sub error (%members) {
    return encode_json({type => 'error', error => {
        type => 'usage_limit_reached', message => 'x'}, %members});
}

subtest 'without a meter' => sub {
    is after_error(plain => error(status => 429)), 'plain-2', 'the next';
    is $provider->last->header('sec-websocket-extensions'), undef,
        'nothing that could not be read was offered';
    like $nginx->error_log, qr/"plain-1" is left alone for 60 seconds: the .* 429/,
        'the log says so';
    my $health = request($nginx->port, target => '/healthz')->json;
    is $health->{credentials}[0]{status}, 'cools_down', 'and health';
};

subtest 'with a meter' => sub {
    is after_error(metered => error(status => 429)), 'metered-2', 'the next';
};

subtest 'as it is also spelled' => sub {
    is after_error(spelled => error(status_code => 429)), 'spelled-2',
        'the next';
};

subtest 'after events of the answer' => sub {
    is after_error(split => '{"type":"response.created","response":{"id":"r"}}',
        '{"type":"response.output_text.delta","delta":"429"}',
        error(status => 429)), 'split-2', 'the next';
};

subtest 'what is no rate limit' => sub {
    is after_error(other => error(status => 400)), 'other-1', 'another error';
    is after_error(other => '{"type":"response.completed","status":429,'
        . '"response":{"id":"r2","status":"completed"}}'), 'other-1',
        'an answer';
    is after_error(unlisted => error(status => 429)), 'unlisted-1',
        'where it is no condition';
    is after_error(alone => error(status => 429)), 'alone-1',
        'of one that is alone';
};

subtest 'other messages' => sub {
    my ($wire, $far) = open_socket('binary');
    $far->send_frame("\x00\xff" x 5000, opcode => 2);
    is $wire->next_frame->{payload}, "\x00\xff" x 5000, 'pass';
    $wire->send_frame("\xff\x00" x 5000, opcode => 2);
    is $far->next_frame->{payload}, "\xff\x00" x 5000, 'both ways';
    $wire->close;
};

$nginx->stop;
done_testing;
