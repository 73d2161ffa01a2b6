# What is counted and cannot be saved is told of: by a metric that grows, which
# an alert is for, and once by the log. Files that were let be, or had no name
# any more, went unseen.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Kept;
use Metered;
use Mojo::File qw(path);
use Provider;

on_one_day();
my $provider = Provider->new;
$provider->answer(sub ($request) {
    $request->reply(200, undef, response_document(input => 5, output => 5));
});

sub new_nginx () {
    return Kept->new(provider => $provider,
        clients => {ci => {limits => [{requests => 2, per => 'month'}]}});
}

sub failures ($nginx) { return $nginx->status->{state}{failures} }

# Waits for as many more, one an interval.
sub await_failures ($nginx, $count = 2) {
    my $most = failures($nginx) + $count;
    await 'failures', sub { failures($nginx) >= $most }, 30;
    return;
}

sub said ($nginx, $pattern) {
    return scalar(() = $nginx->error_log =~ /is not saved: $pattern/g);
}

my %FOREIGN = (
    'of someone else'  => "Dear diary,\n",
    'of a later version' => "keystile-state 2 7 1 1\nend 1 0\n",
);
for my $whose (sort keys %FOREIGN) {
    subtest "a file $whose" => sub {
        my $nginx = new_nginx();
        $nginx->own($nginx->file('state/main', $FOREIGN{$whose}, 0600));
        $nginx->serve;
        my $reason = qr/what is in its file was not written by this version/;
        is said($nginx, $reason), 1, 'the log says why at the start';
        is $nginx->turn('ci')->status, 200, 'a turn';
        await_failures($nginx);
        is said($nginx, 'see what was logged when'), 1, 'and once after it';
        is $nginx->reload, '', 'a reload';
        is said($nginx, $reason), 2, 'says it again';
        is path($nginx->state_file)->slurp, $FOREIGN{$whose},
            'it is as it was';

        unlink $nginx->state_file or die "unlink: $!";
        is $nginx->reload, '', 'a reload when it is gone';
        is $nginx->turn('ci')->status, 200, 'another turn';
        $nginx->await_save->kill_all->again;
        is $nginx->turn('ci')->status, 429, 'makes it anew, with all of it';
        $nginx->stop;
    };
}

my $GONE = qr/a file of it was removed or replaced, which a reload makes anew/;

my %AWAY = (
    'removed'  => sub ($old, $new) { unlink $old or die "unlink: $!" },
    'replaced' => sub ($old, $new) { rename $new, $old or die "rename: $!" },
);
for my $how (sort keys %AWAY) {
    subtest "both files are $how" => sub {
        my $nginx = new_nginx()->serve;
        is $nginx->turn('ci')->status, 200, 'a turn';
        $nginx->await_save;
        is failures($nginx), 0, 'is saved';
        for my $suffix ('', '.2') {
            $AWAY{$how}->($nginx->state_file($suffix),
                $nginx->file("state/new$suffix", '', 0600));
        }
        is $nginx->turn('ci')->status, 200, 'another';
        await_failures($nginx);
        is said($nginx, $GONE), 1, 'is not, and the log says so once';
        is $nginx->reload, '', 'a reload';
        $nginx->await_save;
        $nginx->kill_all->again;
        is $nginx->turn('ci')->status, 429, 'saves all';
        $nginx->stop;
    };
}

# The other one is better than none.
for my $suffix ('', '.2') {
    subtest "main$suffix alone is removed" => sub {
        my $nginx = new_nginx()->serve;
        unlink $nginx->state_file($suffix) or die "unlink: $!";
        is $nginx->turn('ci')->status, $_, "a $_" for 200, 200, 429;
        $nginx->await_save for 1 .. 2;
        cmp_ok failures($nginx), '>', 0, 'that is counted';
        is said($nginx, $GONE), 1, 'and the log says so once';
        $nginx->kill_all->again;
        is $nginx->turn('ci')->status, 429, 'the other one has it all';
        $nginx->stop;
    };
}

done_testing;
