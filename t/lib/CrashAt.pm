# CrashAt: ends a Perl script as kill -9 does, right before a certain call.
#
#     local $ENV{PERL5OPT} = "-I$lib -MCrashAt=sync,3";    # the third fsync(2)
#     local $ENV{PERL5OPT} = "-I$lib -MCrashAt=rename,1";

package CrashAt;

use strict;
use warnings;
use IO::Handle;

sub import {
    my (undef, $call, $count) = @_;
    my $crash = sub { kill KILL => $$ if --$count == 0 };
    no warnings qw(redefine once);
    if ($call eq 'rename') {
        *CORE::GLOBAL::rename = sub {
            $crash->();
            return CORE::rename($_[0], $_[1]);
        };
        return;
    }
    my $sync = \&IO::Handle::sync;
    *IO::Handle::sync = sub { $crash->(); return $sync->(@_) };
    return;
}

1;
