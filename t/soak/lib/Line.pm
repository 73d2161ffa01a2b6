# Line: a connection of a caller, and how requests go over it.
#
# What a Caller is made of. A connection is a hash of its socket, since when it
# is there, and the keys that clients had then; one in six is TLS. Nothing here
# knows an event loop: a caller waits, for PATIENCE seconds.

package Line;

use Mojo::Base -base, -signatures;
use IO::Select;
use IO::Socket::IP;
use IO::Socket::SSL qw(SSL_VERIFY_NONE);
use Message;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_RCVBUF TCP_NODELAY);
use Tally;
use Time::HiRes qw(sleep time);
use Wire;

use constant PATIENCE => 180;

# To make one takes longer than all else that is done with it.
my $context = IO::Socket::SSL::SSL_Context->new(
    SSL_verify_mode => SSL_VERIFY_NONE);

has [qw(number keys ports ledger)];
has tally => sub ($self) { Tally->new(ledger => $self->ledger) };

sub _connect ($self, %how) {
    my $since  = time;
    my $keys   = decode_json(path($self->keys)->slurp);
    my $secure = rand() < 1 / 6;
    my $socket = IO::Socket::IP->new(
        PeerHost => '127.0.0.1',
        PeerPort => $self->ports->[$secure],
        $how{slow}
            ? (Sockopts => [[SOL_SOCKET, SO_RCVBUF, pack 'i', 4096]])
            : ());
    $self->tally->fault('no connection', "$!") if !$socket;
    return if !$socket || $secure
        && !IO::Socket::SSL->start_SSL($socket, Timeout => PATIENCE,
            SSL_reuse_ctx => $context);
    return {socket => $socket, since => $since, keys => $keys};
}

# Of a caller with an own credential, that goes up.
sub _compose ($self, $at, $kind, $id, $body, %how) {
    my ($client) = split /[.]/, $id;
    my $place = $how{place} // '';
    my $key   = $at->{keys}{$client};
    my $query = join '&', "kind=$kind", "id=$id", 'since=' . $at->{since},
        $place eq '/own' ? 'own=1' : (),
        $how{size} ? "size=$how{size}" : ();
    return compose(
        method  => 'POST',
        target  => "$place/v1/responses?$query",
        headers => [
            $place eq '/own'
                ? ('X-Gateway-Key' => $key, Authorization => 'Bearer '
                    . $self->_own)
                : (Authorization => "Bearer $key"),
            Connection => 'keep-alive',
        ],
        body => $body);
}

# What this caller, and no one else, has at the provider.
sub _own ($self) {
    return 'sk-test-soak-own-' . $self->number . '-' . 'ghjklmqrtvwz' x 2;
}

# All of it, in so many pieces.
sub _send ($self, $socket, $bytes, %how) {
    my $pieces = $how{pieces} // 1;
    my $size   = 1 + int(length($bytes) / $pieces);
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1 if $pieces > 1;
    while (length $bytes) {
        my $piece = substr $bytes, 0, $size, '';
        while (length $piece) {
            my $count = syswrite $socket, $piece or return 0;
            substr $piece, 0, $count, '';
        }
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
    my $pending = $socket->can('pending') ? $socket->pending : 0;
    if (!$pending && !IO::Select->new($socket)->can_read(PATIENCE)) {
        $self->tally->fault('hang', $self->number . ' after ' . $$buffer);
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
