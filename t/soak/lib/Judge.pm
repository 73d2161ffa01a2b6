# Judge: what is true of a soak that went well.
#
#     my $judge = Judge->new(site => $site, tally => $tally, watch => $watch);
#     $judge->sample;                 # while there is traffic, now and then
#     $judge->after;                  # the callers are gone
#     $judge->last;                   # and the providers; nginx quits
#     my ($requests, %faults) = $judge->verdict;
#     print $judge->report;
#
# What is allowed:
#
# - A request of a steady caller breaks only if a worker or a provider was
#   killed while it was on its way, or began within NOTICED of that. What such
#   requests were billed may be missing in the zone, and for each kill that of
#   one more, which was through and not settled yet.
# - A kept connection to a provider for each place in `keepalive`.
# - Workers at the end of their time, and the master, may be larger at the end
#   than after the warm-up by WORKER_GROWTH and MASTER_GROWTH kilobytes.

package Judge;

use Mojo::Base -base, -signatures;
use Await;
use List::Util qw(max sum0);
use Site;
use Time::HiRes qw(time);

use constant {
    WORKER_GROWTH => 24 * 1024,
    MASTER_GROWTH => 4 * 1024,
    ZONE_GROWTH   => 64 * 1024,
    # Seconds from the end of a process until nginx has seen that what it
    # kept to it is closed, and until the last caller has.
    NOTICED       => 0.25,
    SEEN_AFTER    => 10,
    # Of a turn, see Far.
    LARGEST_TURN  => 1100,
};

has [qw(site tally watch)];
has samples => sub { [] };
has counts  => sub { {} };
has lines   => sub { [] };

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    $self->{sockets} = $self->_sockets;
    $self->{files}   = $self->watch->files($self->watch->master);
    return $self;
}

sub report ($self) { return @{$self->lines} }

sub _say ($self, $line) {
    push @{$self->lines}, $line;
    return;
}

sub _sockets ($self) {
    return max map { $self->watch->sockets($_) } $self->watch->workers;
}

# Workers that have been there for a while.
sub sample ($self) {
    my $watch = $self->watch;
    push @{$self->samples}, {
        worker => max(map { $watch->rss($_) } $watch->workers),
        master => $watch->rss($watch->master),
        zone   => $self->site->status->{memory}{free},
    };
    return;
}

# ---- when the traffic is over ----

sub after ($self) {
    my ($tally, $site) = ($self->tally, $self->site);
    $self->sample;
    $site->rotate_records($tally, 1);
    $self->_within('old workers left', 60, sub { !$self->watch->leaving });
    $self->_within('open or reserved', 60, sub { !_held($site->status) });
    $self->_within('the zone has other processes than workers', 15,
        sub { $site->status->{processes} == Site::WORKERS });
    $self->_within('more connections than are kept', 60,
        sub { $self->_sockets <= $self->{sockets} + Site::KEPT });
    $self->_within('the state is not saved', 30, sub { $self->_is_saved });
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
    $site->rotate_records($tally, 1);
    eval { $site->quit } or $tally->fault('nginx does not quit', "$@ $?");
    $self->_look_into_logs;
    return;
}

sub _within ($self, $what, $seconds, $condition) {
    eval { await $what, $condition, $seconds; 1 }
        or $self->tally->fault($what, "$@");
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

sub _compare_samples ($self) {
    my @samples = @{$self->samples};
    return $self->_say('too short for a look at memory') if @samples < 2;
    my ($first, $last) = @samples[0, -1];
    my %most = (worker => WORKER_GROWTH, master => MASTER_GROWTH);
    for my $what (sort keys %most) {
        $self->_say("memory: $what, from $first->{$what} KB to "
                . "$last->{$what} KB");
        $self->tally->fault("memory of a $what", "grew to $last->{$what} KB")
            if $last->{$what} > $first->{$what} + $most{$what};
    }
    $self->tally->fault('room in the zone', "$last->{zone} bytes are left")
        if $last->{zone} < $first->{zone} - ZONE_GROWTH;
    return;
}

sub _look_into_logs ($self) {
    my ($full, %killed) = 0;
    $self->tally->each(sub ($word, @rest) {
        $killed{$rest[0]} = 1 if $word eq 'killed';
    });
    for my $name (qw(error.log access.log start.log stderr.log)) {
        open my $log, '<', $self->site->nginx->dir . "/$name" or next;
        while (my $line = <$log>) {
            $self->tally->fault('a key in a log', $line)
                if $line =~ /sk-test-soak/;
            $full++ if $line =~ /28: No space left/;
            next if $line !~ Nginx::FAULTS;
            $self->tally->fault('in the error log', $line)
                if $line !~ /process (\d+) exited on signal 9/ || !$killed{$1};
        }
    }
    $self->_say("full disk: $full lines in the error log");
    return;
}

# ---- the ledger ----

sub verdict ($self) {
    my $seen = {faults => {}, requests => 0};
    $self->tally->each(sub ($word, @rest) {
        my $take = $self->can("_take_$word");
        $take ? $take->($seen, @rest) : $seen->{count}{$word}++;
    });
    $self->_judge_broken($seen);
    $self->_judge_twice($seen);
    $self->_judge_figures($seen);
    $self->_say(sprintf 'key changed %d times', scalar @{$seen->{keys} // []});
    my $torn = $seen->{count}{torn} // 0;
    _fault($seen, 'torn records', $torn - @{$seen->{kills} // []});
    $self->_say(sprintf 'records: %d, and %d torn',
        $seen->{count}{record} // 0, $torn);
    $self->_say(sprintf 'requests sent again on a new connection: %d',
        $seen->{count}{again} // 0);
    return ($seen->{requests}, %{$seen->{faults}});
}

sub _fault ($seen, $kind, $count = 1) {
    $seen->{faults}{$kind} += $count if $count > 0;
    return;
}

sub _take_fault ($seen, $kind) { return _fault($seen, $kind =~ tr/_/ /r) }

sub _take_got ($seen, $id, $number, $since) {
    my ($name) = split /[.]/, $id;
    $seen->{turns}{$name}++;
    $seen->{twice}{$id}++ if $seen->{got}{$id}++;
    _judge_key($seen, $number, $since);
    return;
}

# Once a reload is through, a new connection means the new key.
sub _judge_key ($seen, $number, $since) {
    my ($least) = map { $_->[0] } grep { $_->[1] < $since }
        reverse @{$seen->{keys} // []};
    _fault($seen, 'an old key')
        if $number eq 'none' || $number < ($least // 1);
    return;
}

sub _take_billed ($seen, $id, $input, $output) {
    my ($name) = split /[.]/, $id;
    $seen->{billed}{$name}{input_tokens}  += $input;
    $seen->{billed}{$name}{output_tokens} += $output;
    return;
}

sub _take_broken ($seen, @broken) {
    push @{$seen->{broken}}, \@broken;
    return;
}

sub _take_killed ($seen, $pid, @times) {
    push @{$seen->{kills}}, \@times;
    return;
}

sub _take_restarted ($seen, $address, @times) {
    push @{$seen->{restarts}}, \@times;
    return;
}

sub _take_key ($seen, $number, $time) {
    push @{$seen->{keys}}, [$number, $time];
    return;
}

sub _take_sent ($seen, $name, $count, $whole) {
    $seen->{requests} += $count;
    $seen->{whole}{$name} += $whole;
    return;
}

# Those that no kill explains.
sub _judge_broken ($self, $seen) {
    my @times = (@{$seen->{kills} // []}, @{$seen->{restarts} // []});
    for my $broken (@{$seen->{broken} // []}) {
        my ($id, $started, $ended) = @$broken;
        next if grep {
            my ($from, $to) = @$_;
            $started <= $to + NOTICED && $from <= $ended
                && $ended <= $to + SEEN_AFTER;
        } @times;
        print STDERR "soak: lost: $id, from $started to $ended\n";
        _fault($seen, 'lost');
    }
    $self->_say(sprintf '%d workers killed, %d providers restarted: %d '
            . 'requests broken', scalar @{$seen->{kills} // []},
        scalar @{$seen->{restarts} // []}, scalar @{$seen->{broken} // []});
    return;
}

# A provider gets a request once, but for one that its caller sent again after
# a kill.
sub _judge_twice ($self, $seen) {
    _fault($seen, 'sent twice',
        keys(%{$seen->{twice} // {}}) - @{$seen->{kills} // []});
    return;
}

# The zone's counters, and what the providers have billed.
sub _judge_figures ($self, $seen) {
    my $broken = @{$seen->{broken} // []} + @{$seen->{kills} // []};
    for my $client (@{$self->{status}{clients}}) {
        my $name   = $client->{id} // 'nobody';
        my %billed = (%{$seen->{billed}{$name} // {}},
            $name eq 'steady' ? (requests => $seen->{turns}{$name}) : ());
        for my $figure (sort keys %billed) {
            my ($zone, $there)
                = ($client->{totals}{$figure}, $billed{$figure});
            my $per = $figure eq 'requests' ? 1 : LARGEST_TURN;
            $self->_say("$name: $figure: $zone, of $there");
            _fault($seen, "$name: $figure") if $zone > $there
                + ($figure eq 'requests' ? $broken : 0)
                || $name eq 'steady' && $zone < $there - $broken * $per;
        }
    }
    return;
}

1;
