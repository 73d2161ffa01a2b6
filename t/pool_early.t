# A reply that is there before the request speaks of no credential: nothing is
# sent again for it, and what it leaves behind is no part of another reply.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Fcntl qw(O_NONBLOCK O_RDWR);
use Mojo::File qw(path);
use Nginx;
use Pool;
use POSIX qw(mkfifo);
use Provider;
use Wire;

my $provider = Provider->new;
my $nginx    = Nginx->new;
my $pool     = Pool->new(provider => $provider, nginx => $nginx);
$pool->location($_, 2) for qw(rejected limited);

# Where the worker stops at the end of a request, for as long as it is full.
my $fifo = $nginx->dir . '/fifo';
mkfifo($fifo, 0666) or die "mkfifo: $!";
sysopen my $pipe, $fifo, O_RDWR | O_NONBLOCK or die "$fifo: $!";
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_admit any;
    keystile_allow GET,POST /**;
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /stop { access_log %%DIR%%/fifo; return 204; }
CONF
    PROVIDER => $provider->address);

my %SAYS = (rejected => '401 Unauthorized', limited => '429 Too Many Requests');
my ($worker) = $nginx->worker_pids;
for my $name (sort keys %SAYS) {
    subtest $name => sub {
        $pool->fates($name);
        1 while syswrite $pipe, 'x' x 4096;
        my @wires = map { Wire->connect($nginx->port) } 1, 2;
        is request($nginx->port, target => "/$name/a")->status, 200,
            'both are accepted';
        $provider->forget;
        my $before = $provider->connections;

        # Both requests are read in one turn of the worker's loop: so the
        # reply to the first is there when it looks for events again. Until
        # it has stopped, it may wake up for the first alone.
        kill STOP => $worker;
        await 'the worker to stop',
            sub { path("/proc/$worker/stat")->slurp =~ /\) T/ };
        $wires[0]->expect->write(compose(target => "/$name/a",
            method => 'POST', body => '{}'));
        $wires[1]->expect->write(compose(target => '/stop'));
        kill CONT => $worker;
        await 'the connection',
            sub { $provider->connections > $before && $provider->streams->[0] };
        $provider->streams->[0]
            ->write("HTTP/1.1 $SAYS{$name}\r\nContent-Length: 0\r\n\r\n");
        settle;
        1 while sysread $pipe, my $text, 65536;

        is $wires[0]->response->status, $name eq 'limited' ? 429 : 503,
            'it is the answer';
        is $provider->connections, $before + 1, 'there was one try';
        is $pool->sent, '', 'without a credential';
        $pool->fates($name);
        is $pool->ask($name)->json->{by}, "$name-1", 'which is still good';
    };
}

$nginx->stop;
done_testing;
