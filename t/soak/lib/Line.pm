# Line: a connection of a caller, and how requests go over it.
#
# What a Caller is made of. A connection is a hash of its socket, and since
# when it is there. Nothing here knows an event loop: a caller waits, for
# PATIENCE seconds.

package Line;

use Mojo::Base -base, -signatures;
use IO::Select;
use IO::Socket::IP;
use Message;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_RCVBUF TCP_NODELAY);
use Tally;
use Time::HiRes qw(sleep time);
use Wire;

use constant PATIENCE => 60;

has [qw(name key port ledger)];
has tally => sub ($self) { Tally->new(ledger => $self->ledger) };

sub _connect ($self, %how) {
    my $since  = time;
    my $socket = IO::Socket::IP->new(
        PeerHost => '127.0.0.1',
        PeerPort => $self->port,
        $how{slow}
            ? (Sockopts => [[SOL_SOCKET, SO_RCVBUF, pack 'i', 4096]])
            : ());
    $self->tally->fault('no connection', "$!") if !$socket;
    return $socket && {socket => $socket, since => $since};
}

sub _compose ($self, $at, $kind, $id, $body, %how) {
    my $query = join '&', "kind=$kind", "id=$id", 'since=' . $at->{since},
        $how{size} ? "size=$how{size}" : ();
    return compose(
        method  => 'POST',
        target  => "/v1/responses?$query",
        headers => [
            Authorization => 'Bearer ' . $self->key,
            Connection    => 'keep-alive',
        ],
        body => $body);
}

# All of it, in so many pieces.
sub _send ($self, $socket, $bytes, %how) {
    my $pieces = $how{pieces} // 1;
    my $size   = 1 + int(length($bytes) / $pieces);
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1 if $pieces > 1;
    while (length $bytes) {
        my $piece = substr $bytes, 0, $size, '';
        my $count = syswrite $socket, $piece;
        return 0 if ($count // 0) < length $piece;
        sleep rand 0.1 if $pieces > 1;
    }
    return 1;
}

sub _answer ($self, $socket, %how) {
    my $message = Message->new(answers => 'POST');
    my $buffer  = '';
    until ($message->complete || $message->broken) {
        my $count = $self->_read($socket, \$buffer, $how{slow} ? 4096 : 65536);
        $message->feed(\$buffer);
        if (!$count) {
            $message->finish if defined $count;
            last;
        }
        sleep rand 0.05 if $how{slow};
    }
    $self->_look_for_keys($message->head . $message->body);
    return $message;
}

sub _read ($self, $socket, $buffer, $most) {
    if (!IO::Select->new($socket)->can_read(PATIENCE)) {
        $self->tally->fault('hang', $self->name . ' after ' . $$buffer);
        return;
    }
    return sysread $socket, $$buffer, $most, length $$buffer;
}

sub _look_for_keys ($self, $bytes) {
    $self->tally->fault('a key in a reply', $bytes)
        if $bytes =~ /sk-test-soak-far/;
    return;
}

1;
