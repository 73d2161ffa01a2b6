# Thief: a process of the workers' user that is after their memory.
#
#     my $thief = Thief->new(key => $KEY, ancestor => $nginx->master)->start;
#     await 'the thief', sub { $thief->has_tried($pid) };
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
use IO::Select;
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
    $self->{said} = '';
    print {$self->{in}} $self->key . "\n";
    $self->{in}->flush;
    $self->_read_until(qr/^ready$/m) or croak 'the thief does not start';
    return $self;
}

# Whether it has tried all that it can at that process, at least once.
sub has_tried ($self, $pid) {
    my $out = IO::Select->new($self->{out});
    while ($out->can_read(0)) {
        last if !$self->_read;
    }
    return $self->{said} =~ /^tried $pid$/m;
}

sub stop ($self) {
    close $self->{in};
    my $done = $self->_read_until(qr/^seen .*\n/m);
    waitpid delete $self->{pid}, 0;
    croak 'the thief was caught' if !$done;
    return split ' ', ($self->{said} =~ /^(seen .*)$/m)[0];
}

sub _read ($self) {
    return sysread $self->{out}, $self->{said}, 4096, length $self->{said};
}

sub _read_until ($self, $pattern) {
    until ($self->{said} =~ $pattern) {
        return 0 if !$self->_read;
    }
    return 1;
}

sub DESTROY ($self) {
    return if !$self->{pid};
    local ($?, $!);
    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

1;
