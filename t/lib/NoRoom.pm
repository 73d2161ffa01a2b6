# NoRoom: no file that a Perl script writes may be larger than so many bytes.
#
#     local $ENV{PERL5OPT} = "-I$lib -MNoRoom=40000";

package NoRoom;

use strict;
use warnings;

use constant {SETRLIMIT => 160, RLIMIT_FSIZE => 1};    # of x86_64

sub import {
    my (undef, $most) = @_;
    $SIG{XFSZ} = 'IGNORE';
    my $limit = pack 'Q2', $most, $most;
    syscall(SETRLIMIT, RLIMIT_FSIZE, $limit) == 0 or die "setrlimit: $!";
    return;
}

1;
