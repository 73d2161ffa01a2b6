# Oracles: what must hold of a Site, whatever came from both sides.
#
#     my @faults = faults_while_running($site);       # asks its workers
#     @faults = faults_of_files($site, qr/secrets/);  # once those have gone

package Oracles;

use Mojo::Base -strict, -signatures;
use Await;
use Exporter   qw(import);
use Mojo::JSON qw(decode_json);
use Wire;

our @EXPORT_OK = qw(faults_of_files faults_while_running);

sub faults_while_running ($site) { return (_zone($site), _metrics($site)) }

sub faults_of_files ($site, $secret) {
    return (_logs($site, $secret), _counts($site), _records($site, $secret));
}

sub _logs ($site, $secret) {
    my @faults = map { "log: $_" } $site->alarms;
    for my $name ($site->LOGS) {
        push @faults, "a key in $name: $&"
            if $site->log_text($name) =~ $secret;
    }
    return @faults;
}

# What came to a provider was admitted, as often as it says: each line has the
# servers that a request was sent to. What was moved is decided on twice.
sub _counts ($site) {
    my (%tries, @faults);
    my %lane_of = map { ($_->port => $_->port,
            ($_->port_of_h2 // 0) => $_->port) } @{$site->lanes};
    for my $line (split /\n/, $site->log_text('access.log')) {
        my ($port, $decision, $servers, undef, undef, $rule)
            = split /[|]/, $line;
        my $tries = $servers eq '-' ? 0 : 1 + ($servers =~ tr/,//)
            + (() = $servers =~ / : /g);
        push @faults, "$decision, and sent: $line"
            if $tries && $decision ne 'admitted' && $rule !~ m{\A/moved/};
        $tries{$lane_of{$port}} += $tries;
    }
    for my $lane (@{$site->lanes}) {
        my ($came, $sent) = ($lane->heads, $tries{$lane->port} // 0);
        push @faults, "$came requests have come, of $sent" if $came > $sent;
    }
    return @faults;
}

sub _records ($site, $secret) {
    my @faults;
    for my $line (split /\n/, $site->log_text($site->RECORD)) {
        # Halves of pairs stay as they were sent, and Mojo::JSON takes none.
        my $record = eval {
            decode_json($line =~ s/\\u[dD][89a-fA-F]../\\u0041/gr) };
        push @faults, "a record is no JSON: $line" if !$record;
        push @faults, "a key in a record: $&"     if $line =~ $secret;
        my $key = $site->callers->{$record->{client} // ''} // next;
        push @faults, "a caller's key in a record: $line"
            if index($line, $key) >= 0;
    }
    return @faults;
}

# Soon, nothing is open, and nothing set aside. It is asked before the worker
# goes: what that leaves behind is given back for it.
sub _zone ($site) {
    my @faults;
    eval {
        await 'all to be settled',
            sub { return !(@faults = _unsettled($site)) }, $site->AWAITED;
    };
    return @faults;
}

# Whatever models are called, each line of the metrics is one.
sub _metrics ($site) {
    my $r = request($site->nginx->port('_status'),
        target => '/?format=prometheus');
    my $text = $r->body;
    return 'no metrics' if ($r->status // 0) != 200;
    return 'metrics that are no UTF-8' if !utf8::decode($text);
    return map { "no metric: $_" } grep {
        !/\A(?:\#\ (?:HELP|TYPE)\ .*
            |\w+(?:\{(?:\w+="(?:[^"\\]|\\[\\"n])*",?)*\})?\ [0-9.e+-]+)\z/x
    } split /\n/, $text;
}

sub _unsettled ($site) {
    my $r      = request($site->nginx->port('_status'));
    my $status = $r->json or return 'no status: ' . $r->head . $r->body;
    my @faults;
    for my $client (@{$status->{clients}}) {
        my $id = $client->{id} // 'nobody';
        push @faults, "$id: $client->{open} open" if $client->{open};
        push @faults, map { "$id: $_->{reserved_value} of $_->{limit_type} "
                . 'set aside' }
            grep { $_->{reserved_value} } @{$client->{limits}};
    }
    return @faults;
}

1;
