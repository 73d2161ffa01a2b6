# Judge: what is true of an nginx after a soak that went well.
#
#     my $judge = Judge->new(site => $site, tally => $tally, watch => $watch);
#     $judge->glance;                 # while there is traffic, all the time
#     $judge->sample;                 # and before workers leave
#     $judge->count_refused;          # and before keys are changed
#     $judge->after;                  # the callers are gone
#     $judge->last;                   # and the providers; nginx quits
#     my ($requests, %faults) = $judge->verdict;
#     print $judge->report;
#
# What is allowed:
#
# - A kept connection to a provider for each place in `keepalive`.
# - Workers at the end of their time, and the master, may be larger at the end
#   than after the warm-up by WORKER_GROWTH and MASTER_GROWTH kilobytes; those
#   that live all the time, by FLAT on average.
#
# For the rest, see Ledger.

package Judge;

use Mojo::Base -base, -signatures;
use Await;
use Ledger;
use List::Util qw(max min sum0);
use Mojo::File qw(path);
use Site;
use Time::HiRes qw(time);

use constant {
    WORKER_GROWTH => 24 * 1024,
    MASTER_GROWTH => 4 * 1024,
    FLAT          => 4608,
    ZONE_GROWTH   => 64 * 1024,
    BUSY          => 0.5,        # of the looks, with nothing to do
};

has [qw(site tally watch ledger is_long)];
has [qw(samples lines)] => sub { [] };
has sizes => sub { {} };

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    $self->{sockets} = $self->_sockets;
    $self->{files}   = $self->watch->files($self->watch->master);
    return $self;
}

sub report ($self) { return (@{$self->lines}, @{$self->ledger->lines}) }

sub _say ($self, $line) {
    push @{$self->lines}, $line;
    return;
}

sub _sockets ($self) {
    return max(0, map { $self->watch->sockets($_) } $self->watch->workers);
}

# Of each worker, how large it was from one look to the next.
sub glance ($self) {
    my $watch = $self->watch;
    push @{$self->sizes->{$_}}, $watch->rss($_) for $watch->workers;
    return;
}

# Workers that have been there for a while.
sub sample ($self) {
    my $watch  = $self->watch;
    my $master = $watch->master;
    push @{$self->samples}, {
        worker   => max(0, map { $watch->rss($_) } $watch->workers),
        master   => $watch->rss($master),
        locked   => $watch->locked($master),
        mappings => $watch->mappings($master),
        zone     => $self->site->status->{memory}{free},
    };
    return;
}

# Of the providers' keys that are about to go, with what is counted of them.
sub count_refused ($self) {
    return $self->tally->note('counted', Ledger::refused($self->site->status));
}

# ---- when the traffic is over ----

sub after ($self) {
    my ($tally, $site) = ($self->tally, $self->site);
    $self->_compare_sizes;
    $self->sample;
    $site->rotate_records($tally, 1);
    $self->_within('old workers left', 60, sub { !$self->watch->leaving });
    $self->_within('open or reserved', 60, sub { !_held($site->status) });
    $self->_within('the zone has other processes than workers', 15,
        sub { $site->status->{processes} == Site::WORKERS });
    $self->_within('more connections than are kept', 60,
        sub { $self->_sockets <= $self->{sockets} + 2 * Site::KEPT });
    $self->_within('the state is not saved', 30, sub {
        $self->_look_for_busy;
        $self->_is_saved;
    });
    my ($busy) = sort { $b <=> $a } values %{$self->{busy}};
    $tally->fault('a worker is busy', $busy) if $busy > BUSY * $self->{looks};
    $self->_compare_samples;
    $self->{status} = $site->status;
    return;
}

# The providers are gone, and their connections with them.
sub last ($self) {
    my ($tally, $site) = ($self->tally, $self->site);
    $self->_within('a connection is left', 30,
        sub { $self->_sockets <= $self->{sockets} });
    my $files = $self->watch->files($self->watch->master);
    $tally->fault('files of the master', "$files, of $self->{files}")
        if $files > $self->{files};
    $self->_look_for_bodies;
    $self->_quit;
    $self->_start_again;
    for my $file (map { $site->disk . "/turns.$_" } qw(old jsonl)) {
        $site->judge_records($tally, $file);
    }
    $self->_look_into_files;
    return;
}

# nginx takes the name of such a file away as soon as there is one: a worker
# that is killed in between leaves it, empty.
sub _look_for_bodies ($self) {
    my @kills;
    $self->tally->each(sub ($word, @rest) {
        push @kills, \@rest if $word eq 'killed';
    });
    for my $body (glob $self->site->nginx->dir . '/client_body/*') {
        my ($size, $made) = (stat $body)[7, 9] or next;
        next if !$size && grep {
            my (undef, $from, $to) = @$_;
            $made >= int($from) - 1 && $made <= $to;
        } @kills;
        $self->tally->fault('a body on disk', "$body, $size bytes");
    }
    return;
}

sub _quit ($self) {
    eval { $self->site->quit }
        or $self->tally->fault('nginx does not quit', "$@ $?");
    return;
}

# What was counted is there after a restart.
sub _start_again ($self) {
    eval {
        $self->site->start_again;
        my ($before, $now) = map { _counted($_) } $self->{status},
            $self->site->status;
        $self->tally->fault('another state', "$now, not $before")
            if $now ne $before;
        1;
    } or $self->tally->fault('nginx does not start', $@);
    $self->_quit;
    return;
}

sub _counted ($status) {
    return join ' ', map {
        my $client = $_;
        ($client->{id} // 'nobody', map { "$_=$client->{totals}{$_}" }
            qw(requests usage_missing input_tokens output_tokens sent_bytes
            received_bytes))
    } sort { ($a->{id} // '') cmp ($b->{id} // '') } @{$status->{clients}};
}

sub _within ($self, $what, $seconds, $condition) {
    eval { await $what, $condition, $seconds; 1 }
        or $self->tally->fault($what, "$@");
    return;
}

# Nothing is to be done but to say what the status is, between two looks.
sub _look_for_busy ($self) {
    my $watch = $self->watch;
    $self->{looks}++;
    $self->{busy}{$_} += $watch->runs($_) ? 1 : 0 for $watch->workers;
    return;
}

# What is open, and what is set aside for it.
sub _held ($status) {
    return sum0 map {
        ($_->{open}, map {
            ($_->{reserved_value},
                $_->{limit_type} eq 'concurrent' ? $_->{current_value} : 0)
        } @{$_->{limits}})
    } @{$status->{clients}};
}

# Times are in seconds. Nothing is counted any more, so what is there now is
# saved once the time of the file does not change.
sub _is_saved ($self) {
    my $status = $self->site->status;
    my $saved  = $status->{state}{saved_at} // return 0;
    $self->{saved} = [$saved, time] if $saved ne ($self->{saved}[0] // '');
    return time - $self->{saved}[1] > 6;
}

# ---- memory ----

# Of workers that were there all the time: the middle of what they had in the
# second fifth of it, and in the last one.
sub _compare_sizes ($self) {
    my $most = max(0, map { scalar @$_ } values %{$self->sizes});
    my @growth;
    for my $pid (sort { $a <=> $b } keys %{$self->sizes}) {
        my @sizes = @{$self->sizes->{$pid}};
        next if @sizes < $most || @sizes < 10;
        my $fifth = int(@sizes / 5);
        my ($first, $last) = map { (sort { $a <=> $b } @$_)[$fifth / 2] }
            [@sizes[$fifth .. 2 * $fifth - 1]], [@sizes[-$fifth .. -1]];
        $self->_say("memory: worker $pid, from $first KB to $last KB");
        push @growth, $last - $first;
    }
    $self->tally->fault('memory of workers', "grew by @growth KB")
        if @growth && sum0(@growth) / @growth > FLAT;
    return;
}

sub _compare_samples ($self) {
    my @samples = @{$self->samples};
    return if @samples < 2;
    my ($first, $last) = @samples[0, -1];
    my %most = (worker => WORKER_GROWTH, master => MASTER_GROWTH,
        locked => 0, mappings => 4);
    for my $what (sort keys %most) {
        $self->_say("memory: $what, from $first->{$what} to $last->{$what}");
        $self->tally->fault("memory: $what", "grew to $last->{$what}")
            if $last->{$what} > $first->{$what} + $most{$what};
    }
    $self->tally->fault('room in the zone', "$last->{zone} bytes are left")
        if $last->{zone} < $first->{zone} - ZONE_GROWTH;
    return;
}

# ---- files ----

# Of all that nginx wrote, only its logs are longer than a moment's look.
sub _look_into_files ($self) {
    my ($full, $filled, %killed) = (0, 0);
    $self->tally->each(sub ($word, @rest) {
        $killed{$rest[0]} = 1 if $word eq 'killed';
        $filled = 1 if $word eq 'full';
    });
    my $dir = $self->site->nginx->dir;
    for my $path ((map { "$dir/$_" }
            qw(error.log access.log start.log stderr.log)),
        glob $self->site->disk . '/*') {
        open my $file, '<', $path or next;
        while (my $line = <$file>) {
            $self->tally->fault('a key in ' . path($path)->basename, $line)
                if $line =~ Site::SECRET;
            next if $path !~ /(?:error|start|stderr)[.]log\z/;
            $full++ if $line =~ /28: No space left/;
            next if $line !~ Nginx::FAULTS
                && $line !~ /exited with code [1-9]/;
            $self->tally->fault('in the error log', $line)
                if $line !~ /process (\d+) exited on signal 9/ || !$killed{$1};
        }
        close $file;
    }
    $self->_say("full disk: $full lines in the error log");
    $self->tally->fault('the disk was never full', $dir) if $filled && !$full;
    return;
}

sub verdict ($self) {
    my $ledger = Ledger->new(tally => $self->tally,
        status     => $self->{status} // {},
        is_long    => $self->is_long,
        access_log => $self->site->nginx->dir . '/access.log')->judge;
    $self->ledger($ledger);
    return ($ledger->requests, %{$ledger->faults});
}

1;
