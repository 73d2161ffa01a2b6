# ./dev bench fails when something costs more than was recorded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/bench";
use Ceilings;
use Test::More;

my %recorded = %Ceilings::RECORDED;
is_deeply [faults(%recorded)], [], 'as recorded';
is_deeply [faults(map { $_ => $recorded{$_} * 1.04 } keys %recorded)], [],
    'some hundredths more';
is_deeply [faults(map { $_ => $recorded{$_} / 2 } keys %recorded)], [], 'less';
for my $what (sort keys %recorded) {
    my $more = $recorded{$what} * 1.06;
    my @faults = faults(%recorded, $what => $more);
    is @faults, 1, "$what: more";
    like $faults[0], qr/\A\Q$what\E: [\d.]+, recorded \Q$recorded{$what}\E\z/,
        'it says which';
    my %others = %recorded;
    delete $others{$what};
    is_deeply [faults(%others)], ["$what: not measured"], 'or not measured';
}
is_deeply [faults(%recorded, new => 1)], ['new: not recorded'], 'not recorded';

done_testing;
