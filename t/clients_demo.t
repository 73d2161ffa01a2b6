# `./dev run`, as a newcomer uses it: what it prints is all that Codex gets.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Await;
use Child;
use Codex;
use File::Temp ();
use IO::Socket::IP;
use Mojo::File qw(path);
use Test::More;
use Wire;

# It may have to compile first.
use constant SECONDS => 300;

sub free_port () {
    my $probe = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    return $probe->sockport;
}

# Once it says that it listens, it does.
sub started ($port, @command) {
    my $demo = Child->start(command => [@command, '--port', $port]);
    await "the demo on port $port", sub {
        die 'it has ended: ' . $demo->err . "\n" if $demo->ended;
        return $demo->out =~ /^keystile listens on .*^supports_websockets/ms;
    }, SECONDS;
    ok(IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port),
        'it listens');
    return $demo;
}

# The directory of the nginx that it started.
sub place_of ($demo) {
    my @nginx = grep { (slurped("$_/stat") =~ /\) \S (\d+) /)[0] == $demo->pid }
        grep { slurped("$_/cmdline") =~ /\Anginx: master/ } glob '/proc/[0-9]*';
    my ($place) = map { slurped("$_/cmdline") =~ / -p (\S+)/ } @nginx;
    return $place;
}

# Processes come and go.
sub slurped ($path) {
    open my $file, '<', $path or return '';
    local $/;
    return <$file> // '';
}

sub ok_end ($demo) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $place = place_of($demo);
    ok -d ($place // ''), 'it has a directory of its own';
    kill QUIT => $demo->pid;
    is $demo->finish->exit, 0, 'it quits';
    unlike $demo->err, qr/\[(?:alert|crit|emerg)\]/, 'without a fault';
    ok !-e $place, 'and leaves nothing behind';
    return;
}

my $port = free_port();

# Where Debian's nginx has never been started, the directories of its own are
# not there, and only root can make them.
my $conf  = path('demo/nginx.conf')->slurp;
my @temps = map {tr/-/_/r} qx(/usr/sbin/nginx -V 2>&1) =~ /--http-(\S+)-path=/g;
like $conf, qr/^ +${_}_path +\@TEMP@/m, "${_}_path is where it may be"
    for grep {/_temp\z/} @temps;

my $demo = started($port, './dev', 'run');

my ($config)
    = $demo->out =~ /^(model_provider = .*?^supports_websockets.*?)$/ms;
like $config, qr{^base_url = "http://127\.0\.0\.1:$port/v1"$}m,
    'it prints a configuration for Codex';

my ($variable, $key) = $demo->out =~ /\b(\w+_KEY)=(\S+) in its environment/;
ok $key, 'and the key to use';

my $turn = codex(config => $config, env => {$variable => $key});
is $turn->exit, 0, 'Codex is content' or diag $turn->err, $turn->errors;
like $turn->text, qr/\AHello!/, 'the demo provider\'s answer is shown';
unlike $turn->errors, qr/Reconnecting|Falling back/, 'at the first try';

ok_end($demo);

subtest 'where the port is taken' => sub {
    my $other = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my $late  = Child->start(
        command => ['./dev', 'run', '--port', $other->sockport]);
    is $late->finish->exit, 1, 'it fails';
    like $late->err, qr/\[emerg\] [^\n]*bind\(\)/, 'and says why';
    unlike $late->out, qr/listens/, 'and does not say that it listens';
};

# A file that nginx refuses, and says so, before it asks anyone for an address.
subtest 'a key in a file of any name' => sub {
    my $dir  = File::Temp->newdir('keystile-key-XXXXXX', TMPDIR => 1);
    my $file = path("$dir", q{a&b |c"d\e'f.key})->spurt('sk-test-demo-any');
    chmod 0644, $file;
    my $demo = Child->start(command =>
            ['./dev', 'run', '--port', free_port(), '--key-file', "$file"]);
    is $demo->finish->exit, 1, 'it does not start';
    like $demo->err, qr/\[emerg\] [^\n]*"\Q$file\E"[^\n]*/,
        'and names the file as it is';
};

# Nothing is built there again: what runs is what was built here.
subtest 'an ordinary user, in a checkout that a group can write to' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $user = getpwnam 'www-data' // plan skip_all => 'there is no www-data';
    my $tree = File::Temp->newdir('keystile-tree-XXXXXX', DIR => '/run');
    is system('sh', '-ec', <<'SH', 'sh', "$tree", $user), 0, 'there is one';
        umask 002
        mkdir -p "$1/t/lib" "$1/build/nginx"
        sed 's/^    build$/    :/' dev >"$1/dev"
        chmod 775 "$1" "$1/dev"
        cp -R demo "$1"
        cp t/lib/instrumented.sh "$1/t/lib"
        cp build/nginx/*.so "$1/build/nginx"
        chown -R "$2:$2" "$1"
SH
    my $port = free_port();
    my $demo = started($port, 'setpriv', "--reuid=$user", "--regid=$user",
        '--clear-groups', "$tree/dev", 'run');
    my $r = request($port,
        target  => '/v1/models',
        headers => [Authorization => 'Bearer sk-placeholder']);
    is $r->status, 200, 'it serves';
    ok_end($demo);
};

done_testing;
