# The unit tests of src/core, each as a test of its own. KEYSTILE_UNIT is
# where they are built; make also takes CXX and CXXFLAGS.

use strict;
use warnings;

use Cwd     qw(abs_path);
use FindBin ();
use Test::More;

my $build = $ENV{KEYSTILE_UNIT} // abs_path("$FindBin::Bin/..") . "/build/unit";

my $said = `make -s -C '$FindBin::Bin/unit' BUILD='$build' build 2>&1`;
is $?, 0, 'the unit tests build' or do {
    diag($said);
    done_testing;
    exit 1;
};

my ($count, @output) = (0);
open my $tests, '-|', "'$build/unit' --gtest_color=no 2>&1" or die "sh: $!";
while (my $line = <$tests>) {
    push @output, $line;
    my ($result, $name) = $line =~ /\A\[\s+(OK|FAILED)\s+\] (\S+\.\S+) \(/
        or next;
    ok $result eq 'OK', $name or diag(@output);
    $count++;
    @output = ();
}
ok close($tests), 'they ended well' or diag(@output);
cmp_ok $count, '>', 0, 'there were some';

done_testing;
