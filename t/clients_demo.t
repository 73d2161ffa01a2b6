# `./dev run`, as a newcomer uses it: what it prints is all that Codex gets.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Await;
use Child;
use Codex;
use IO::Socket::IP;
use Mojo::File qw(path);
use Test::More;

# It may have to compile first.
use constant SECONDS => 300;

my $probe = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
my $port  = $probe->sockport;
close $probe;

# Where Debian's nginx has never been started, the directories of its own are
# not there, and only root can make them.
my $conf  = path('demo/nginx.conf')->slurp;
my @temps = map {tr/-/_/r} qx(/usr/sbin/nginx -V 2>&1) =~ /--http-(\S+)-path=/g;
like $conf, qr/^ +${_}_path +\@TEMP@/m, "${_}_path is where it may be"
    for grep {/_temp\z/} @temps;

my $demo = Child->start(command => ['./dev', 'run', '--port', $port]);

await "the demo on port $port", sub {
    die 'it has ended: ' . $demo->err . "\n" if $demo->ended;
    return IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port);
}, SECONDS;

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

kill QUIT => $demo->pid;
is $demo->finish->exit, 0, 'it quits';
unlike $demo->err, qr/\[(?:alert|crit|emerg)\]/, 'without a fault';

done_testing;
