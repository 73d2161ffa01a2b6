# End: one end of a connection, which sends what a plan says.
#
#     my $end = End->new(saw => sub ($end) {...}, gone => sub ($end) {...})
#         ->adopt($handle);
#     $end->play($steps, sub ($end) {...});    # and then
#     $end->cut_off;                           # at once, whatever is left
#
# play() takes the steps of a Plan. One that waits goes on when bytes come, or
# after a while without.

package End;

use Mojo::Base 'Stream', -signatures;
use Mojo::IOLoop;
use Scalar::Util qw(weaken);
use Socket       qw(SHUT_WR);

use constant {PAUSE => 0.002, PATIENCE => 0.15};

has [qw(saw gone)];
has is_playing => 0;

sub on_bytes ($self) {
    $self->_go_on if $self->{waits};
    $self->saw->($self) if $self->saw && !$self->closed;
    return;
}

sub on_end ($self) {
    $self->gone->($self) if $self->gone;
    return;
}

sub play ($self, $steps, $then) {
    my @queue;
    for my $step (@$steps) {
        push @queue, 'wait' if $step->{waits};
        my $from = 0;
        for my $cut (@{$step->{cuts} // []}, length $step->{bytes} // '') {
            last if !defined $step->{bytes};
            push @queue, [substr $step->{bytes}, $from, $cut - $from],
                $step->{pauses} ? 'pause' : 'turn';
            $from = $cut;
        }
    }
    pop @queue if @queue && !ref $queue[-1] && $queue[-1] ne 'wait';
    @$self{qw(queue then)} = (\@queue, $then);
    $self->is_playing(1);
    return $self->_go_on;
}

# Stops in the middle.
sub cut_off ($self) {
    $self->is_playing(0);
    @$self{qw(queue then saw gone)} = ();
    $self->_close if !$self->closed;
    return;
}

sub half_close ($self) {
    shutdown $self->handle, SHUT_WR if !$self->closed;
    return $self;
}

sub _go_on ($self) {
    my $queue = $self->{queue} or return $self;
    $self->{waits} = 0;
    while (my $next = shift @$queue) {
        last if $self->closed;
        if (ref $next) {
            $self->write($next->[0]);
            next;
        }
        $self->{waits} = $next eq 'wait';
        my $turn = ++$self->{turn};
        weaken(my $weak = $self);
        Mojo::IOLoop->timer(
            $next eq 'wait' ? PATIENCE : $next eq 'pause' ? PAUSE : 0,
            sub { $weak->_go_on if $weak && $weak->{turn} == $turn });
        return $self;
    }
    $self->is_playing(0);
    delete $self->{queue};
    my $then = delete $self->{then};
    $then->($self) if $then && !$self->closed;
    return $self;
}

1;
