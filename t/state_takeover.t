# Two nginx, and the state files of both: they are those of the one that was
# started or reloaded last. An old worker that drains went on to write to them,
# and what the new nginx had counted was lost at the next start: a budget that
# was used up was there again.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Kept;
use Metered;
use Mojo::File qw(path);
use Provider;
use Upgrade;

on_one_day();
my $provider = Provider->new;

my $UNSAVED = qr/is not saved: another nginx has taken over its files/;

sub answers () {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(input => 5, output => 5));
    });
    return;
}

# A daemon with a WebSocket, whose worker goes on as long as that is open.
sub with_socket () {
    my $nginx = Kept->new(provider => $provider, daemon => 1, clients => {
        slow => {}, ci => {limits => [{requests => 2, per => 'month'}]}});
    $nginx->serve;
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket('slow');
    my $far  = $provider->next_request->connection;
    answers();
    return ($nginx, $wire, $far);
}

# Turns of the old worker, until it has found out that the files are another's.
sub count_on_old ($nginx, $wire, $far) {
    await 'the old one to save no more', sub {
        $nginx->socket_turn($wire, $far);
        return $nginx->error_log =~ $UNSAVED;
    }, 60;
    return;
}

# The old worker only drains then. Returns its master.
sub upgrade_and ($signal, $nginx) {
    my ($worker) = $nginx->worker_pids;
    my $old = upgrade($nginx);
    kill $signal => $old;
    await 'the old worker to drain', sub {
        $nginx->error_log =~ /$worker#\d+: gracefully shutting down/;
    };
    return $old;
}

sub said ($nginx) { return scalar(() = $nginx->error_log =~ /$UNSAVED/g) }

sub contents ($nginx) {
    return [map { path($nginx->state_file($_))->slurp } '', '.2'];
}

# The nginx that has written them, by a number that grows.
sub epochs ($nginx) {
    return map { /\Akeystile-state 1 (\d+) / ? $1 >> 32 : 0 }
        @{contents($nginx)};
}

sub gone ($pid) {
    await "process $pid to be gone", sub { !kill 0 => $pid };
    return;
}

# As a package does it that upgrades nginx; and how it all ends for the new one.
my %END = (
    'quit'    => sub ($nginx) { $nginx->quit },
    'kill -9' => sub ($nginx) { $nginx->kill_all },
);
for my $how (sort keys %END) {
    subtest "an upgrade of the binary, then $how" => sub {
        my ($nginx, $wire, $far) = with_socket();
        $nginx->socket_turn($wire, $far);
        $nginx->await_save;
        my @epochs = sort { $b <=> $a } epochs($nginx);
        my $old    = upgrade_and(QUIT => $nginx);
        is $nginx->turn('ci')->status, $_, "the new one: $_"
            for 200, 200, 429;
        $nginx->await_save;
        count_on_old($nginx, $wire, $far);
        $nginx->socket_turn($wire, $far) for 1 .. 3;
        $wire->close;
        gone($old);
        is_deeply [epochs($nginx)], [($epochs[0] + 1) x 2],
            'both files are of the new one';
        is said($nginx), 1, 'which has said why once';
        $END{$how}->($nginx);
        $nginx->again;
        is $nginx->turn('ci')->status, 429, 'the limit is still used up';
        $nginx->stop;
    };
}

subtest 'an upgrade that is taken back' => sub {
    my ($nginx, $wire, $far) = with_socket();
    my $old = upgrade_and(WINCH => $nginx);
    is $nginx->turn('ci')->status, 200, 'a turn of the new one';
    $nginx->await_save;
    count_on_old($nginx, $wire, $far);
    my $new = $nginx->master;
    $nginx->master($old);
    kill QUIT => $new;
    gone($new);
    await 'the old one to know', sub {
        $nginx->error_log =~ /signal \d+ \(SIGCHLD\) received from $new/
            && !-e $nginx->dir . '/nginx.pid.oldbin';
    };
    is $nginx->reload, '', 'a reload of the old one';
    is $nginx->turn('ci')->status, $_, "which counts by itself: $_"
        for 200, 200, 429;
    $nginx->await_save;
    is $nginx->status->{state}{failures} > 0, 1, 'what failed was counted';
    is said($nginx), 1, 'and does so no more';
    $nginx->kill_all->again;
    is $nginx->turn('ci')->status, 429, 'what it had saved is there';
    $nginx->stop;
};

# Nobody but those who serve is an owner.
subtest 'nginx -t' => sub {
    my $nginx = Kept->new(provider => $provider,
        clients => {ci => {limits => [{requests => 2, per => 'month'}]}});
    $nginx->serve;
    is $nginx->turn('ci')->status, 200, 'a turn';
    $nginx->await_save for 1 .. 3;
    my $before = contents($nginx);
    is +($nginx->test_config($nginx->write_files))[0], 0, 'a test';
    is_deeply contents($nginx), $before, 'changes nothing';
    is $nginx->turn('ci')->status, 200, 'another';
    $nginx->await_save;
    is said($nginx), 0, 'nginx goes on to save';
    is $nginx->status->{state}{failures}, 0, 'without a failure';
    $nginx->kill_all->again;
    is $nginx->turn('ci')->status, 429, 'and both are there';
    $nginx->stop;
};

# The workers go on, and have nobody who would start others.
subtest 'a master that is killed, alone' => sub {
    my $nginx = Kept->new(provider => $provider, workers => 2,
        clients => {ci => {limits => [{requests => 4, per => 'month'}]}});
    answers();
    $nginx->serve;
    is $nginx->turn('ci')->status, 200, 'a turn';
    my ($master, @workers) = ($nginx->master, $nginx->worker_pids);
    kill KILL => $master;
    $nginx->_await_exit;
    is $nginx->turn('ci')->status, 200, 'and one without a master';
    $nginx->await_save;
    is $nginx->turn('ci')->status, 200, 'which was saved, and one more';
    kill TERM => @workers;
    gone($_) for @workers;
    $nginx->again;
    is $nginx->totals('ci')->{requests}, 3, 'a new start has all of them';
    is $nginx->turn('ci')->status, $_, "a $_" for 200, 429;
    $nginx->stop;
};

done_testing;
