# conf-examples/oauth-refresh: two runs at one time, runs that are killed, and
# reloads that fail. A login is spent once, never lost on the disk, and never
# half there.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use CodexAuth;
use Fcntl qw(:flock);
use File::Temp ();
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use TokenEndpoint;

my $dir  = File::Temp->newdir;
my $file = "$dir/auth.json";
my $mark = "$dir/mark";
my @RELOAD = ('--reload', "echo reloaded >> $mark");

sub write_text ($path, $text) {
    open my $to, '>:raw', $path or die "$path: $!";
    print {$to} $text;
    close $to;
    chmod 0600, $path;
    return;
}

sub login ($path = $file) {
    unlink $mark, glob "$path*";
    my $auth = auth(expires => time + 60);
    write_text($path, encode_json($auth));
    return ($auth, TokenEndpoint->new(login => $auth));
}

sub tokens ($path = $file) { return decode_json(path($path)->slurp)->{tokens} }
sub reloads () { return -e $mark ? scalar(() = path($mark)->slurp =~ /\n/g) : 0 }

sub beside () {
    return [sort map { s/\A\Q$file\E\.//r } grep { !/\.lock\z/ }
            glob "$file.*"];
}

sub has_open ($pid, $path) {
    return scalar grep { (readlink $_ // '') eq $path } glob "/proc/$pid/fd/*";
}

sub is_renewed ($endpoint, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %now = %{tokens()};
    my %its = %{$endpoint->login->{tokens}};
    is_deeply [@now{qw(access_token refresh_token id_token)}],
        [@its{qw(access_token refresh_token id_token)}], $name;
    return;
}

subtest 'two runs at one time' => sub {
    my ($auth, $endpoint) = login();
    $endpoint->provider->hold;
    my $first  = $endpoint->start($file, @RELOAD);
    my $held   = $endpoint->provider->next_request;
    my $second = $endpoint->start($file, @RELOAD);
    await 'the second to wait',
        sub { has_open($second->{pid}, "$dir/auth.lock") };
    $endpoint->exchange($held);
    is $endpoint->finish($_)->{status}, 0, 'ends well' for $first, $second;
    is $endpoint->asked, 1, 'one request';
    is $second->{said}, '', 'the second has nothing to do';
    is reloads(), 1, 'one reload';
    is_renewed($endpoint, 'the new tokens are there');
};

# As Codex does when someone logs in.
subtest 'another owner of a lock' => sub {
    for my $name ("$dir/auth.lock", "$file.lock") {
        my ($auth, $endpoint) = login();
        open my $lock, '>', $name or die $!;
        flock $lock, LOCK_EX or die $!;
        my $run = $endpoint->start($file);
        await 'the run to wait', sub { has_open($run->{pid}, $name) };
        my $next = auth();
        write_text("$dir/next", encode_json($next));
        rename "$dir/next", $file;
        close $lock;
        is $endpoint->finish($run)->{status}, 0, 'ends well';
        is $endpoint->asked, 0, 'what it reads is what is there by then';
        is_deeply tokens(), $next->{tokens}, 'and stays';
    }
};

# Before each of the calls that make it last, in their order: the room for the
# next file, its directory; then the token is spent; the next file, the mark
# that nginx must read it, its directory; its new name, and the directory for
# that.
subtest 'killed' => sub {
    for my $point (map({"sync,$_"} 1 .. 5), 'rename,1', 'sync,6') {
        my $is_spent = $point !~ /sync,[12]/;
        my ($auth, $endpoint) = login();
        my $killed = do {
            local $ENV{PERL5OPT} = "-I$FindBin::Bin/lib -MCrashAt=$point";
            $endpoint->refresh($file, @RELOAD);
        };
        is $killed->{status}, 9, "$point: killed";
        is $endpoint->asked, $is_spent ? 1 : 0, 'when the token was spent';
        my $now = tokens()->{access_token};
        ok $now eq $auth->{tokens}{access_token}
            || $now eq $endpoint->login->{tokens}{access_token},
            'the file is the old one or the new one';
        is reloads(), 0, 'nginx was not told';

        my $next = $endpoint->refresh($file, @RELOAD,
            $is_spent ? ('--margin', 60) : ());
        is $next->{status}, 0, 'the next run ends well' or diag $next->{said};
        is $endpoint->asked, 1, 'with one request in all';
        is_renewed($endpoint, 'with the tokens of the first');
        is reloads(), 1, 'and tells nginx';
        is_deeply beside(), [], 'and leaves nothing';
    }
};

# A disk has no room, and the token is not spent.
subtest 'no room' => sub {
    my ($auth, $endpoint) = login();
    my $run = do {
        local $ENV{PERL5OPT} = "-I$FindBin::Bin/lib -MNoRoom=40000";
        $endpoint->refresh($file, @RELOAD);
    };
    is $run->{status}, 1, 'is a fault';
    like $run->{said}, qr/cannot write \S+\.new: File too large/, 'that is told';
    is $endpoint->asked, 0, 'before anything is spent';
    is_deeply tokens(), $auth->{tokens}, 'the login is as it was';
    is $endpoint->refresh($file, @RELOAD)->{status}, 0, 'with room, it is renewed';
    is_renewed($endpoint, 'as ever');
    is_deeply beside(), [], 'and nothing is left';
};

subtest 'killed at any moment' => sub {
    for my $round (1 .. 20) {
        my ($auth, $endpoint) = login();
        $endpoint->provider->hold;
        my $run = $endpoint->start($file, @RELOAD);
        $endpoint->exchange($endpoint->provider->next_request);
        # As much later as it takes to look at so many other things.
        glob "/proc/$$/fd/*" for 1 .. $round * 40;
        settle for 1 .. $round;
        kill KILL => $run->{pid};
        $endpoint->finish($run);
        my %is = map { $_->{tokens}{refresh_token} => 1 } $auth,
            $endpoint->login;
        ok eval { $is{tokens()->{refresh_token}} }, 'the file is whole';
    }
};

subtest 'what a run has left' => sub {
    my ($auth, $endpoint) = login();
    write_text("$file.new", substr encode_json($auth), 0, 200);
    is $endpoint->refresh($file)->{status}, 0, 'half a file';
    is $endpoint->asked, 1, 'is of no use';
    is_renewed($endpoint, 'and in no way');

    ($auth, $endpoint) = login();
    write_text("$file.new", encode_json(auth()));
    my $next = auth();
    write_text($file, encode_json($next));
    utime time - 9, time - 9, "$file.new";
    is $endpoint->refresh($file)->{status}, 0, 'a whole one that is older';
    is_deeply tokens(), $next->{tokens}, 'than a new login';
    is_deeply beside(), [], 'is removed';
};

subtest 'a reload that fails' => sub {
    my ($auth, $endpoint) = login();
    my $run = $endpoint->refresh($file, '--reload', 'exit 7');
    is $run->{status}, 1, 'is a fault';
    like $run->{said}, qr/"exit 7" failed/, 'which is said';
    is_renewed($endpoint, 'the tokens are there');
    is $endpoint->refresh($file, @RELOAD, '--margin', 60)->{status}, 0,
        'the next run';
    is reloads(), 1, 'tries again';
    is $endpoint->refresh($file, @RELOAD, '--margin', 60)->{status}, 0,
        'the one after it';
    is reloads(), 1, 'has no reason to';
    is $endpoint->asked, 1, 'there was one request';
};

subtest 'several files' => sub {
    my ($other)           = login("$dir/other.json");
    my ($auth, $endpoint) = login();
    my $third = "$dir/third.json";
    write_text($third, encode_json($auth));
    $endpoint->answer(sub ($request) {
        return $endpoint->exchange($request) if $request->body !~
            /\Q$other->{tokens}{refresh_token}/;
        $endpoint->refuse($request, 401, 'refresh_token_expired');
    });
    my $run = $endpoint->refresh($file, @RELOAD, "$dir/other.json");
    is $run->{status}, 3, 'the worst of them counts';
    like $run->{said}, qr/other\.json: .*log in again/, 'it is said of which';
    is_renewed($endpoint, 'one is renewed');
    is_deeply tokens("$dir/other.json"), $other->{tokens}, 'the other is not';
    is reloads(), 1, 'one reload';

    my ($first) = login("$dir/other.json");
    ($auth, $endpoint) = login();
    $endpoint->answer(sub ($request) {
        $endpoint->login(
            $request->body =~ /\Q$first->{tokens}{refresh_token}/
            ? $first : $auth);
        $endpoint->exchange($request);
    });
    $run = $endpoint->refresh($file, @RELOAD, "$dir/other.json");
    is $run->{status}, 0, 'two that are renewed';
    is $endpoint->asked, 2, 'each by itself';
    is reloads(), 1, 'and one reload for both';
};

done_testing;
