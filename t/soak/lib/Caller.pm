# Caller: a client of the soak, in a process of its own.
#
#     my $pid = Steady->new(number => 7, keys => $path, ports => [$plain, $tls],
#         ledger => $path, until => $time, seed => 7)->start;
#
# What it does is for Steady and Rough to say: moves() is a list of methods, of
# which one after the other is taken by chance. An id is CLIENT.NUMBER.COUNT.
# The ledger gets
#
#     broken ID STARTED ENDED CONNECTION   an answer that did not come, or not
#                                          whole; CONNECTION is the id that
#                                          the access log has
#     again ID STARTED ENDED               a request that was sent a second
#                                          time, because a connection that was
#                                          kept had been closed
#     sent COUNT                           how many there were, at the end
#     moves NAME COUNT
#
# A server may close a connection that is kept at any time, a reload does: a
# request that crosses with that has no answer at all, and any client sends it
# again.

package Caller;

use Mojo::Base 'Line', -signatures;
use POSIX ();
use Time::HiRes qw(sleep time);

use constant PAUSE => 1;    # between two moves, at most

has [qw(until seed)];

sub start ($self) {
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    @SIG{qw(HUP INT TERM)} = ('DEFAULT') x 3;
    srand $self->seed;
    local $SIG{PIPE} = 'IGNORE';
    $self->{count} = 0;
    my @moves = $self->moves;
    my %moves;
    while (time < $self->until) {
        my $move = $moves[rand @moves];
        eval { $self->$move; 1 }
            or $self->tally->fault('a caller died', "$move: $@");
        $moves{$move}++;
        sleep rand PAUSE;
    }
    $self->tally->note('sent', $self->{count});
    $self->tally->note('moves', $_, $moves{$_}) for keys %moves;
    POSIX::_exit(0);
}

sub _new_id ($self, $client) {
    return join '.', $client, $self->number, $self->{count}++;
}

sub _broken ($self, $id, $started, $connection = $id) {
    $self->tally->note('broken', $id, $started, time, $connection);
    return;
}

1;
