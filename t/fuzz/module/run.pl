#!/usr/bin/perl

# Mutated requests, and mutated replies to them, through a running nginx.
#
#     t/fuzz/module/run.pl [SECONDS]        # 600
#
# KEYSTILE_FUZZ_SEED=N throws the same dice again: exchange 17 of a seed is
# always the same bytes in the same pieces, though not at the same time.
# KEYSTILE_FUZZ_FROM=17 KEYSTILE_FUZZ_COUNT=1 is that exchange alone.
# KEYSTILE_FUZZ_LANES=N is how many take place at a time (32).
#
# Callers and providers live here, on one event loop; nginx (Site) has a server
# for each lane. An exchange (Plan) is one connection of a caller's, and the
# replies to what comes of it. After some hundred, nginx is reloaded with other
# keys, and all that it has left is judged. A fault is a line, and a file in
# build/fuzz-module. The exit status is 0 if there is none.

use Mojo::Base -strict, -signatures;
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../../lib";
use Findings;
use Lane;
use Mojo::IOLoop;
use Plan;
use Site;
use Time::HiRes qw(time);

use constant {BATCH => 1000, GLANCE => 0.005};

my $seconds = $ARGV[0] // 600;
die "usage: t/fuzz/module/run.pl [SECONDS]\n" if $seconds !~ /\A[1-9]\d*\z/;
my $seed  = $ENV{KEYSTILE_FUZZ_SEED}  // 1 + int rand 1e6;
my $next  = $ENV{KEYSTILE_FUZZ_FROM}  // 1;
my $most  = $ENV{KEYSTILE_FUZZ_COUNT} // 1e12;
my $lanes = $ENV{KEYSTILE_FUZZ_LANES} // 32;
$| = 1;
chdir abs_path("$FindBin::Bin/../../..") or die "chdir: $!\n";
print "fuzz-module: seed $seed\n";

my $findings = Findings->new(dir => 'build/fuzz-module', seed => $seed);
my @lanes = map { Lane->new(number => $_, findings => $findings) } 1 .. $lanes;
my $site  = Site->new(lanes => \@lanes, seed => $seed);
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

$site->start;
my ($start, $count) = (time, 0);
Mojo::IOLoop->recurring(GLANCE, sub { });
batch() while time < $start + $seconds && $count < $most;
$findings->add(undef, $_) for $site->stop;
finish();

sub batch () {
    my $until = $count + BATCH;
    $until = $most if $until > $most;
    while ($count < $until && time < $start + $seconds) {
        for my $lane (grep { $_->idle } @lanes) {
            last if $count >= $until;
            $lane->begin(a_plan(
                seed => $seed, number => $next++, keys => $site->callers));
            $count++;
        }
        turn();
    }
    turn() while grep { $_->plan } @lanes;
    my $logs = $site->log_text('error.log');
    $findings->add(undef, $_, 'the log' => $logs) for $site->renew;
    return;
}

sub turn () {
    Mojo::IOLoop->one_tick;
    $_->glance for @lanes;
    return;
}

sub finish () {
    my %tally;
    for my $lane (@lanes) {
        $tally{$_} += $lane->tally->{$_} for keys %{$lane->tally};
    }
    print 'fuzz-module: ',
        join(', ', map { "$_: $tally{$_}" } sort keys %tally),
        "\n";
    my $faults = $findings->count;
    printf "fuzz-module: %d s, %d exchanges, seed %d, %d fault%s\n",
        time - $start, $count, $seed, $faults, $faults == 1 ? '' : 's';
    exit($faults ? 1 : 0);
}
