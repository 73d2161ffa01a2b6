# keystile_socket_keepalive: whether the kernel probes a silent provider.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Mojo::File qw(path);
use Nginx;
use Provider;
use Wire;

# What the kernel waits for on a connection, as proc_net_tcp.txt has it.
use constant {
    NOTHING        => '00',
    RETRANSMISSION => '01',
    KEEPALIVE      => '02',
};

my $provider = Provider->new->hold;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', 'sk-test-provider-4a11');
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET /**;
    keystile_inject     openai;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /default/ { keystile_pass http://%%PROVIDER%%; }
        location /on/ {
            keystile_socket_keepalive on;
            keystile_pass http://%%PROVIDER%%;
        }
        location /off/ {
            keystile_socket_keepalive off;
            location /off/inside/ { keystile_pass http://%%PROVIDER%%; }
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

# The timer of nginx's end, once what it has sent is acknowledged.
sub timer ($connection) {
    my ($near, $far) = map { sprintf '0100007F:%04X', $_ }
        $connection->handle->peerport, $provider->port;
    return await 'the connection to be silent', sub {
        my ($row) = grep { index($_, ": $near $far ") >= 0 }
            split /\n/, path('/proc/net/tcp')->slurp;
        my ($timer) = ($row // '') =~ / \w+:\w+ (\w\w):\w+ /;
        return defined $timer && $timer ne RETRANSMISSION && $timer;
    };
}

my %expected = (
    '/default/'    => KEEPALIVE,
    '/on/'         => KEEPALIVE,
    '/off/'        => NOTHING,
    '/off/inside/' => NOTHING,
);
for my $place (sort keys %expected) {
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => $place));
    my $request = $provider->next_request;
    is timer($request->connection), $expected{$place}, $place;
    $request->reply(200);
    is $wire->response->status, 200, 'and it is served';
}

$nginx->stop;
done_testing;
