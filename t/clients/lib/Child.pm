# Child: a program that a test runs, on the event loop.
#
#     my $child = Child->start(command => ['node', 'x.mjs'], env => {...});
#     $child->finish(30);                     # croaks if it takes longer
#     is $child->exit, 0;                     # undef: ended by a signal
#     $child->ended;                          # without waiting
#     like $child->out, qr/.../;  like $child->err, qr/.../;
#
# The environment is PATH and `env`, nothing else; `dir` is the working
# directory; standard input is empty, or with `talk => 1` open until
# hang_up(). on_out is called whenever something new stands in `out`.
#
# A child leads a process group of its own. Whatever is left of the group goes
# when the child has ended, when the time is over, or with the object.

package Child;

use Mojo::Base -base, -signatures;
use Await;
use Carp qw(croak);
use Errno qw(EAGAIN EINTR);
use Mojo::IOLoop;
use Mojo::Reactor::Poll;
use POSIX qw(WNOHANG);

# Mojolicious takes EV where that is installed, and EV's loop waits for all
# children: it takes them, and what they ended with, from those who ask.
Mojo::IOLoop->singleton->reactor(Mojo::Reactor::Poll->new);

has command => sub { [] };
has env     => sub { {} };
has dir     => '.';
has talk    => 0;
has on_out  => sub { sub { } };
has out     => '';
has err     => '';
has [qw(pid exit)];

sub start ($class, @args) {
    my $self = $class->SUPER::new(@args);
    pipe my $in, my $our_in   or croak "pipe: $!";
    pipe my $our_out, my $out or croak "pipe: $!";
    pipe my $our_err, my $err or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    $self->_become($in, $out, $err) if !$pid;
    close $_ for $in, $out, $err;
    $self->pid($pid)->{in} = $our_in;
    $self->hang_up if !$self->talk;
    $self->_read_on($our_out, 'out');
    $self->_read_on($our_err, 'err');
    return $self;
}

# Ends the child's standard input.
sub hang_up ($self) {
    close delete $self->{in} if $self->{in};
    return $self;
}

sub ended ($self) {
    return 1 if $self->{has_ended};
    return 0 if waitpid($self->pid, WNOHANG) != $self->pid;
    $self->exit($? & 127 ? undef : $? >> 8);
    $self->{has_ended} = 1;
    $self->_read($_) for qw(out err);    # what it said last
    return 1;
}

# Waits for the child to end.
sub finish ($self, $seconds = 30) {
    my $ended = eval {
        await $self->command->[0] . ' to end', sub { $self->ended }, $seconds;
        1;
    };
    my $error = $@;
    $self->_clear_up;
    croak $error . 'out: ' . $self->out . "\nerr: " . $self->err if !$ended;
    return $self;
}

sub DESTROY ($self) {
    local ($?, $@);
    $self->_clear_up if defined $self->pid;
    return;
}

# In the child: never returns.
sub _become ($self, $in, $out, $err) {
    # A shell cannot trap what is ignored where tests run in the background.
    $SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT);
    POSIX::setsid();
    my $ok = open(STDIN, '<&', $in) && open(STDOUT, '>&', $out)
        && open(STDERR, '>&', $err) && chdir $self->dir;
    %ENV = (PATH => $ENV{PATH}, %{$self->env});
    my @command = @{$self->command};
    exec {$command[0]} @command if $ok;
    print STDERR "$command[0]: $!\n";
    POSIX::_exit(127);
}

sub _read_on ($self, $pipe, $name) {
    $pipe->blocking(0);
    $self->{pipes}{$name} = $pipe;
    my $reactor = Mojo::IOLoop->singleton->reactor;
    $reactor->io($pipe => sub { $self->_read($name) });
    $reactor->watch($pipe, 1, 0);
    return;
}

sub _read ($self, $name) {
    while (my $pipe = $self->{pipes}{$name}) {
        my $count = sysread $pipe, my $bytes, 65536;
        last if !defined $count && ($! == EAGAIN || $! == EINTR);
        return $self->_close($name) if !$count;
        $self->{$name} .= $bytes;
        $self->on_out->($self) if $name eq 'out';
    }
    return;
}

sub _close ($self, $name) {
    my $pipe = delete $self->{pipes}{$name} or return;
    Mojo::IOLoop->singleton->reactor->remove($pipe);
    close $pipe;
    return;
}

# A grandchild may still hold the pipes: what is in them now is all we want.
sub _clear_up ($self) {
    my $pid = $self->pid // return;
    kill KILL => -$pid;
    waitpid $pid, 0 if !$self->{has_ended};
    $self->pid(undef)->hang_up;
    return if ${^GLOBAL_PHASE} eq 'DESTRUCT';
    for my $name (qw(out err)) {
        $self->_read($name);
        $self->_close($name);
    }
    return;
}

1;
