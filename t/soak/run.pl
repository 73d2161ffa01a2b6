#!/usr/bin/perl

# Mixed traffic for a long time, while nginx is reloaded, its workers are
# killed, its keys are changed, its providers go away and its disk is full.
#
#     t/soak/run.pl [SECONDS]      # 1800; KEYSTILE_SOAK_SEED=N for the same
#                                  # dice, KEYSTILE_SOAK_CALLERS=N for others
#
# There are two sites, each an nginx (Site) with providers (Far) and callers
# (Steady, Rough), which are processes of their own. All that happens, happens
# to `shaken`, which has three callers in four. Nothing happens to `calm`: not
# one of its requests may break, all its figures are to the byte, and its
# workers, which live as long as the soak, keep their size.
#
# What callers and providers see goes into a ledger (Tally), one for each site,
# and is judged at the end (Judge, Ledger). Only the caller's own leaving, and
# an nginx worker or a provider that is killed, may break a request: one that it
# had in hand. The exit status is 0 if there is no fault.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use Await;
use Far;
use Judge;
use POSIX qw(WNOHANG);
use Rough;
use Site;
use Steady;
use Tally;
use Time::HiRes qw(time);
use Watch;

# What happens, each so many seconds, and first after how many; in less than
# two minutes, twice as fast.
my @EVENTS = (
    [20, 20, \&reload],
    [30, 13, \&kill_worker],
    [60, 27, \&restart_far],
    [40, 33, \&fill_disk],
);
use constant {QUIET => 8, FULL => 5, LONG => 60};

my $seconds = $ARGV[0] // 1800;
die "usage: t/soak/run.pl [SECONDS]\n" if $seconds !~ /\A[1-9]\d*\z/;
my $seed    = $ENV{KEYSTILE_SOAK_SEED}    // int rand 1e6;
my $callers = $ENV{KEYSTILE_SOAK_CALLERS} // 200;
srand $seed;
$| = 1;
print "soak: seed $seed, $callers callers\n";

my (%calling, %happened, @sites);
my $until;

END {
    my $status = $?;
    clean_up() if @sites;
    $? = $status;
}
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

@sites = map { set_up(@$_) } ['shaken', 2], ['calm', 1];
my ($shaken, $calm) = @sites;
eval { soak(); 1 } or $shaken->{tally}->fault('the soak ended', $@);
finish();

# A site with all that belongs to it.
sub set_up ($name, $count) {
    my $site  = Site->new(name => $name);
    my $nginx = $site->nginx;
    my $tally = Tally->new(ledger => $nginx->dir . '/ledger');
    my @fars  = map { Far->new(
        ledger   => $tally->ledger,
        seed     => $seed + $_,
        identity => Site::identity(),
        ports    => [map { $nginx->port($_) } "_FAR$_", "_SECURE$_"],
    ) } 1 .. $count;
    $site->far([map { $_->address } @fars]);
    $site->secure([map { $_->secure } @fars]);
    return {name => $name, site => $site, tally => $tally, fars => \@fars};
}

sub soak () {
    for my $place (@sites) {
        my ($site, $tally) = @$place{qw(site tally)};
        $_->start for @{$place->{fars}};
        $site->start;
        my $watch = $place->{watch} = Watch->new(nginx => $site->nginx);
        await 'workers', sub { $watch->workers == Site::WORKERS };
        $place->{judge} = Judge->new(site => $site, tally => $tally,
            watch => $watch, is_long => $seconds >= LONG);
    }
    $until = time + $seconds;
    start_callers();
    traffic();
    $_->{judge}->after for @sites;
    for my $far (map { @{$_->{fars}} } @sites) {
        $far->kill if $far->pid;
    }
    $_->{judge}->last for @sites;
    return;
}

# ---- traffic ----

# One caller in five is rough.
sub start_callers () {
    for my $number (1 .. $callers) {
        my $place = $number % 4 ? $shaken : $calm;
        my $class = $number % 5 ? 'Steady' : 'Rough';
        my $pid   = $class->new(
            number => $number,
            keys   => $place->{site}->caller_keys,
            ports  => [$place->{site}->ports],
            ledger => $place->{tally}->ledger,
            until  => $until,
            seed   => $seed + 1000 * $number,
        )->start;
        $calling{$pid} = $place;
    }
    return;
}

# Lets things happen until the last caller is through. In the last seconds
# nothing does.
sub traffic () {
    my $start = time;
    my $pace  = $seconds < 120 ? 0.5 : 1;
    my @next  = map { [$start + $pace * $_->[1], $pace * $_->[0], $_->[2]] }
        @EVENTS;
    my $late  = $until + 300;
    while (%calling && time < $late) {
        for my $event (@next) {
            next if time < $event->[0] || time > $until - QUIET;
            $event->[0] += $event->[1];
            $event->[2]->();
        }
        pass(0.5);
    }
    for my $place (values %calling) {
        $place->{tally}->fault('hang', 'a caller does not end');
    }
    my @missing = grep { !$happened{$_} } qw(reload kill restart),
        $shaken->{site}->has_disk ? 'full disk' : ();
    $shaken->{tally}->fault('did not happen', "@missing")
        if @missing && $seconds >= LONG;
    return;
}

# What goes on all the time.
sub pass ($time) {
    my $end = time + $time;
    do {
        $calm->{judge}->glance if %calling && time < $until;
        for my $place (@sites) {
            my $tally = $place->{tally};
            $place->{site}->rotate_records($tally);
            for my $far (grep { $_->gone } @{$place->{fars}}) {
                $tally->fault('a provider ended', $far->address);
                $far->pid(undef)->start;
            }
        }
        my $next = time + 0.5;
        await 'a while', sub { time >= $next || time >= $end }, 60;
        reap();
    } while (time < $end);
    return;
}

sub reap () {
    for my $pid (keys %calling) {
        next if waitpid($pid, WNOHANG) != $pid;
        my $place = delete $calling{$pid};
        $place->{tally}->fault('a caller died', "status $?") if $?;
    }
    return;
}

# ---- what happens ----

# Every other reload is with new keys.
sub reload () {
    my ($site, $tally) = @$shaken{qw(site tally)};
    $shaken->{judge}->sample if $happened{reload};
    my @old    = $shaken->{watch}->workers;
    my $number = $happened{reload}++ % 2 ? undef : rotate();
    kill HUP => $site->nginx->master;
    workers_without('reload', @old) or return;
    return if !defined $number;
    $tally->note('key', $number, time);
    $site->publish;
    return;
}

# A new key is a new credential to the zone, which has refused nobody yet.
sub rotate () {
    $shaken->{judge}->count_refused;
    return $shaken->{site}->rotate;
}

# Waits for as many workers as there should be, none of these.
sub workers_without ($what, @old) {
    my %old = map { $_ => 1 } @old;
    return eval {
        await 'new workers', sub {
            my @workers = $shaken->{watch}->workers;
            return @workers == Site::WORKERS && !grep { $old{$_} } @workers;
        }, 60;
        1;
    } || ($shaken->{tally}->fault($what, "$@") && 0);
}

sub kill_worker () {
    my @workers = $shaken->{watch}->workers;
    my $pid     = $workers[rand @workers];
    my $from    = time;
    kill KILL => $pid;
    $happened{kill}++;
    workers_without('a worker that is killed', $pid);
    $shaken->{tally}->note('killed', $pid, $from, time);
    return;
}

sub restart_far () {
    my @fars = @{$shaken->{fars}};
    my $far  = $fars[$happened{restart}++ % @fars];
    my $from = time;
    $far->kill;
    my $to = time;
    pass(1);
    $far->start;
    $shaken->{tally}->note('restarted', $far->address . ',' . $far->secure,
        $from, $to);
    return;
}

sub fill_disk () {
    my $site = $shaken->{site};
    return if !$site->has_disk;
    $happened{'full disk'}++;
    $shaken->{tally}->note('full');
    $site->fill;
    pass(FULL);
    $site->free;
    return;
}

# ---- the end ----

sub clean_up () {
    kill KILL => keys %calling,
        grep { $_ } map { $_->pid } map { @{$_->{fars}} } @sites;
    for my $site (map { $_->{site} } @sites) {
        eval { $site->quit };
        $site->unmount;
    }
    return;
}

sub finish () {
    my ($requests, $faults) = (0, 0);
    for my $place (@sites) {
        my $judge = $place->{judge} or next;
        my ($sent, %faults) = $judge->verdict;
        $requests += $sent;
        $faults   += $_ for values %faults;
        print map { "soak: $place->{name}: $_\n" } $judge->report,
            map { "fault: $_: $faults{$_}" } sort keys %faults;
    }
    $faults ||= 1 if grep { !$_->{judge} } @sites;
    print 'soak: ', join(', ', map { "$_: $happened{$_}" }
        sort keys %happened), "\n" if %happened;
    print "soak: left out: a full disk, which needs root\n"
        if !$shaken->{site}->has_disk;
    printf "soak: %d s, %d requests, %d fault%s; seed %d\n", $seconds,
        $requests, $faults, $faults == 1 ? '' : 's', $seed;
    exit($faults ? 1 : 0);
}
