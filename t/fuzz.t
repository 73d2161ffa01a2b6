# The corpora of the fuzz targets, played back without a fuzzer: what once
# made a target fail does not do so again. KEYSTILE_FUZZ is where the targets
# are built; make also takes CXX and CXXFLAGS.

use strict;
use warnings;

use Cwd     qw(abs_path);
use FindBin ();
use Test::More;

my $build = $ENV{KEYSTILE_FUZZ} // abs_path("$FindBin::Bin/..") . "/build/fuzz";

my $said = `make -s -C '$FindBin::Bin/fuzz' BUILD='$build' build 2>&1`;
is $?, 0, 'the fuzz targets build' or do {
    diag($said);
    done_testing;
    exit 1;
};

for my $folder (glob "$FindBin::Bin/fuzz/corpus/*") {
    my ($target) = $folder =~ m|([^/]+)\z|;
    my @files = glob "$folder/*";
    cmp_ok scalar @files, '>', 0, "$target: there is a corpus";

    my $output = `'$build/replay/$target' @files 2>&1`;
    is $?, 0, "$target: all its properties hold" or diag($output);
    my $played = () = $output =~ /^\Q$folder\E/mg;
    is $played, scalar @files, "$target: every file was played";
}

done_testing;
