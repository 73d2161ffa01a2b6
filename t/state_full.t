# A disk that is full: traffic goes on, the state before is kept, and it is
# saved again once there is room.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Kept;
use Mojo::File qw(path);
use Provider;

my $provider = Provider->new;
my @more     = map {"more-$_"} 1 .. 99;    # over 4096 bytes of a state
my $nginx    = Kept->new(provider => $provider,
    clients => {map { $_ => {} } 'ci', @more});
my $dir      = path($nginx->dir, 'state');
plan skip_all => 'no file system can be mounted here'
    if $> != 0 || system 'mount', '-t', 'tmpfs', '-o', 'size=64k,mode=755',
        'keystile-test', "$dir";

sub unmount () { return system 'umount', "$dir" }

$nginx->serve;
$provider->answer(sub ($request) {
    $request->reply(200, undef, response_document(input => 10, output => 1));
});

sub requests () {
    return $nginx->client_of($nginx->idle, 'ci')->{totals}{requests};
}

is $nginx->turn('ci')->status, 200, 'a turn';
$nginx->await_save;
await 'both files to be written',
    sub { !grep { !-s $nginx->state_file($_) } '', '.2' };

# Each of them has one block of the disk.
open my $rest, '>', "$dir/rest" or die "rest: $!";
1 while syswrite $rest, 'x' x 4096;
close $rest;

is scalar(grep { $nginx->turn($_)->status != 200 } 'ci', @more), 0,
    'others, with the disk full';
my $failures;
await 'a failure', sub {
    $failures = $nginx->status->{state}{failures};
}, 30;
cmp_ok $failures, '>', 0, 'which is counted';
is $nginx->turn('ci')->status, 200, 'and traffic goes on';
like $nginx->error_log, qr/\[error\].*cannot write the state.*28: No space/,
    'the log says why';

unlink "$dir/rest" or die "rest: $!";
$nginx->await_save;
$nginx->quit->again;
is requests(), 3, 'with room again, all of it is saved';
is $nginx->totals($more[-1])->{requests}, 1, 'of others, too';

$nginx->tolerate(qr/cannot write the state/)->stop;
unmount();
done_testing;

END { unmount() if -e "$dir/main" }
