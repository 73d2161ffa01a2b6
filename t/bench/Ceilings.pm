# Ceilings: what keystile has cost, and whether it costs more now.
#
#     my @faults = faults('instructions per request' => 1.52, ...);
#
# A figure is of the worst variant with one worker, in multiples of plain
# proxy_pass. One that is more than SLACK above what is recorded is a fault; who
# makes it dearer on purpose, or cheaper, records what it is then. Instructions
# and memory are the same in each run but for some hundredths; CPU time is not,
# and has no ceiling. Recorded on x86-64, with Debian 12's nginx and g++, by root.

package Ceilings;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(faults);

use constant SLACK => 0.05;

our %RECORDED = (
    'instructions per request' => 1.46,
    'instructions per event'   => 1.21,
    'instructions per message' => 1.41,
    'memory per stream'        => 1.05,
    'memory per socket'        => 1.13,
);

sub faults {
    my (%figures) = @_;
    my @faults;
    for my $what (sort keys %RECORDED) {
        my $recorded = $RECORDED{$what};
        my $figure   = delete $figures{$what};
        if (!defined $figure) {
            push @faults, "$what: not measured";
        }
        elsif ($figure > $recorded * (1 + SLACK)) {
            push @faults, sprintf '%s: %.2f, recorded %.2f', $what, $figure,
                $recorded;
        }
    }
    return (@faults, map {"$_: not recorded"} sort keys %figures);
}

1;
