# Ledger: what callers and providers wrote down, held against each other, the
# access log, and what the zone has counted.
#
#     my $ledger = Ledger->new(tally => $tally, status => $status,
#         access_log => $path)->judge;
#     $ledger->requests;  $ledger->faults;      # a number; {kind => number}
#     $ledger->lines;                           # for the report
#
# What is allowed:
#
# - A request breaks if the worker that had it was killed: then there was a
#   kill while it was on its way, and it has no line in the access log, or one
#   of a worker that was killed later. What a worker wrote there that was not
#   killed was in no killed worker's hands.
# - A request breaks if its provider was killed: that one is in its line.
# - A turn that broke may be in the zone or not. For each kill one more may be
#   missing, which was through and not settled yet.
#
# Where no one is killed, nothing breaks, and all figures are equal.

package Ledger;

use Mojo::Base -base, -signatures;
use List::Util qw(sum0);

# Seconds until nginx has seen that what it kept to a process is closed, and
# until the last caller has.
use constant {NOTICED => 1, SEEN_AFTER => 10};

# What is counted, and how much of it one turn can be at most: see Far, Steady.
my %FIGURES = (
    requests       => 1,
    input_tokens   => 1000,
    output_tokens  => 100,
    sent_bytes     => 70_000,
    received_bytes => 1_300_000,
);

has [qw(tally status access_log is_long)];
has [qw(requests counted)] => 0;
has [qw(faults billed got count moves)] => sub { {} };
has [qw(lines broken again keys kills restarts)] => sub { [] };
has [qw(at killed records)] => sub { {} };

sub judge ($self) {
    $self->tally->each(sub ($word, @rest) {
        my $take = $self->can("_take_$word");
        $take ? $self->$take(@rest) : $self->{count}{$word}++;
    });
    $self->_read_access_log;
    $self->_judge_broken;
    $self->_judge_twice;
    $self->_judge_figures;
    $self->_judge_records;
    $self->_judge_refused;
    return $self;
}

sub _fault ($self, $kind, $detail = undef) {
    $self->faults->{$kind}++;
    print STDERR "soak: $kind: $detail\n" if defined $detail;
    return;
}

sub _say ($self, $line) {
    push @{$self->lines}, $line;
    return;
}

# ---- reading ----

sub _take_fault ($self, $kind) { return $self->_fault($kind =~ tr/_/ /r) }

# Once a reload is through, a new connection means the new key.
sub _take_got ($self, $id, $key, $since, $bytes) {
    push @{$self->got->{$id}}, $bytes;
    return if $key eq 'own';
    my ($least) = map { $_->[0] } grep { $_->[1] < $since }
        reverse @{$self->keys};
    $self->_fault('an old key', "$id: $key, of " . ($least // 1))
        if $key eq 'none' || $key < ($least // 1);
    return;
}

sub _take_billed ($self, $id, @figures) {
    $self->billed->{$id} = \@figures;
    return;
}

sub _take_broken ($self, @broken) { return push @{$self->broken}, \@broken }
sub _take_again  ($self, @again)  { return push @{$self->again},  \@again }

sub _take_killed ($self, $pid, @times) {
    $self->killed->{$pid} = 1;
    return push @{$self->kills}, \@times;
}

sub _take_restarted ($self, $addresses, @times) {
    return push @{$self->restarts}, [@times, split /,/, $addresses];
}

sub _take_counted ($self, $refused) {
    return $self->counted($self->counted + $refused);
}

sub _take_key ($self, @key) { return push @{$self->keys}, \@key }

sub _take_sent ($self, $count) {
    return $self->requests($self->requests + $count);
}

sub _take_moves ($self, $name, $count) {
    return $self->moves->{$name} += $count;
}

sub _take_records ($self, $client, $count) {
    return $self->records->{$client} += $count;
}

# The worker and the providers of those that broke.
sub _read_access_log ($self) {
    my %wanted = map { $_->[3] => 1 } @{$self->broken};
    open my $log, '<', $self->access_log or return;
    while (my $line = <$log>) {
        my ($pid, $id, $upstream) = $line =~ /\A(\d+) (\S+) \d+ "([^"]*)"/
            or next;
        $self->at->{$id} = [$pid, $upstream] if $wanted{$id};
    }
    close $log;
    return;
}

# ---- judging ----

sub _judge_broken ($self) {
    for my $broken (@{$self->broken}) {
        my ($id, $started, $ended, $connection) = @$broken;
        my $at = $self->at->{$connection};
        next if $self->_was_killed($at, $started, $ended)
            || $self->_was_restarted($at, $started, $ended);
        $self->_fault('lost', "$id, from $started to $ended, "
                . ($at ? "worker $at->[0], upstream $at->[1]" : 'no line'));
    }
    $self->_say(sprintf '%d workers killed, %d providers restarted: %d '
            . 'requests broken', scalar @{$self->kills},
        scalar @{$self->restarts}, scalar @{$self->broken});
    $self->_say(sprintf 'keys changed %d times, %d requests refused for '
            . 'theirs', scalar @{$self->keys}, $self->{count}{refused} // 0);
    $self->_say(join ', ', map { "$_ " . $self->moves->{$_} }
            sort keys %{$self->moves}) if %{$self->moves};
    return;
}

sub _was_killed ($self, $at, $started, $ended) {
    return 0 if $at && !$self->killed->{$at->[0]};
    return scalar grep { _is_on_its_way($_, $started, $ended) }
        @{$self->kills};
}

sub _was_restarted ($self, $at, $started, $ended) {
    return 0 if !$at;
    return scalar grep {
        my ($from, $to, @addresses) = @$_;
        _is_on_its_way($_, $started, $ended)
            && grep { index($at->[1], $_) >= 0 } @addresses;
    } @{$self->restarts};
}

sub _is_on_its_way ($times, $started, $ended) {
    my ($from, $to) = @$times;
    return $started <= $to + NOTICED && $from <= $ended
        && $ended <= $to + SEEN_AFTER;
}

# A provider gets a request once, but for one that its caller sent again when
# a worker was killed.
sub _judge_twice ($self) {
    my %again = map { $_->[0] => $_ } @{$self->again};
    for my $id (grep { @{$self->got->{$_}} > 1 } sort keys %{$self->got}) {
        my (undef, @times) = @{$again{$id} // []};
        $self->_fault('sent twice', $id)
            if !@times || !$self->_was_killed(undef, @times);
    }
    $self->_say('requests sent again on a new connection: '
            . scalar @{$self->again});
    return;
}

# The zone's counters, and what the providers have billed.
sub _judge_figures ($self) {
    my %broken = map { $_->[0] => 1 } @{$self->broken};
    my (%least, %most);
    for my $id (keys %{$self->got}) {
        my ($client) = split /[.]/, $id;
        my $billed   = $self->billed->{$id};
        my %turn     = (requests => 1, sent_bytes => $self->got->{$id}[-1]);
        @turn{qw(input_tokens output_tokens received_bytes)} = @$billed
            if $billed;
        for my $figure (keys %turn) {
            $most{$client}{$figure} += $turn{$figure};
            $least{$client}{$figure} += $turn{$figure} if !$broken{$id};
        }
    }
    my %clients = map { ($_->{id} // 'nobody') => $_->{totals} }
        @{$self->status->{clients} // []};
    $self->_compare($clients{steady}, 'steady', \%least, \%most,
        sort keys %FIGURES);
    $self->_compare($clients{socket}, 'socket', \%least, \%most,
        qw(requests input_tokens output_tokens));
    $self->_compare($clients{rough}, 'rough', {}, \%most,
        qw(input_tokens output_tokens));
    return;
}

sub _compare ($self, $totals, $client, $least, $most, @figures) {
    my $broken = grep { $_->[0] =~ /\A$client[.]/ } @{$self->broken};
    for my $figure (@figures) {
        my $zone = $totals->{$figure} // 0;
        my $from = $least->{$client}{$figure} // 0;
        my $to   = $most->{$client}{$figure}  // 0;
        $self->_say("$client: $figure: $zone, of "
                . ($from == $to ? $to : "$from to $to"));
        # One that broke may have had no provider, or a part of its bytes.
        $to += $broken * $FIGURES{$figure} if $figure =~ /requests|bytes/;
        $from -= @{$self->kills} * $FIGURES{$figure};
        $self->_fault("$client: $figure") if $zone > $to || $zone < $from;
    }
    return;
}

# Each turn is a record, where no worker is killed and no disk is full.
sub _judge_records ($self) {
    my %records = %{$self->records};
    my $torn    = $records{torn} // 0;
    $self->_say('records: ' . sum0(values %records) . ", and $torn torn");
    $self->_fault('torn records', "$torn of them") if $torn > @{$self->kills};
    my %turns = map { ($_->{id} // 'nobody') => $_->{totals}{requests} }
        @{$self->status->{clients} // []};
    for my $client (qw(steady socket)) {
        my ($lines, $turns) = ($records{$client} // 0, $turns{$client} // 0);
        my $lost = @{$self->kills} + @{$self->restarts}
            + ($self->{count}{full} // 0);
        $self->_fault("$client: records", "$lines, of $turns")
            if !$lines || !$lost && $lines != $turns;
    }
    return;
}

# What the zone has of the refusals of those keys of the pool that are there.
sub refused ($status) {
    return sum0 map { values %{$_->{refusals}} }
        grep { $_->{name} ne 'far-0' } @{$status->{credentials} // []};
}

# What the zone had of the providers' refusals before keys were changed, and
# has since. A rough caller can leave before one is there.
sub _judge_refused ($self) {
    my $refused = $self->{count}{refused} // 0;
    my $zone    = $self->counted + refused($self->status);
    $self->_say("refused credentials: $zone, of $refused");
    $self->_fault('refused credentials') if $zone > $refused;
    $self->_fault('no credential was refused') if !$zone && $self->is_long;
    return;
}

1;
