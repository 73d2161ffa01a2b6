# keystile_record: the file, whose it is, and what becomes of it when it is
# moved away, when nginx reloads, and when it is not one to be written to.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Configuration;
use Fcntl qw(:flock S_IMODE);
use Golden;
use Mojo::File qw(path);
use Nginx;
use Provider;
use Recorded;
use Wire;

my $provider = Provider->new;
$provider->answer(sub ($request) {
    $request->begin(200);
    $request->chunk($_)
        for unpack '(a400)*', response_events(input => 5, output => 6);
    $request->last_chunk;
});
my $nginx = Recorded->new(provider => $provider, workers => 2,
    clients => {ci => {}})->serve;
my $file = $nginx->record_file;

sub owner_and_mode ($path) {
    my @stat = stat $path or return 'none';
    return sprintf '%s %04o', scalar getpwuid $stat[4], S_IMODE($stat[2]);
}

my $mine = $> == 0 ? 'www-data 0600' : getpwuid($>) . ' 0600';
is owner_and_mode($file), $mine, 'the file is the workers\' alone';

my $model = 0;

# Sends that many turns at once; returns the wires.
sub start_turns ($count) {
    return map { $nginx->start_turn('ci', json => {model => 'm' . ++$model,
        text => 'x' x 3000}) } 1 .. $count;
}

subtest 'two workers, and rotations under traffic' => sub {
    my @wires;
    my @moved;
    for my $i (1 .. 5) {
        push @wires, start_turns(40);
        rename $file, "$file.$i" or die "rename: $!";
        push @moved, "$file.$i";
        kill USR1 => $nginx->master;
        push @wires, start_turns(20);
        await "file $i", sub { -e $file };
        $_->response for splice @wires;
    }
    my $last = 0;
    await 'a turn in the new file', sub {
        $nginx->turn('ci', json => {model => 'm' . ++$model, text => ''});
        return $last = -s $file;
    };
    my @lines;
    await 'all lines', sub {
        @lines = map { path($_)->slurp =~ /[^\n]*\n|[^\n]+/g } @moved, $file;
        return @lines >= $model;
    };
    my %seen;
    for my $line (@lines) {
        $line =~ /\A\{"time":.*"request":\{"model":"(m\d+)","text":"x*"\},
            "response":\{.*"total_tokens":11\}.*,"dropped":null.*\}\n\z/x
            or $line =~ /"text":"x*","model":"(m\d+)"/
            or fail("a torn line: $line");
        $seen{$1}++;
    }
    is scalar(keys %seen), $model, 'no line is lost';
    is_deeply [grep { $_ > 1 } values %seen], [], 'none is doubled';
    is owner_and_mode($_), $mine, "$_ is the workers' alone"
        for @moved, $file;
};

subtest 'a reload' => sub {
    my ($wire) = start_turns(1);
    is $nginx->reload, '', 'is done';
    $wire->response;
    my @lines = $nginx->recorded(sub {
        is $nginx->turn('ci')->status, 200, 'a turn' for 1 .. 3;
    }, 3);
    is $lines[-1]{dropped}, undef, 'is recorded';
    is owner_and_mode($file), $mine, 'in the same file';
    rename $file, "$file.after" or die "rename: $!";
    kill USR1 => $nginx->master;
    await 'the next file', sub {
        $nginx->turn('ci');
        return -s $file;
    };
    ok -s $file, 'which can still be moved';
};

subtest 'a turn that ends with its worker' => sub {
    my @before = $nginx->lines;
    $provider->answer(sub ($request) { });
    my $wire = $nginx->start_turn('ci', json => {model => 'late'});
    my $request = await 'the request', sub {
        my $last = $provider->last;
        return $last && $last->complete && $last->body =~ /late/ && $last;
    };
    $nginx->reload;
    $request->reply(200, undef, response_document());
    is $wire->response->status, 200, 'is answered';
    my @lines = $nginx->lines(@before + 1);
    is $lines[-1]{model}, 'late', 'is recorded';
};

subtest 'a turn that a fast stop cuts off' => sub {
    my @before = $nginx->lines;
    $provider->forget->hold;
    my $wire = $nginx->start_turn('ci', json => {model => 'cut off'});
    $provider->next_request;
    kill TERM => $nginx->master;
    $nginx->_await_exit;
    my @lines = $nginx->lines(@before + 1);
    is $lines[-1]{model}, 'cut off', 'is recorded';
    is $lines[-1]{dropped}, 'upstream_no_response', 'without an answer';
};

$nginx->tolerate(qr/open socket/)->stop;

my $KEY  = 'sk-test-provider-93bd11';
my $conf = Nginx->new;
$conf->key_file('openai.key', $KEY);
$conf->client_file({clients => [{id => 'ci', keys => ['sk-test-caller-9']}]});
configure_with($conf, $KEY);
my $dir = $conf->dir;

sub with ($words) { return (more => "keystile_record $words;") }

subtest 'configurations' => sub {
    passes 'a file', with("$dir/a.jsonl");
    passes 'all words', with("$dir/a.jsonl max=2m file_max=20g bodies=off");
    passes 'off', with('off');
    passes 'off within on', server => "keystile_record $dir/a.jsonl;",
        with('off');
    passes 'one file in two places', server => "keystile_record $dir/a.jsonl;",
        with("$dir/a.jsonl max=1m");
    fails 'off and more', '"off" stands alone', with('off max=1m');
    fails 'twice', 'is duplicate', more =>
        "keystile_record $dir/a.jsonl; keystile_record off;";
    fails 'a word that is none', "invalid \"$_\": expected",
        with("$dir/a.jsonl $_") for qw(maximum=1m max=1023 max=65m max=x
        max= bodies=yes file_max=-1 file_max=x);
    fails 'a word that is there twice', 'invalid "max=2m"',
        with("$dir/a.jsonl max=1m max=2m");
    fails 'a file with other lines', 'another directive writes to',
        http => "access_log $dir/other.log combined buffer=4k;",
        with("$dir/other.log");
    fails 'two bounds for one file', 'it has another "file_max" elsewhere',
        server => "keystile_record $dir/a.jsonl;",
        with("$dir/a.jsonl file_max=1g");
};

subtest 'files that are not written to' => sub {
    my $bad = "$dir/bad.jsonl";
    for my $mode (0622, 0660, 0604, 0666) {
        $conf->file('bad.jsonl', '', $mode);
        fails sprintf('mode %04o', $mode), 'its mode must be 0600, or 0640',
            with($bad);
    }
    $conf->file('bad.jsonl', '', 0640);
    passes 'mode 0640', with($bad);
    unlink $bad;
    my $target = $conf->file('target', 'precious', 0600);
    symlink $target, $bad or die "symlink: $!";
    fails 'a link', 'a regular file, and no link', with($bad);
    unlink $bad;
    link $target, $bad or die "link: $!";
    fails 'a second name', 'must not have other names', with($bad);
    unlink $bad;
    is path($target)->slurp, 'precious', 'neither is touched';
    system 'mkfifo', '-m', '600', $bad;
    fails 'a FIFO', 'it must be a regular file|No such device', with($bad);
    unlink $bad;
    mkdir $bad, 0700;
    fails 'a directory', 'Is a directory', with($bad);
    rmdir $bad;
    fails 'no directory', 'No such file', with("$dir/none/a.jsonl");

    mkdir "$dir/open" or die "mkdir: $!";
    for my $mode (0777, 01777, 0775) {
        chmod $mode, "$dir/open";
        fails sprintf('a directory of mode %04o', $mode),
            'others than the owner may write to its directory',
            with("$dir/open/a.jsonl");
    }
    chmod 0700, "$dir/open";
    fails 'a directory of root alone', 'user may not enter its directory',
        with("$dir/open/a.jsonl") if $> == 0;
    chmod 0755, "$dir/open";
    passes 'one of mode 0755', with("$dir/open/a.jsonl");
    is sprintf('%04o', S_IMODE((stat "$dir/open/a.jsonl")[2])), '0600',
        'where it is made for its owner alone';
    SKIP: {
        skip 'not root', 3 if $> != 0;
        chown scalar getpwnam('www-data'), -1, "$dir/open";
        fails 'a directory of the workers', 'must belong to root',
            with("$dir/open/a.jsonl");
    }
};

# As in a container without CAP_CHOWN. nginx would end at a reload.
subtest 'a file that cannot be given to the workers' => sub {
    my $fixed = $conf->file('fixed.jsonl', '', 0600);
    plan skip_all => 'needs root, and files that can only grow'
        if $> != 0 || system("chattr +a $fixed 2>/dev/null") != 0;
    my $other = Recorded->new(provider => $provider, clients => {ci => {}},
        more => "keystile_record $fixed;")->serve;
    $other->tolerate(qr/fchown\(\) of "\Q$fixed\E" failed/,
        qr/\Q$fixed\E.*cannot be opened/);
    is $other->reload, '', 'a reload goes well';
    my $answer = $provider->answer;
    $provider->answer(sub ($request) { $request->reply(200) });
    is $other->turn('ci')->status, 200, 'and so does a turn';
    like $other->error_log, qr/fchown\(\) of "\Q$fixed\E" failed/,
        'the log says it';
    $other->stop;
    $provider->answer($answer);
    system 'chattr', '-a', $fixed;
};

subtest 'a log of all that happens' => sub {
    my $debug = Recorded->new(provider => $provider, log_level => 'debug',
        clients => {ci => {}})->serve;
    $provider->forget;
    my $line = $debug->recorded(sub { $debug->turn('ci') });
    is $line->{status}, 200, 'is no hindrance';
    $debug->stop;
};

done_testing;
