# Thief: a process of the workers' user that is after their memory.
#
#     my $thief = Thief->new(key => $KEY, ancestor => $nginx->master)->start;
#     ...
#     my %got = $thief->stop;     # seen, tries, mem, vm, seize, attach, keys
#
# t/lib/c/memory_thief.c says what it does, and what the numbers are. Started
# by root it becomes www-data, or `user`. It watches the nginx processes among
# the children of `ancestor`, and among theirs.
#
# is_free() says whether this system lets a process attach to others of its
# user at all, by the rules of Yama.

package Thief;

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use Compiled;
use IPC::Open2;

has [qw(key ancestor)];
has user => 'www-data';

sub is_free () {
    open my $file, '<', '/proc/sys/kernel/yama/ptrace_scope' or return 1;
    return <$file> == 0;
}

sub start ($self) {
    my $uid = $> == 0 ? getpwnam $self->user : -1;
    $self->{pid} = open2($self->{out}, $self->{in}, compiled('memory_thief'),
        $uid, $self->ancestor);
    print {$self->{in}} $self->key . "\n";
    $self->{in}->flush;
    my $ready = readline $self->{out};
    croak 'the thief does not start' if ($ready // '') ne "ready\n";
    return $self;
}

sub stop ($self) {
    close $self->{in};
    my $line = readline $self->{out};
    waitpid delete $self->{pid}, 0;
    croak 'the thief was caught' if !defined $line;
    return split ' ', $line;
}

sub DESTROY ($self) {
    return if !$self->{pid};
    local ($?, $!);
    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

1;
