#!/usr/bin/perl

# What keystile costs, next to plain proxy_pass with keepalive and one
# proxy_set_header: how many times as much.
#
#     t/bench/run.pl [ROUNDS]
#
# CPU time and instructions (of user space, under callgrind) are of a request,
# an event of an SSE stream, and a message of a WebSocket; memory is of a
# stream and of a WebSocket that stay open. The load is traffic.cpp's.
#
# All servers run at the same time and take turns, so that they meet the same
# weather; a ratio is the median over the rounds. Ratios of instructions do
# not depend on the weather, nor much on the machine. It fails when those, or
# those of memory, are above what Ceilings.pm has recorded.

use strict;
use warnings;

use FindBin    ();
use lib $FindBin::RealBin;
use Callgrind;
use Ceilings;
use List::Util qw(max sum);
use POSIX      qw(_SC_CLK_TCK sysconf);
use Servers;

my $rounds = $ARGV[0] // 9;
my $STREAMS = 500;

# Connections and turns; a turn of events or messages is about 500 of them.
my %LOAD      = (request => [16, 6000], event => [8, 24], message => [8, 24]);
my %WARM_UP   = (request => [1, 20],    event => [1, 1],  message => [1, 1]);
my %TURNS     = (request => [1, 400],   event => [1, 4],  message => [1, 4]);
my @KINDS     = qw(request event message);

# Each calls with one key at one server.
my @SERVERS = qw(plain off-10 off-100000 on-10 on-100000);
my @VARIANTS = (
    ['plain proxy_pass',        'plain',      $FREE],
    ['no metering, 10 clients', 'off-10',     $FREE],
    ['           100,000',      'off-100000', $FREE],
    ['metering, 10 clients',    'on-10',      $FREE],
    ['           100,000',      'on-100000',  $FREE],
    ['limits,   10 clients',    'on-10',      $LIMITED],
    ['           100,000',      'on-100000',  $LIMITED],
);

prepare(@SERVERS);
my %cpu      = measure_cpu();
my %memory   = measure_memory();
my %where;    # {SERVER}{KEY}{FUNCTION}: instructions of a request
my %cost = map { $_ => instructions($_) } @SERVERS;
report();
report_where('on-10', $LIMITED);
conclude();
exit !judge();

# ---- the table ----

sub report {
    printf "%-25s%-24s%-24s%s\n", '', map { "  $_" } 'CPU time',
        'instructions', 'memory';
    printf "%-25s" . '%8s' x 8 . "\n", '', (qw(request event message)) x 2,
        qw(stream socket);
    for my $workers (1, 2) {
        printf "%d worker%s\n", $workers, $workers == 1 ? '' : 's';
        for my $variant (@VARIANTS) {
            print_row($workers, $variant) if $variant->[1] ne 'plain';
        }
    }
    my %of = %{$cost{plain}{$FREE}};
    printf "1.00 is plain proxy_pass: %s; %.0f and %.0f KB.\n",
        join(', ', map {
            sprintf '%.1f us and %.0f instructions per %s',
                median(@{$cpu{1}{plain}{$FREE}{$_}}), $of{$_}, $_
        } @KINDS),
        map { $memory{1}{plain}{$FREE}{$_} / 1024 } qw(event message);
    return;
}

sub print_row {
    my ($workers, $variant) = @_;
    my ($name, $server, $key) = @$variant;
    my @row = map {
        ratio($cpu{$workers}{$server}{$key}{$_},
            $cpu{$workers}{plain}{$FREE}{$_});
    } @KINDS;
    push @row, map {
        $workers > 1 ? undef
            : $cost{$server}{$key}{$_} / $cost{plain}{$FREE}{$_}
    } @KINDS;
    push @row, map {
        $memory{$workers}{$server}{$key}{$_}
            / $memory{$workers}{plain}{$FREE}{$_}
    } qw(event message);
    print '  ', pack('A23', $name),
        (map { defined $_ ? sprintf '%8.2f', $_ : '       -' } @row), "\n";
    return;
}

# What a request costs more than the plain one, function by function: those of
# the module, of the libraries, and of nginx. What is inlined in a function is
# of it.
sub report_where {
    my ($server, $key) = @_;
    my $ours  = $where{$server}{$key};
    my $plain = $where{plain}{$FREE};
    my %more  = map { $_ => ($ours->{$_} // 0) - ($plain->{$_} // 0) }
        keys %$ours, keys %$plain;
    my @names = sort { abs $more{$b} <=> abs $more{$a} } keys %more;
    print "Instructions of a request with limits, beyond plain's:\n";
    printf "%8.0f  %s\n", $more{$_}, $_ for grep { defined } @names[0 .. 24];
    return;
}

# The most that any of them costs with one worker.
sub conclude {
    my %most = map {
        my $kind  = $_;
        my $plain = $cpu{1}{plain}{$FREE}{$kind};
        $kind => max map { ratio($cpu{1}{$_->[1]}{$_->[2]}{$kind}, $plain) }
            @VARIANTS;
    } @KINDS;
    print 'bench: at most ',
        join(', ', map { sprintf '%.2f per %s', $most{$_}, $_ } @KINDS),
        " of the CPU time of plain proxy_pass\n";
    return;
}

# Whether nothing costs more than was recorded, in the worst variant, with one
# worker: of two, a stream may go to either, and memory is not steady.
sub judge {
    my %figures = map {
        my $kind = $_;
        ("instructions per $kind" => worst(\%cost, $kind));
    } @KINDS;
    $figures{'memory per stream'} = worst($memory{1}, 'event');
    $figures{'memory per socket'} = worst($memory{1}, 'message');
    my @faults = faults(%figures);
    print "bench: FAILED, $_\n" for @faults;
    print 'bench: no more than recorded: ',
        join(', ', map { sprintf '%s %.2f', $_, $figures{$_} }
            sort keys %figures), "\n" if !@faults;
    return !@faults;
}

sub worst {
    my ($of, $kind) = @_;
    my $plain = $of->{plain}{$FREE}{$kind};
    return max map { $of->{$_->[1]}{$_->[2]}{$kind} / $plain } @VARIANTS;
}

# The median over the rounds.
sub ratio {
    my ($ours, $plain) = @_;
    return median(map { $ours->[$_] / $plain->[$_] } keys @$ours);
}

# ---- CPU time, in microseconds ----

sub measure_cpu {
    my (%master, %port, %cpu);
    for my $workers (1, 2) {
        for my $name (@SERVERS) {
            my $port = $port{$workers}{$name} = free_port();
            $master{$workers}{$name} = start($name, $port, $workers);
            load($port, $_->[2])
                for grep { $_->[1] eq $name } @VARIANTS;
        }
    }
    for my $round (1 .. $rounds) {
        for my $workers (1, 2) {
            for my $kind (@KINDS) {
                for my $variant (@VARIANTS) {
                    my (undef, $name, $key) = @$variant;
                    my $before = cpu_time($master{$workers}{$name});
                    my $count =
                        traffic($kind, $port{$workers}{$name}, $key,
                            @{$LOAD{$kind}});
                    my $used = cpu_time($master{$workers}{$name}) - $before;
                    push @{$cpu{$workers}{$name}{$key}{$kind}},
                        1e6 * $used / $count;
                }
            }
        }
    }
    stop($_) for map { values %$_ } values %master;
    return %cpu;
}

sub cpu_time {
    my ($master) = @_;
    return sum map { cpu_time_of($_) } workers($master);
}

# By the scheduler's own clock where it shows that.
sub cpu_time_of {
    my ($pid) = @_;
    if (open my $file, '<', "/proc/$pid/schedstat") {
        return (split ' ', <$file>)[0] / 1e9;
    }
    open my $file, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!";
    my @fields = split ' ', <$file> =~ s/\A.*\) //r;
    return ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
}

# ---- memory, in bytes of an open stream ----

# A server of its own for each: what streams have used before, they use again.
sub measure_memory {
    my %memory;
    for my $workers (1, 2) {
        for my $variant (@VARIANTS) {
            my (undef, $name, $key) = @$variant;
            for my $kind (qw(event message)) {
                my $port   = free_port();
                my $master = start($name, $port, $workers);
                load($port, $key) for 1 .. 2 * $workers;
                my $before = memory($master);
                my $held = sub { memory($master) - $before };
                $memory{$workers}{$name}{$key}{$kind} =
                    hold($kind, $port, $key, $held) / $STREAMS;
                stop($master);
            }
        }
    }
    return %memory;
}

# Calls $code->() while the streams are open.
sub hold {
    my ($kind, $port, $key, $code) = @_;
    my @command = ("$DIR/traffic", $kind, $PROVIDER, $port, $key, $STREAMS, 0);
    pipe my $in, my $end or die "pipe: $!";
    my $pid = open my $said, '-|';
    if (!$pid) {
        close $end;
        open STDIN, '<&', $in or die "stdin: $!";
        exec @command;
    }
    close $in;
    (<$said> // '') eq "open\n" or die "@command: no streams";
    my $result = $code->();
    close $end;
    close $said or die "@command: $?";
    return $result;
}

sub memory {
    my ($master) = @_;
    return sum map { private_to($_) } workers($master);
}

# What is the worker's alone: what it shares with its master is none of its
# streams, but a free page of the master's that it writes to, is. A hardened
# worker shows that to root only; the other figure leaves such pages out.
sub private_to {
    my ($pid) = @_;
    if (open my $file, '<', "/proc/$pid/smaps_rollup") {
        return 1024 * sum map { /\APrivate_\w+: +(\d+) kB/ ? $1 : () } <$file>;
    }
    open my $file, '<', "/proc/$pid/statm" or die "/proc/$pid/statm: $!";
    return (split ' ', <$file>)[1] * sysconf(POSIX::_SC_PAGESIZE());
}

# ---- instructions ----

# Those of the turns alone: valgrind is told when to count. Returns
# {KEY}{KIND}.
sub instructions {
    my ($name) = @_;
    my $port = free_port();
    my $pid  = start($name, $port, 0, qw(valgrind --tool=callgrind
        --instr-atstart=no --log-file=/dev/null),
        "--callgrind-out-file=$DIR/callgrind");
    my @keys = map { $_->[2] } grep { $_->[1] eq $name } @VARIANTS;
    load($port, $_) for @keys;
    control($pid, '-i', 'on');
    my %figure;
    for my $key (@keys) {
        load($port, $key);
        for my $kind (@KINDS) {
            control($pid, '-z');
            my $count = traffic($kind, $port, $key, @{$TURNS{$kind}});
            my $file = dump_of($pid, $DIR);
            $figure{$key}{$kind} = total_of($file) / $count;
            $where{$name}{$key} = functions_of($file, $count)
                if $kind eq 'request';
            unlink $file;
        }
    }
    stop($pid);
    return \%figure;
}

# ---- traffic ----

# Returns the number of requests, events or messages.
sub traffic {
    my ($kind, $port, $key, $connections, $turns) = @_;
    my $said = `$DIR/traffic $kind $PROVIDER $port $key $connections $turns`;
    die "traffic: status $?" if $?;
    return $said;
}

# A little of each kind, so that what is made only once is there.
sub load {
    my ($port, $key) = @_;
    traffic($_, $port, $key, @{$WARM_UP{$_}}) for @KINDS;
    return;
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[@sorted / 2] }
