# Steady: a Caller that sees each request through, and checks each answer.

package Steady;

use Mojo::Base 'Caller', -signatures;
use Digest::MD5 qw(md5_hex);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::WebSocket qw(WS_CLOSE WS_TEXT build_frame parse_frame);
use Time::HiRes qw(sleep time);
use Wire;

use constant MAX_FRAME => 1 << 20;

sub moves ($self) {
    return (('talk') x 12, ('send_slowly') x 2, ('read_slowly') x 2,
        ('converse') x 3);
}

# One to four requests on a connection.
sub talk ($self) {
    my $kept;
    for (0 .. rand 4) {
        $kept = $self->_see_through($kept, rand() < 0.5 ? 'whole' : 'stream',
            'i' x int rand(rand() < 0.1 ? 60_000 : 200)) or return;
    }
    return;
}

sub send_slowly ($self) {
    $self->_see_through(undef, 'whole', 'i' x int rand 20_000, pieces => 12);
    return;
}

sub read_slowly ($self) {
    $self->_see_through(undef, rand() < 0.5 ? 'whole' : 'stream', 'i',
        size => 100_000, slow => 1);
    return;
}

# To the pool, over TLS, or with a credential of its own.
sub _place () { return ('', '', '', '/secure', '/own')[rand 5] }

# One request and its answer. Returns the connection if it may be used again.
# One in ten has the caller's key in it, as of someone who shows a file.
sub _see_through ($self, $kept, $kind, $text, %how) {
    my $id      = $self->_new_id('steady');
    my $shows   = rand() < 0.1;
    my $started = time;
    $how{place} = _place();
    for my $old ($kept ? $kept : (), undef) {
        my $at      = $old // $self->_connect(%how) or last;
        my $body    = encode_json({model => 'gpt-5.1',
            input => $shows ? "$text $at->{keys}{steady}" : $text});
        my $request = $self->_compose($at, $kind, $id, $body, %how);
        my $sent    = $self->_send($at->{socket}, $request, %how);
        my $answer  = $self->_answer($at->{socket}, %how);
        if ($old && $answer->head eq '') {
            $self->tally->note('again', $id, $started, time);
            next;
        }
        return $at if $sent && $self->_check($answer, $id, $body);
        last;
    }
    $self->_broken($id, $started);
    return;
}

# Whether an answer came whole. One that did, and is not what was sent, is a
# fault whatever happened meanwhile.
sub _check ($self, $answer, $id, $body) {
    $self->tally->fault('a broken reply', "$id: " . $answer->broken)
        if $answer->broken;
    return 0 if !$answer->complete || $answer->status =~ /\A50[24]\z/;
    return 1 if $answer->status == 200
        && ($answer->header('x-soak-sum') // '') eq md5_hex($answer->body)
        && ($answer->header('x-soak-got') // '') eq md5_hex($body);
    $self->tally->fault('a wrong reply',
        "$id: " . $answer->head . $answer->body);
    return 1;
}

# ---- WebSockets ----

sub converse ($self) {
    my $started = time;
    my $id      = $self->_new_id('socket');
    my $at      = $self->_connect or return $self->_broken($id, $started);
    my ($socket, $first, $buffer) = ($at->{socket}, $id, '');
    my $open = $self->_send($socket, $self->handshake($at, 'socket', $id,
            rand() < 0.2 ? '/secure' : ''))
        && $self->_await($socket, \$buffer, qr/\AHTTP.*?\r\n\r\n/s);
    if ($open && $open !~ /\AHTTP\S+ (?:101|50[24]) /) {
        $self->tally->fault('no WebSocket', $open);
    }
    my $turns = 1 + int rand 5;
    while ($open && $open =~ /\AHTTP\S+ 101 / && $turns--) {
        $id = $self->_new_id('socket');
        my $said = 'said ' . int rand 1e9;
        if (!$self->_turn($socket, \$buffer, $id, $said)) {
            $open = undef;
            last;
        }
        sleep rand Caller::PAUSE;
        $started = time;
    }
    return $self->_broken($id, $started, $first) if $turns >= 0;
    $self->_send($socket, build_frame(1, 1, 0, 0, 0, WS_CLOSE, pack 'n', 1000));
    return;
}

sub handshake ($self, $at, $kind, $id, $place) {
    my ($client) = split /[.]/, $id;
    return compose(
        target => "$place/v1/responses?kind=$kind&id=$id&since=$at->{since}",
        headers => [
            Authorization           => "Bearer $at->{keys}{$client}",
            Connection              => 'Upgrade',
            Upgrade                 => 'websocket',
            'Sec-WebSocket-Version' => 13,
            'Sec-WebSocket-Key'     => 'c2l4dGVlbiBieXRlcyBvaw==',
        ]);
}

# Reads until what came matches, and takes that.
sub _await ($self, $socket, $buffer, $pattern) {
    for (;;) {
        return $1 if $$buffer =~ s/($pattern)//;
        $self->_read($socket, $buffer, 65536) or return;
    }
}

# Whether a turn ended, as it should.
sub _turn ($self, $socket, $buffer, $id, $said) {
    $self->_send($socket, build_frame(1, 1, 0, 0, 0, WS_TEXT, encode_json({
        type => 'response.create', model => 'gpt-5.1', input => "$id $said",
    }))) or return 0;
    my $heard = '';
    for (;;) {
        my $frame = parse_frame($buffer, MAX_FRAME);
        if (!$frame) {
            $self->_read($socket, $buffer, 65536) or return 0;
            next;
        }
        return 0 if $frame->[4] != WS_TEXT;
        $self->_look_for_keys($frame->[5]);
        my $event = decode_json($frame->[5]);
        $heard ||= $event->{delta} // '';
        last if $event->{type} eq 'response.completed';
        $self->tally->fault('an error on a socket', $frame->[5])
            if $event->{type} !~ /\Aresponse[.]/;
    }
    $self->tally->fault('a wrong turn', "$id: $heard, not $said")
        if $heard ne $said;
    return 1;
}

1;
