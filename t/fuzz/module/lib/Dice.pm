# Dice: chance, the same again for the same seed.
#
#     throw_dice($seed, $number);            # from here on, as the last time
#     my $one = pick(@all);  next if one_in(3);  my $size = below(100);

package Dice;

use Mojo::Base -strict, -signatures;
use Exporter qw(import);

our @EXPORT = qw(below one_in pick shuffled throw_dice);

sub throw_dice ($seed, $number) {
    srand(($seed * 1_000_003 + $number) % 2**31);
    rand for 1 .. 5;    # the first of near seeds are near each other
    return;
}

sub below ($count)  { return int rand $count }
sub one_in ($count) { return rand($count) < 1 }
sub pick (@all)     { return $all[rand @all] }

sub shuffled (@all) {
    for my $i (reverse 1 .. $#all) {
        my $other = below($i + 1);
        @all[$i, $other] = @all[$other, $i];
    }
    return @all;
}

1;
