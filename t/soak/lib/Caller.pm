# Caller: a client of the soak, in a process of its own.
#
#     my $pid = Caller->new(name => 'steady', number => 7, key => $key,
#         port => $port, ledger => $path, until => $time, seed => 7)->start;
#
# `steady` callers see each request through, and check each answer; `rough`
# ones leave at any moment, and send what should be refused. An id is
# NAME.NUMBER.COUNT. The ledger gets
#
#     broken ID STARTED ENDED    an answer that did not come, or not whole
#     again ID                   a request that was sent a second time, because
#                                a connection that was kept had been closed
#     sent NAME COUNT WHOLE      how many there were, at the end
#
# A server may close a connection that is kept at any time, a reload does: a
# request that crosses with that has no answer at all, and any client sends it
# again.

package Caller;

use Mojo::Base 'Line', -signatures;
use Digest::MD5 qw(md5_hex);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::WebSocket qw(WS_CLOSE WS_TEXT build_frame parse_frame);
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep time);
use Wire;

use constant {
    PAUSE     => 1,           # between two requests, at most
    MAX_FRAME => 1 << 20,
};

# How often each is done, and by whom.
my %MOVES = (
    steady => [(\&_talk) x 12, (\&_send_slowly) x 2, (\&_read_slowly) x 2,
        (\&_converse) x 3],
    rough => [(\&_leave) x 4, (\&_attack) x 4, \&_meet_an_end],
);

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
);

has [qw(number until seed)];

sub start ($self) {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    @SIG{qw(HUP INT TERM)} = ('DEFAULT') x 3;
    srand $self->seed;
    local $SIG{PIPE} = 'IGNORE';
    $self->{count} = $self->{whole} = 0;
    my @moves = @{$MOVES{$self->name}};
    while (time < $self->until) {
        my $move = $moves[rand @moves];
        eval { $self->$move; 1 }
            or $self->tally->fault('a caller died', $@);
        sleep rand PAUSE;
    }
    $self->tally->note('sent', $self->name, @$self{qw(count whole)});
    POSIX::_exit(0);
}

# ---- steady ----

# One to four requests on a connection.
sub _talk ($self) {
    my $kept;
    for (0 .. rand 4) {
        $kept = $self->_see_through($kept, rand() < 0.5 ? 'whole' : 'stream',
            'i' x int rand(rand() < 0.1 ? 60_000 : 200)) or return;
    }
    return;
}

sub _send_slowly ($self) {
    $self->_see_through(undef, 'whole', 'i' x int rand 20_000, pieces => 12);
    return;
}

sub _read_slowly ($self) {
    $self->_see_through(undef, rand() < 0.5 ? 'whole' : 'stream', 'i',
        size => 100_000, slow => 1);
    return;
}

# One request and its answer. Returns the connection if it may be used again.
sub _see_through ($self, $kept, $kind, $text, %how) {
    my $id      = $self->_new_id;
    my $body    = encode_json({model => 'gpt-5.1', input => $text});
    my $started = time;
    for my $old ($kept ? $kept : (), undef) {
        my $at      = $old // $self->_connect(%how);
        my $request = $self->_compose($at, $kind, $id, $body, %how);
        my $sent    = $at && $self->_send($at->{socket}, $request, %how);
        my $answer  = $at && $self->_answer($at->{socket}, %how);
        if ($old && $answer && $answer->head eq '') {
            $self->tally->note('again', $id);
            next;
        }
        return $at if $sent && $self->_check($answer, $id, $body);
        last;
    }
    $self->tally->note('broken', $id, $started, time);
    return;
}

sub _new_id ($self) {
    return join '.', $self->name, $self->number, $self->{count}++;
}

# Whether an answer came whole. One that did, and is not what was sent, is a
# fault whatever happened meanwhile.
sub _check ($self, $answer, $id, $body) {
    $self->tally->fault('a broken reply', "$id: " . $answer->broken)
        if $answer->broken;
    return 0 if !$answer->complete || $answer->status =~ /\A50[24]\z/;
    $self->{whole}++;
    return 1 if $answer->status == 200
        && ($answer->header('x-soak-sum') // '') eq md5_hex($answer->body)
        && ($answer->header('x-soak-got') // '') eq md5_hex($body);
    $self->tally->fault('a wrong reply',
        "$id: " . $answer->head . $answer->body);
    return 1;
}

# ---- WebSockets ----

sub _converse ($self) {
    my $at      = $self->_connect or return;
    my $started = time;
    my $id      = $self->_new_id;
    my $socket  = $at->{socket};
    my $buffer  = '';
    my $open    = $self->_send($socket, $self->_handshake($at, $id))
        && $self->_await($socket, \$buffer, qr/\AHTTP.*?\r\n\r\n/s);
    if ($open && $open !~ /\AHTTP\S+ (?:101|50[24]) /) {
        $self->tally->fault('no WebSocket', $open);
    }
    my $turns = 1 + int rand 5;
    while ($open && $open =~ /\AHTTP\S+ 101 / && $turns--) {
        $id = $self->_new_id;
        my $said = 'said ' . rand;
        if (!$self->_turn($socket, \$buffer, $id, $said)) {
            $open = undef;
            last;
        }
        $self->{whole}++;
        $started = time;
        sleep rand PAUSE;
    }
    $self->tally->note('broken', $id, $started, time) if $turns >= 0;
    $self->_send($socket, build_frame(1, 1, 0, 0, 0, WS_CLOSE, pack 'n', 1000));
    return;
}

sub _handshake ($self, $at, $id) {
    return compose(
        target => "/v1/responses?kind=socket&id=$id&since=$at->{since}",
        headers => [
            Authorization           => 'Bearer ' . $self->key,
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

# ---- rough ----

# A request whose caller goes away: before it is sent, or before its answer is
# there, with a FIN or an RST.
sub _leave ($self) {
    my $at   = $self->_connect or return;
    my $kind = rand() < 0.5 ? 'whole' : 'stream';
    my $body = encode_json(
        {model => 'gpt-5.1', input => 'i' x int rand 30_000});
    my $request = $self->_compose($at, $kind, $self->_new_id, $body,
        size => 50_000);
    my $part = rand() < 0.4 ? int rand length $request : length $request;
    $self->_send($at->{socket}, substr $request, 0, $part);
    sleep rand 0.1 if rand() < 0.7;
    sysread $at->{socket}, my $some, 1 + int rand 9000
        if $part == length $request && rand() < 0.5;
    $self->_look_for_keys($some // '');
    setsockopt $at->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
        if rand() < 0.5;
    return;
}

# What may not go up: a provider that gets it, says so.
sub _attack ($self) {
    my ($status, $path, %request) = @{$ATTACKS[rand @ATTACKS]};
    my $at = $self->_connect or return;
    $self->{count}++;
    my $headers = delete $request{headers}
        // [Authorization => 'Bearer ' . $self->key];
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

# A provider that breaks off, or refuses the key and quotes it.
sub _meet_an_end ($self) {
    my $at   = $self->_connect or return;
    my $kind = rand() < 0.5 ? 'cut' : 'refused';
    $self->_send($at->{socket},
        $self->_compose($at, $kind, $self->_new_id, '{"model":"gpt-5.1"}'));
    my $answer = $self->_answer($at->{socket});
    $self->tally->fault('a cut that does not show', $answer->head)
        if $kind eq 'cut' && $answer->complete && $answer->status == 200;
    return;
}

1;
