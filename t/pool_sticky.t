# Pools in front of servers that nginx chooses by what they have said before:
# the balancer is begun anew for each credential, and so is what it listens to.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Pool;
use Provider;

my $provider = Provider->new;
my $nginx    = Nginx->new;
plan skip_all => 'nginx has no sticky' if $nginx->version < 1.029006;

my $pool = Pool->new(provider => $provider, nginx => $nginx);
$pool->location($_, 4, '', pass => "http://$_") for qw(learn cookie);
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_admit any;
    keystile_allow GET,POST /**;
    keystile_pass_header Set-Cookie;
    upstream learn {
        zone learn 256k;
        server %%PROVIDER%%;
        sticky learn create=$upstream_http_x_session
            lookup=$http_session_id zone=sessions:256k header;
    }
    upstream cookie {
        zone cookie 256k;
        server %%PROVIDER%%;
        sticky cookie srv_id;
    }
    server {
        listen 127.0.0.1:%%PORT%%;
CONF
    PROVIDER => $provider->address);

# Each request's credentials are refused, but for the last.
for my $name (qw(learn cookie)) {
    subtest $name => sub {
        $pool->fates($name => [401, ['X-Session' => 'a']],
            [429, ['X-Session' => 'b']], [401],
            [200, ['X-Session' => 'c']]);
        my $r = $pool->ask($name, headers => ['Session-Id' => 'a']);
        is $r->status, 200, 'the last credential is accepted';
        is $pool->sent, join(' ', map { "$name-$_" } 1 .. 4), 'after three';
        like +($r->all('set-cookie'))[-1], qr/\Asrv_id=\w+/, 'the server is named'
            if $name eq 'cookie';
        is $pool->ask($name)->status, 200, 'the worker is there';
    };
}

$nginx->stop;
done_testing;
