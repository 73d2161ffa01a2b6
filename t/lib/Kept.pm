# Kept: a Metered nginx with a state file, in a directory of its workers.
#
#     my $nginx = Kept->new(clients => {...})->serve;
#     $nginx->turn('ci');
#     $nginx->await_save;                 # state_file() or state_file('.2')
#     $nginx->kill_all->again;            # a power cut, and a start
#     $nginx->quit->again;                # a clean stop, and a start
#
# states_in($name, %zone) names another file, of which the next serve() or
# reload() knows; size is the zone's (1m).

package Kept;

use Mojo::Base 'Metered', -signatures;
use Await;
use Golden;
use Mojo::JSON qw(encode_json);
use POSIX      qw(strftime);
use Test::More ();

has name => 'main';

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    my $dir  = $self->dir . '/state';
    mkdir $dir or die "mkdir: $!";
    $self->own($dir);
    return $self->states_in($self->name);
}

# Makes the workers the owners of files.
sub own ($self, @paths) {
    return $self if $> != 0;
    my ($uid, $gid) = (getpwnam 'www-data')[2, 3];
    chown $uid, $gid, @paths or die "chown: $!";
    return $self;
}

sub states_in ($self, $name, %zone) {
    $self->name($name);
    return $self->zone(($zone{size} // '1m') . ' state=' . $self->state_file);
}

sub state_file ($self, $suffix = '') {
    return $self->dir . '/state/' . $self->name . $suffix;
}

# Waits until what was counted before is in the file. Times are in seconds:
# one that was saved in the same second may be without it, and only what has
# changed is saved, so something else is counted then.
sub await_save ($self) {
    my $counted = strftime '%Y-%m-%dT%H:%M:%SZ', gmtime;
    await 'the state to be saved', sub {
        my $saved = $self->status->{state}{saved_at} // '';
        $self->turn(undef) if $saved eq $counted;
        return $saved gt $counted;
    }, 30;
    return $self;
}

# A turn on a WebSocket, of which these are both ends.
sub socket_turn ($self, $wire, $far) {
    state $turn = 0;
    $turn++;
    $wire->send_frame(encode_json(
        {type => 'response.create', model => 'gpt-5.1', input => []}));
    $far->next_frame;
    for my $text (response_messages(input => 1, output => 1,
        id => "resp_$turn")) {
        $far->send_frame($text);
        $wire->next_frame;
    }
    return $self;
}

# What a power cut leaves behind.
sub kill_all ($self) {
    my @pids = ($self->master, $self->worker_pids);
    kill KILL => @pids;
    $self->_await_exit;
    await 'the workers to be gone', sub { !grep { kill 0 => $_ } @pids };
    return $self;
}

sub again ($self) {
    unlink $self->dir . '/nginx.pid';
    return $self->serve;
}

# Clean stops are judged by the harness; this is one that goes on.
sub quit ($self) {
    kill QUIT => $self->master;
    Test::More::ok(eval { $self->_await_exit }, 'nginx quits');
    return $self;
}

1;
