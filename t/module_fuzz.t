# A short run of t/fuzz/module, with the same dice each time: that it still
# works, and finds nothing. `./dev fuzz-module` is a long one.

use strict;
use warnings;

use FindBin ();
use Test::More;

use constant EXCHANGES => 400;

local $ENV{KEYSTILE_FUZZ_SEED}  = 2026;
local $ENV{KEYSTILE_FUZZ_COUNT} = EXCHANGES;
local $ENV{KEYSTILE_FUZZ_FROM}  = 1;
my $said   = `'$FindBin::Bin/fuzz/module/run.pl' 600 2>&1`;
my $status = $?;
like $said, qr/\Q${\EXCHANGES}\E exchanges, seed 2026, 0 faults\n\z/,
    'no fault';
is $status, 0, 'and so it says' or diag($said);
my ($plain)    = $said =~ /plain: (\d+)/;
my ($answered) = $said =~ / 200: (\d+)/;
my ($sockets)  = $said =~ / 101: (\d+)/;
cmp_ok $plain // 0,    '>', 20, 'some were as they should be';
cmp_ok $answered // 0, '>', 60, 'many were answered';
cmp_ok $sockets // 0,  '>', 3,  'there were WebSockets';

done_testing;
