# Rough: a Caller that leaves at any moment, and sends what should be refused.

package Rough;

use Mojo::Base 'Steady', -signatures;
use Mojo::JSON qw(encode_json);
use Mojo::WebSocket qw(WS_BINARY WS_CONTINUATION WS_PING WS_TEXT build_frame);
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep);
use Wire;

# What is refused here, with its status.
my @ATTACKS = (
    [400, '/v1//responses'],
    [400, '/v1/%72esponses'],
    [400, '/v1/./responses'],
    [400, '/v1/responses/../files'],
    [403, '/v1/files'],
    [405, '/v1/responses', method => 'DELETE'],
    [401, '/v1/responses', headers => [Authorization => 'Bearer sk-no']],
    [401, '/v1/responses', headers => []],
    [400, '/v1/responses', headers => [
        'Transfer-Encoding' => 'chunked', 'Content-Length' => 5]],
    [400, '/v1/responses', headers => ['Content-Length' => '-1']],
    [400, '/v1/responses', headers => ['X-Long' => 'x' x 40_000]],
    [401, '/v1/responses', gone => 1],
);

# What no WebSocket has: RSV bits, opcodes that are none, a message amid
# another, one that continues none, a ping in pieces and one that is too long,
# lengths that are never reached, and no mask; and what is a frame, but no turn.
my @FRAMES = (
    build_frame(1, 1, 1, 0, 0, WS_TEXT, '{"type":"response.create"}'),
    build_frame(1, 1, 0, 0, 0, 5,  'five'),
    build_frame(1, 1, 0, 0, 0, 13, 'thirteen'),
    build_frame(1, 0, 0, 0, 0, WS_TEXT, '{"type"')
        . build_frame(1, 0, 0, 0, 0, WS_TEXT, ':"response.create"}'),
    build_frame(1, 1, 0, 0, 0, WS_CONTINUATION, 'of nothing'),
    build_frame(1, 0, 0, 0, 0, WS_PING, 'ping'),
    build_frame(1, 1, 0, 0, 0, WS_PING, 'p' x 300),
    "\x81\xff" . "\xff" x 12,
    "\x81\xff" . "\x00" x 4 . "\x7f\xff\xff\xff" . 'mask{"type":"x',
    build_frame(0, 1, 0, 0, 0, WS_TEXT, '{"type":"response.create"}'),
    build_frame(1, 1, 0, 0, 0, WS_TEXT, '{"type":' x 3000),
    build_frame(1, 1, 0, 0, 0, WS_TEXT, "\xff\xfe{\"type\":\"\x00"),
    build_frame(1, 1, 0, 0, 0, WS_BINARY, 'b' x 70_000),
    'GET / HTTP/1.1' . "\r\n\r\n",
);

sub moves ($self) {
    return (('leave') x 4, ('attack') x 4, ('frames') x 2, 'meet_an_end');
}

# A request whose caller goes away: before it is sent, or before its answer is
# there, with a FIN or an RST.
sub leave ($self) {
    my $at   = $self->_connect or return;
    my $kind = rand() < 0.5 ? 'whole' : 'stream';
    my $body = encode_json(
        {model => 'gpt-5.1', input => 'i' x int rand 30_000});
    my $request = $self->_compose($at, $kind, $self->_new_id('rough'), $body,
        size => 50_000, place => ('', '/secure', '/own')[rand 3]);
    my $part = rand() < 0.4 ? int rand length $request : length $request;
    $self->_send($at->{socket}, substr $request, 0, $part);
    sleep rand 0.1 if rand() < 0.7;
    sysread $at->{socket}, my $some, 1 + int rand 9000
        if $part == length $request && rand() < 0.5;
    $self->_look_for_keys($some // '');
    _drop($at);
    return;
}

sub _drop ($at) {
    setsockopt $at->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
        if rand() < 0.5;
    return;
}

# What may not go up: a provider that gets it, says so.
sub attack ($self) {
    my ($status, $path, %request) = @{$ATTACKS[rand @ATTACKS]};
    my $at  = $self->_connect or return;
    my $key = $at->{keys}{delete $request{gone} ? 'gone' : 'rough'} // return;
    $self->{count}++;
    my $headers = delete $request{headers}
        // [Authorization => "Bearer $key"];
    $self->_send($at->{socket}, compose(
        method  => 'POST',
        body    => '{}',
        target  => "$path?kind=attack",
        headers => $headers,
        %request));
    my $answer = $self->_answer($at->{socket});
    return if !$answer->complete || $answer->status == $status;
    $self->tally->fault('not refused', "$status $path: " . $answer->head);
    return;
}

# The provider does not answer these.
sub frames ($self) {
    my $at = $self->_connect or return;
    my $id = $self->_new_id('rough');
    my $buffer = '';
    $self->_send($at->{socket}, $self->handshake($at, 'deaf', $id, ''));
    $self->_await($at->{socket}, \$buffer, qr/\AHTTP.*?\r\n\r\n/s) or return;
    for (0 .. rand 4) {
        $self->_send($at->{socket}, $FRAMES[rand @FRAMES]) or last;
        sleep rand 0.1;
    }
    _drop($at);
    return;
}

# A provider that breaks off, or refuses the key and quotes it: a key that is
# in no pool, since it would be left alone for that.
sub meet_an_end ($self) {
    my $at   = $self->_connect or return;
    my $kind = rand() < 0.5 ? 'cut' : 'refused';
    $self->_send($at->{socket}, $self->_compose($at, $kind,
        $self->_new_id('rough'), '{"model":"gpt-5.1"}', place => '/alone'));
    my $answer = $self->_answer($at->{socket});
    $self->tally->fault('a cut that does not show', $answer->head)
        if $kind eq 'cut' && $answer->complete && $answer->status == 200;
    return;
}

1;
