# Await: the only way a test waits.
#
#     await 'the first event', sub { $wire->received =~ /data:/ };
#
# await($what, $condition [, $seconds]) runs the event loop, on which the
# client and the provider of a test live, until $condition->() is true, and
# returns that value. It croaks, naming $what, after $seconds: 15 by default,
# times KEYSTILE_TEST_PATIENCE for slow builds. Nothing in a test may depend
# on how long a thing took.
#
# What dies on the loop, such as a provider's answer, makes the await die.
#
# patience($seconds) is that long, for this build: what a timeout of nginx's has
# to be where the test is to be in time for it.
#
# settle() handles what has already happened, and does not wait.

package Await;

use Mojo::Base -strict, -signatures;
use Carp       qw(croak);
use Exporter   qw(import);
use Mojo::IOLoop;
use Mojo::Reactor::Poll;

our @EXPORT = qw(await patience settle);

# Conditions that the loop cannot see, such as a line in a log file, are
# looked at this often.
use constant GLANCE => 0.02;

# Where the EV module is installed, Mojolicious would use its loop, which reaps
# every child behind the back of waitpid().
my $failure;
my $reactor = Mojo::Reactor::Poll->new;
Mojo::IOLoop->singleton->reactor($reactor);
$reactor->unsubscribe('error');
$reactor->on(error => sub ($reactor, $error) { $failure //= $error });

sub patience ($seconds) {
    return $seconds * ($ENV{KEYSTILE_TEST_PATIENCE} || 1);
}

sub await ($what, $condition, $seconds = 15) {
    my $late;
    my @timers = (
        Mojo::IOLoop->timer(patience($seconds) => sub { $late = 1 }),
        Mojo::IOLoop->recurring(GLANCE, sub { }),
    );
    my $result;
    my $finished = eval {
        until ($result = $condition->()) {
            die "timed out waiting for $what\n" if $late;
            Mojo::IOLoop->one_tick;
            die delete_failure() if defined $failure;
        }
        1;
    };
    my $error = $@;
    Mojo::IOLoop->remove($_) for @timers;
    croak($error =~ s/\n\z//r) unless $finished;
    return $result;
}

sub delete_failure () {
    my $error = $failure;
    undef $failure;
    return $error;
}

sub settle () {
    my $settled;
    Mojo::IOLoop->timer(0 => sub { $settled = 1 });
    Mojo::IOLoop->one_tick until $settled;
    return;
}

1;
