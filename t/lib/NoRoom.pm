# NoRoom: no file that a Perl script writes may be larger than so many bytes.
#
#     local $ENV{PERL5OPT} = "-I$lib -MNoRoom=40000";

package NoRoom;

use strict;
use warnings;

sub import {
    my (undef, $most) = @_;
    $SIG{XFSZ} = 'IGNORE';
    system('prlimit', "--pid=$$", "--fsize=$most:$most") == 0
        or die "prlimit: $?";
    return;
}

1;
