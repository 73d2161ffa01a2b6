# How long the check of a client's key takes says nothing about the key: the
# instructions are counted, by callgrind, and are as many for a key that is
# wrong in its first byte as for one that is wrong in its last.

use Mojo::Base -strict, -signatures;
use File::Temp ();
use FindBin;
use Test::More;

plan skip_all => 'needs valgrind'
    if system('command -v valgrind >/dev/null 2>&1') != 0;

my $root  = "$FindBin::Bin/..";
my $dir   = File::Temp->newdir;
my $cxx   = $ENV{CXX} // 'g++';
my $check = "$dir/key_check";
my $said  = `$cxx -std=c++20 -O2 -fno-exceptions -fno-rtti -I'$root/src' \\
    -o '$check' '$FindBin::Bin/lib/c/key_check.cpp' \\
    '$root/src/core/client_keys.cpp' '$root/src/core/digest.cpp' \\
    -lcrypto 2>&1`;
is $?, 0, 'the program builds' or BAIL_OUT($said);

my $KNOWN = 'sk-test-client-0f6a2b8c1d3e4f50';

# Instructions in that function and below it, and what came of them.
sub count ($function, $key) {
    my $output = `valgrind --tool=callgrind --callgrind-out-file=/dev/null \\
        --toggle-collect=$function '$check' '$KNOWN' '$key' 2>&1`;
    my ($count)   = $output =~ /Collected : (\d+)/;
    my ($verdict) = $output =~ /^(known|unknown)$/m;
    return ($count // 0, $verdict // $output);
}

# The key with another byte at a place.
sub wrong_at ($place) {
    my $key = $KNOWN;
    substr($key, $place, 1) =~ tr/0-9a-z/b-z0-9a/;
    return $key;
}

my %unknown = (
    'wrong in the first byte'  => wrong_at(0),
    'wrong in the second byte' => wrong_at(1),
    'wrong in the middle'      => wrong_at(15),
    'wrong in the last byte'   => wrong_at(-1),
    'wrong in every byte'      => 'x' x length $KNOWN,
    'wrong in the end'         => substr($KNOWN, 0, 10)
        . 'x' x (length($KNOWN) - 10),
);

my ($known, $verdict) = count(check => $KNOWN);
is $verdict, 'known', 'the key is known';
cmp_ok $known, '>', 1000, 'instructions are counted';

my %counts;
for my $name (sort keys %unknown) {
    my ($count, $verdict) = count(check => $unknown{$name});
    is $verdict, 'unknown', "a key that is $name is not";
    $counts{$count} = $name;
}
is join(', ', sort keys %counts), (sort keys %counts)[0],
    'all wrong keys take the same number of instructions';

# Known and unknown keys are told apart at the very end, by what is returned.
my ($unknown) = keys %counts;
cmp_ok abs($known - $unknown), '<', 16,
    'and so does the right one, but for the return of what was found';

# The same, of a comparison that stops early.
my ($early) = count(naive => $unknown{'wrong in the first byte'});
my ($late)  = count(naive => $unknown{'wrong in the last byte'});
cmp_ok $early, '<', $late, 'a naive comparison would be seen';

done_testing;
