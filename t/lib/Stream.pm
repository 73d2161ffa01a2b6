# Stream: one connection on the event loop, TCP, TLS or unix socket.
#
#     my $stream = Stream->new->adopt($handle);
#     $stream->write("bytes");
#     await 'an answer', sub { $stream->received =~ /ok/ };
#     $stream->close;
#
# Wire (the client's side) and Provider::Connection build on it. `received`
# holds every byte that came in, as it came; `unread` those that no one took
# yet. `ended` is undef while the peer may still send, then `eof` or `reset`.
#
# After websocket(), what comes in is parsed into frames:
#
#     $stream->websocket;
#     $stream->send_frame('{"type":"response.create"}');
#     my $frame = $stream->next_frame;       # { op, fin, payload }

package Stream;

use Mojo::Base -base, -signatures;
use Await;
use Errno qw(EAGAIN ECONNRESET EINTR EWOULDBLOCK);
use Mojo::IOLoop;
use Mojo::WebSocket qw(WS_BINARY WS_CLOSE WS_CONTINUATION WS_PING WS_PONG
    WS_TEXT build_frame parse_frame);
use Scalar::Util qw(weaken);
use Socket       qw(SHUT_WR SOL_SOCKET SO_LINGER);

has received => '';
has unread   => '';
has out      => '';           # written here, not yet taken by the kernel
has frames   => sub { [] };
has masks    => 0;            # whether our frames are masked: the client's are
has [qw(handle ended closed)];

my %OPCODES = (
    continuation => WS_CONTINUATION,
    text         => WS_TEXT,
    binary       => WS_BINARY,
    close        => WS_CLOSE,
    ping         => WS_PING,
    pong         => WS_PONG,
);
my %OPCODE_NAMES = reverse %OPCODES;
use constant MAX_FRAME => 256 * 1024 * 1024;

sub new ($class, @args) {
    return $class->SUPER::new(received => '', unread => '', out => '', @args);
}

# A stream that nobody holds any more is closed.
sub DESTROY ($self) {
    return if ${^GLOBAL_PHASE} eq 'DESTRUCT' || !$self->handle;
    $self->_close if !$self->closed;
    return;
}

# Takes a connected handle, after the TLS handshake if there is one.
sub adopt ($self, $handle) {
    $handle->blocking(0);
    $self->handle($handle);
    return $self->_watch;
}

sub write ($self, $bytes) {
    utf8::downgrade($bytes);
    $self->{out} .= $bytes;
    $self->_flush;
    return $self;
}

# Waits until everything written has reached the kernel.
sub drain ($self) {
    await 'a write to drain',
        sub { $self->{out} eq '' || $self->closed };
    return $self;
}

# Stops, and starts again, taking bytes from the kernel: a slow reader.
sub pause ($self)  { $self->{paused} = 1; return $self->_watch }
sub resume ($self) { $self->{paused} = 0; return $self->_watch }

# Says that no more bytes come from here, and goes on reading.
sub half_close ($self) {
    $self->drain;
    shutdown $self->handle, SHUT_WR;
    return $self;
}

sub close ($self) {
    return $self if $self->closed;
    $self->drain;
    $self->_close;
    return $self;
}

# Ends the connection with an RST, over TLS without a close_notify.
sub reset ($self) {
    return $self if $self->closed;
    setsockopt $self->handle, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $self->_close(SSL_no_shutdown => 1);
    return $self;
}

# Closes a TLS connection without a close_notify: a truncation.
sub cut ($self) {
    $self->drain;
    $self->_close(SSL_no_shutdown => 1);
    return $self;
}

# Waits for the peer to end the connection. Returns `eof` or `reset`.
sub await_end ($self) {
    return await 'the end of the connection', sub { $self->ended };
}

# From here on, frames.
sub websocket ($self) {
    $self->{speaks_frames} = 1;
    $self->_take_frames;
    return $self;
}

# %how: op (text), fin (1), masked.
sub send_frame ($self, $payload, %how) {
    return $self->write(build_frame(
        $how{masked} // $self->masks,
        $how{fin} // 1, 0, 0, 0, $OPCODES{$how{op} // 'text'}, $payload));
}

# The next frame that the test has not seen yet.
sub next_frame ($self) {
    return await 'a WebSocket frame', sub { shift @{$self->frames} };
}

# For those who build on this: bytes have come, or the peer has ended.
sub on_bytes ($self) { return }
sub on_end ($self)   { return }

# Keeps the handle on the reactor only while there is something to do there,
# because a closed peer would wake it for ever.
sub _watch ($self) {
    return $self if $self->closed;
    my $reactor = Mojo::IOLoop->singleton->reactor;
    my $reads   = !$self->{paused} && !$self->ended;
    my $writes  = $self->{out} ne '' && !$self->{deaf};
    if (!$reads && !$writes) {
        $reactor->remove($self->handle) if delete $self->{registered};
        return $self;
    }
    if (!$self->{registered}++) {
        weaken(my $weak = $self);
        $reactor->io($self->handle => sub {
            my $stream = $weak or return;
            $stream->_read;
            $stream->_flush;
        });
    }
    $reactor->watch($self->handle, $reads ? 1 : 0, $writes ? 1 : 0);
    return $self;
}

sub _read ($self) {
    until ($self->ended || $self->closed || $self->{paused}) {
        my $count = $self->handle->sysread(my $bytes, 262144);
        if (!defined $count) {
            return if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
            return $self->_end($! == ECONNRESET ? 'reset' : 'eof');
        }
        return $self->_end('eof') if $count == 0;
        $self->{received} .= $bytes;
        $self->{unread}   .= $bytes;
        $self->{speaks_frames} ? $self->_take_frames : $self->on_bytes;
    }
    return;
}

sub _end ($self, $how) {
    $self->ended($how);
    $self->{deaf} = 1 if $how eq 'reset';
    $self->_watch;
    $self->on_end;
    return;
}

sub _flush ($self) {
    while ($self->{out} ne '' && !$self->closed && !$self->{deaf}) {
        my $count = $self->handle->syswrite($self->{out}, 1048576);
        if (!defined $count) {
            last if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
            # The peer no longer listens; it may still have said something.
            $self->{deaf} = 1;
            $self->{out}  = '';
            last;
        }
        substr $self->{out}, 0, $count, '';
    }
    $self->_watch;
    return;
}

sub _take_frames ($self) {
    while (my $frame = parse_frame(\$self->{unread}, MAX_FRAME)) {
        last if !ref $frame;
        my ($fin, $rsv1, undef, undef, $op, $payload) = @$frame;
        push @{$self->frames}, {
            op      => $OPCODE_NAMES{$op},
            fin     => $fin,
            rsv1    => $rsv1,
            payload => $payload,
        };
    }
    return;
}

sub _close ($self, @how) {
    $self->closed(1);
    my $handle = $self->handle;
    Mojo::IOLoop->singleton->reactor->remove($handle);
    $handle->isa('IO::Socket::SSL') ? $handle->close(@how) : $handle->close;
    return;
}

1;
