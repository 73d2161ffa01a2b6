# keystile_record: a disk that is slow, full, or bounded. Traffic does not
# notice; what is not written is counted, said once, and bounded in memory.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Fcntl qw(:flock);
use Golden;
use Mojo::File qw(path);
use Recorded;
use Wire;

use constant {
    BUDGET => 64 * 1024 * 1024,
    QUEUE  => 1024,
    LARGE  => 2_000_000,
};

# The figure of the process in /proc, in bytes.
sub memory ($pid, $name) {
    my ($kb) = path("/proc/$pid/status")->slurp =~ /^$name:\s+(\d+) kB$/m;
    return $kb * 1024;
}

# How often the log says so.
sub said ($nginx, $pattern) {
    return scalar(() = $nginx->error_log =~ /$pattern/g);
}

subtest 'a writer that waits' => sub {
    my $nginx    = Recorded->new(clients => {ci => {}})->serve;
    my $provider = $nginx->provider;
    my $large    = '{"text":"' . 'x' x LARGE . '"}';
    $provider->answer(sub ($request) { $request->reply(200, undef, $large) });
    $nginx->turn('ci');
    $nginx->lines(1);
    my $size = -s $nginx->record_file;
    my ($worker) = $nginx->worker_pids;
    my $before   = memory($worker, 'VmRSS');

    open my $lock, '<', $nginx->record_file or die "open: $!";
    flock $lock, LOCK_EX or die "flock: $!";
    my $count = int(BUDGET / LARGE) + 10;
    for (1 .. $count) {
        is length $nginx->turn('ci')->body, length $large, 'is answered'
            or last;
    }
    $provider->answer(sub ($request) { $request->reply(200, undef, '{}') });
    my $wire;
    my $small = QUEUE - $count + 50;
    for my $i (1 .. $small) {
        $wire = Wire->connect($nginx->port) if $i % 500 == 1;
        my $r = $wire->ask(method => 'POST', target => '/v1/responses',
            headers => [Metered::bearer('ci'), Connection => 'keep-alive'],
            body => '{}');
        $r->status == 200 or fail('is not answered'), last;
    }
    my $grown = memory($worker, 'VmRSS') - $before;
    cmp_ok $grown, '<', BUDGET * 1.5, 'memory is bounded'
        if !$ENV{KEYSTILE_SANITIZED};    # ASan keeps what is freed
    is -s $nginx->record_file, $size, 'nothing is written';
    await 'the log', sub { said($nginx, qr/turns are not written/) };
    close $lock;

    await 'all lines', sub {
        $nginx->turn('ci', json => {model => 'next'});
        return path($nginx->record_file)->slurp =~ /"model":"next"/;
    };
    open my $file, '<', $nginx->record_file or die "open: $!";
    my ($full, $over, $part, $torn) = (0, 0, 0, 0);
    while (my $line = <$file>) {
        $full++ if length $line > LARGE;
        $over++ if $line =~ /"dropped":"request_over_budget"/;
        $part++ if $line =~ /"response":.*"request_over_budget"/;
        $torn++ if $line !~ /\A\{"time":.*\}\n\z/;
    }
    cmp_ok $full, '>=', 20, 'bodies are kept';
    cmp_ok LARGE * $full, '<=', BUDGET + 3 * LARGE,
        'as many as there is room for';
    cmp_ok $over, '>=', 5, 'and others are not';
    is $part, 0, 'nor a part of them';
    is $torn, 0, 'all lines are whole';
    await 'the log', sub { said($nginx, qr/turns are written to .* again/) };
    is said($nginx, qr/turns are not written to .*: sem_full/), 1,
        'the log says so once';
    my ($lost) = $nginx->error_log =~ /again; (\d+) were not/;
    cmp_ok $lost, '>=', 40, 'and how many were lost';
    $nginx->stop;
};

subtest 'a worker that ends while its writer waits' => sub {
    my $nginx = Recorded->new(clients => {ci => {}})->serve;
    open my $lock, '<', $nginx->record_file or die "open: $!";
    flock $lock, LOCK_EX or die "flock: $!";
    is $nginx->turn('ci')->status, 200, 'a turn' for 1 .. 3;
    $nginx->stop;
    like $nginx->error_log, qr/3 turns were still to be written when/,
        'it ends all the same, and says so';
    is -s $nginx->record_file, 0, 'nothing was written';
};

subtest 'file_max' => sub {
    my $nginx = Recorded->new(clients => {ci => {}},
        record => 'file_max=4k')->serve;
    $nginx->provider->answer(sub ($request) {
        $request->reply(200, undef, response_document()) });
    for (1 .. 30) {
        is $nginx->turn('ci')->status, 200, 'a turn' or last;
    }
    await 'the log', sub { said($nginx, qr/turns are not written/) };
    my @lines = $nginx->lines;
    cmp_ok scalar @lines, '<', 10, 'is not exceeded by lines';
    cmp_ok -s $nginx->record_file, '<=', 4096, 'nor by bytes';
    is said($nginx, qr/are not written to "[^"]+": file_full/), 1,
        'which is said once';
    rename $nginx->record_file, $nginx->record_file . '.1' or die "$!";
    kill USR1 => $nginx->master;
    await 'a new file', sub {
        $nginx->turn('ci');
        return -s $nginx->record_file;
    };
    await 'the log', sub { said($nginx, qr/turns are written to .* again/) };
    pass 'a rotation makes room';
    $nginx->stop;
};

subtest 'a disk that is full' => sub {
    my $nginx = Recorded->new(clients => {ci => {}});
    my $dir   = path($nginx->dir, 'small')->make_path;
    plan skip_all => 'no file system can be mounted here'
        if $> != 0 || system 'mount', '-t', 'tmpfs', '-o',
            'size=64k,mode=755', 'keystile-test', "$dir";
    eval {
        $nginx->record_file("$dir/turns.jsonl")->serve;
        $nginx->provider->answer(sub ($request) {
            $request->reply(200, undef,
                '{"text":"' . 'x' x 9000 . '"}') });
        for (1 .. 20) {
            is $nginx->turn('ci')->status, 200, 'a turn' or last;
        }
        await 'the log', sub { said($nginx, qr/turns are not written/) };
        like $nginx->error_log, qr/: disk_full \(28: No space left/,
            'the log says why';
        my @lines = $nginx->lines;
        cmp_ok scalar @lines, '>=', 4, 'lines before it are whole';
        my $kept = path("$dir/turns.jsonl")->slurp;
        is substr($kept, -1), "\n", 'none is torn';

        truncate "$dir/turns.jsonl", 0;
        my $line = $nginx->recorded(sub { $nginx->turn('ci') });
        is $line->{status}, 200, 'with room again, there are lines';
        await 'the log', sub { said($nginx, qr/are written to .* again/) };
        is said($nginx, qr/turns are not written/), 1, 'it was said once';
        $nginx->stop;
        1;
    } or fail("died: $@");
    system 'umount', '-l', "$dir";
};

done_testing;
