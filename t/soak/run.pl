#!/usr/bin/perl

# Mixed traffic for a long time, while nginx is reloaded, its workers are
# killed, its key is changed, its providers go away and its disk is full.
#
#     t/soak/run.pl [SECONDS]      # 1800; KEYSTILE_SOAK_SEED=N for the same
#                                  # dice, KEYSTILE_SOAK_CALLERS=N for others
#
# Two providers (Far) and 200 callers (Caller) are processes of their own.
# What they see goes into one ledger (Tally), and is judged at the end
# (Judge). Only the caller's own leaving, and an nginx worker or a provider
# that is killed, may break a request: one that was on its way at that moment.
# The exit status is 0 if there is no fault.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use Await;
use Caller;
use Far;
use Judge;
use POSIX qw(WNOHANG);
use Site;
use Tally;
use Time::HiRes qw(time);
use Watch;

# What happens to nginx, each so many seconds, and first after how many.
my @EVENTS = (
    [20, 20, \&reload],
    [30, 13, \&kill_worker],
    [60, 27, \&restart_far],
    [40, 33, \&fill_disk],
);
use constant {QUIET => 8, FULL => 5};

my $seconds = $ARGV[0] // 1800;
die "usage: t/soak/run.pl [SECONDS]\n" if $seconds !~ /\A[1-9]\d*\z/;
my $seed    = $ENV{KEYSTILE_SOAK_SEED}    // int rand 1e6;
my $callers = $ENV{KEYSTILE_SOAK_CALLERS} // 200;
srand $seed;
$| = 1;
print "soak: seed $seed, $callers callers\n";

my $site  = Site->new;
my $tally = Tally->new(ledger => $site->nginx->dir . '/ledger');
my @fars  = map { Far->new(ledger => $tally->ledger, seed => $seed + $_) } 1, 2;
my (%calling, %happened, $watch, $judge);

END {
    my $status = $?;
    clean_up() if $site;
    $? = $status;
}
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

$_->start for @fars;
$site->servers([map { $_->address } @fars])->start;
$watch = Watch->new(master => $site->nginx->master);
$judge = Judge->new(site => $site, tally => $tally, watch => $watch);
my $until = time + $seconds;
start_callers();
traffic();
$judge->after;
kill_fars();
$judge->last;
finish();

# ---- traffic ----

# One caller in five is rough.
sub start_callers () {
    for my $number (1 .. $callers) {
        my $name = $number % 5 ? 'steady' : 'rough';
        my $pid  = Caller->new(
            name   => $name,
            number => $number,
            key    => $site->caller_key($name),
            port   => $site->nginx->port,
            ledger => $tally->ledger,
            until  => $until,
            seed   => $seed + 1000 * $number,
        )->start;
        $calling{$pid} = 1;
    }
    return;
}

# Lets things happen until the last caller is through. In the last seconds
# nothing does.
sub traffic () {
    my $start = time;
    my @next  = map { [$start + $_->[1], $_->[0], $_->[2]] } @EVENTS;
    my $late  = $until + 120;
    while (%calling && time < $late) {
        for my $event (@next) {
            next if time < $event->[0] || time > $until - QUIET;
            $event->[0] += $event->[1];
            $event->[2]->();
        }
        $site->rotate_records($tally);
        for my $far (grep { $_->gone } @fars) {
            $tally->fault('a provider ended', $far->address);
            $far->pid(undef)->start;
        }
        pass(0.5);
        reap();
    }
    $tally->fault('hang', keys(%calling) . ' callers do not end') if %calling;
    return;
}

sub pass ($time) {
    my $end = time + $time;
    await 'a while', sub { time >= $end }, $time + 60;
    return;
}

sub reap () {
    for my $pid (keys %calling) {
        next if waitpid($pid, WNOHANG) != $pid;
        delete $calling{$pid};
        $tally->fault('a caller died', "status $?") if $?;
    }
    return;
}

# ---- what happens ----

# Every other reload is with a new key.
sub reload () {
    $judge->sample if $happened{reload};
    my @old    = $watch->workers;
    my $number = $happened{reload}++ % 2 ? undef : $site->rotate;
    kill HUP => $site->nginx->master;
    workers_without('reload', @old) or return;
    $tally->note('key', $number, time) if defined $number;
    return;
}

# Waits for as many workers as there should be, none of these.
sub workers_without ($what, @old) {
    my %old = map { $_ => 1 } @old;
    return eval {
        await 'new workers', sub {
            my @workers = $watch->workers;
            return @workers == Site::WORKERS && !grep { $old{$_} } @workers;
        }, 60;
        1;
    } || ($tally->fault($what, "$@") && 0);
}

sub kill_worker () {
    my @workers = $watch->workers;
    my $pid     = $workers[rand @workers];
    my $from    = time;
    kill KILL => $pid;
    $happened{kill}++;
    workers_without('a worker that is killed', $pid);
    $tally->note('killed', $pid, $from, time);
    return;
}

sub restart_far () {
    my $far = $fars[$happened{restart}++ % @fars];
    my $from = time;
    $far->kill;
    $tally->note('restarted', $far->address, $from, time);
    pass(1);
    $far->start;
    return;
}

sub fill_disk () {
    return if !$site->has_disk;
    $happened{'full disk'}++;
    $site->fill;
    pass(FULL);
    $site->free;
    return;
}

# ---- the end ----

sub clean_up () {
    kill KILL => keys %calling, grep { $_ } map { $_->pid } @fars;
    eval { $site->quit } if $site->nginx->master;
    $site->unmount;
    return;
}

sub kill_fars () {
    $_->kill for grep { $_->pid } @fars;
    return;
}

sub finish () {
    my ($requests, %faults) = $judge->verdict;
    my $faults = 0;
    $faults += $_ for values %faults;
    print map { "soak: $_\n" } $judge->report,
        $site->has_disk ? () : 'left out: a full disk, which needs root';
    print map { "soak: fault: $_: $faults{$_}\n" } sort keys %faults;
    print "soak: seed $seed\n" if $faults;
    printf "soak: %d s, %d requests, %d fault%s\n", $seconds, $requests,
        $faults, $faults == 1 ? '' : 's';
    exit($faults ? 1 : 0);
}
