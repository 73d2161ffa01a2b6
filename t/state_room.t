# A zone that is too small for what was counted: a reload with it fails, and a
# start with it leaves the state files alone. Both went on with what there was
# room for, and wrote that over all that the files had.

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

use constant CLIENTS => 600;    # more than there is room for in SMALL
use constant SMALL   => '128k';

my $KEPT = qr/its file holds more than there is room for/;

on_one_day();
my $provider = Provider->new;
$provider->answer(sub ($request) {
    $request->reply(200, undef, response_document(input => 5, output => 5));
});

my @many  = map {"many-$_"} 1 .. CLIENTS;
my $nginx = Kept->new(provider => $provider, clients => {
    (map { $_ => {} } @many, 'other'),
    ci => {limits => [{requests => 2, per => 'month'}]}});

sub with_size ($size) { $nginx->states_in('main', size => $size)->write_files }

sub contents () {
    return [map { path($nginx->state_file($_))->slurp } '', '.2'];
}

# How many were counted once; and the one who has nothing left.
sub counted () {
    my $status = $nginx->idle;
    my %of     = map { ($_->{id} // '') => $_->{totals}{requests} }
        @{$status->{clients}};
    return scalar grep { ($of{$_} // 0) == 1 } @many;
}

sub all_there ($name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is counted(), CLIENTS, "$name: all clients are there";
    is $nginx->turn('ci')->status, 429, 'and the limit is used up';
    return;
}

$nginx->serve;
is scalar(grep { $nginx->turn($_)->status != 200 } @many), 0, 'many turns';
is $nginx->turn('ci')->status, $_, "a $_" for 200, 200, 429;

subtest 'a reload' => sub {
    with_size(SMALL);
    like $nginx->reload,
        qr/"main" of 128k has no room for all that "main" of 1024k has/,
        'fails, and says why';
    all_there('nginx goes on');
    $nginx->await_save;
    is $nginx->status->{state}{failures}, 0, 'and saves';
    with_size('1m');
    $nginx->kill_all->again;
    all_there('what is in the files');
};

$nginx->quit;
my $before = contents();

subtest 'a start' => sub {
    my $log = length $nginx->error_log;
    with_size(SMALL);
    $nginx->again;
    like substr($nginx->error_log, $log), qr/\[error\][^\n]*$KEPT/,
        'says that nothing is saved';
    cmp_ok counted(), '<', CLIENTS, 'not all are there';
    is $nginx->turn('other')->status, 200, 'traffic goes on';
    await 'a failure', sub { $nginx->status->{state}{failures} }, 30;
    is $nginx->reload, '', 'a reload';
    like substr($nginx->error_log, $log), qr/(?:$KEPT.*){2}/s,
        'says it again';
    is_deeply contents(), $before, 'the files are as they were';

    my $level = $nginx->log_level;
    my ($exit, $said)
        = $nginx->log_level('crit')->test_config($nginx->write_files);
    $nginx->log_level($level);
    is $exit, 0, 'nginx -t passes';
    like $said, qr/\[error\][^\n]*$KEPT/, 'and says the same, whatever the log leaves out';
    is_deeply contents(), $before, 'the files are as they were';
};

subtest 'reloads without the files, and with them' => sub {
    $nginx->zone(SMALL)->write_files;
    is $nginx->reload, '', 'without';
    with_size(SMALL);
    my $log = length $nginx->error_log;
    is $nginx->reload, '', 'with';
    like substr($nginx->error_log, $log), $KEPT, 'that nothing is saved is said';
    my $failures = $nginx->status->{state}{failures};
    is $nginx->turn('other')->status, 200, 'a turn';
    await 'a failure',
        sub { $nginx->status->{state}{failures} > $failures }, 30;
    is_deeply contents(), $before, 'the files are as they were';
};

subtest 'a reload with too little, after that' => sub {
    with_size('132k');
    like $nginx->reload, qr/"main" of 132k has no room for all that is in/,
        'fails';
    is_deeply contents(), $before, 'the files are as they were';
    is $nginx->turn('other')->status, 200, 'traffic goes on';
};

subtest 'a start with enough' => sub {
    $nginx->quit;
    is_deeply contents(), $before, 'the files are as they were';
    with_size('1m');
    $nginx->again;
    all_there('after it');
    $nginx->quit;
};

subtest 'a reload with enough' => sub {
    $before = contents();
    with_size(SMALL);
    $nginx->again;
    with_size('1m');
    is $nginx->reload, '', 'passes';
    all_there('after it');
    $nginx->await_save;
    $nginx->kill_all->again;
    all_there('and saved');
};

# Where the files are others, what there was room for is all that there is.
subtest 'another file, after a start with too little' => sub {
    $nginx->quit;
    with_size(SMALL);
    $nginx->again;
    my $there = counted();
    $nginx->states_in('other', size => SMALL)->write_files;
    my $log = length $nginx->error_log;
    is $nginx->reload, '', 'a reload';
    is $nginx->reload, '', 'and another';
    unlike substr($nginx->error_log, $log), $KEPT, 'say nothing';
    await 'the state to be saved',
        sub { grep { -s $nginx->state_file($_) } '', '.2' };
    $nginx->kill_all->again;
    is counted(), $there, 'what was counted is in the other file';
};

# As one does it with files that are none of ours.
subtest 'files moved away, after a start with too little' => sub {
    $nginx->quit;
    $nginx->states_in('main', size => SMALL)->write_files;
    for my $size (SMALL, '1m') {
        $nginx->again;
        my $there = counted();
        cmp_ok $there, '>', 0, 'some are there';
        my @files = map { $nginx->state_file($_) } '', '.2';
        my @kept  = map { path($_)->slurp } @files;
        unlink @files;
        with_size($size);
        is $nginx->reload, '', "a reload with $size";
        is counted(), $there, 'what was counted goes on to be';
        await 'it to be saved', sub { grep { -s } @files };
        $nginx->quit;
        path($files[$_])->spurt($kept[$_]) for 0, 1;
        with_size(SMALL);
    }
    with_size('1m');
    $nginx->again;
};

$nginx->tolerate(qr/\[emerg\].*has no room for all/)->stop;
done_testing;
