# An nginx without TLS: https:// is an error that says why, before anything
# listens. To this machine itself, all is as it is elsewhere.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Configuration;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY    = 'sk-test-provider-no-tls-77ab';
my $CLIENT = 'sk-test-client-no-tls-' . 'c0ffee' x 6;
my $nginx  = Nginx->new;
plan skip_all => 'this nginx has TLS'
    if $nginx->is_built_with('http_ssl_module');

$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => [$CLIENT]}]});

configure_with($nginx, $KEY);
my $why = qr{"https://" needs [^\n]* --with-http_ssl_module};
fails 'an address',  $why, pass => 'keystile_pass https://192.0.2.1;';
fails 'this machine', $why, pass => 'keystile_pass https://127.0.0.1:9;';
fails 'a group', $why,
    http => 'upstream models { server 192.0.2.1; }',
    more => 'keystile_ssl_name api.openai.com;',
    pass => 'keystile_pass https://models;';
fails 'a name for a resolver', $why,
    server => 'resolver 192.0.2.1;',
    pass   => 'keystile_pass https://api.openai.com;';
fails 'http:// to another machine', qr/only to loopback/,
    pass => 'keystile_pass http://192.0.2.1;';
passes 'http:// to this machine';
passes 'directives of TLS, without effect',
    more => 'keystile_ssl_name a; keystile_ssl_protocols TLSv1.3;'
    . 'keystile_ssl_session_reuse off; keystile_ssl_verify_depth 2;';

my $provider = Provider->new;
my $socket   = Provider->new(unix => $nginx->dir . '/provider.sock');
$nginx->start(<<'CONF',
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_allow       POST /**;
    keystile_inject      openai;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /tcp/    { keystile_pass http://%%PROVIDER%%; }
        location /socket/ { keystile_pass http://unix:%%SOCKET%%; }
    }
CONF
    PROVIDER => $provider->address,
    SOCKET   => $nginx->dir . '/provider.sock');

for my $to (['/tcp/', $provider], ['/socket/', $socket]) {
    my ($target, $expected) = @$to;
    my $r = request($nginx->port, method => 'POST', target => $target,
        headers => [Authorization => "Bearer $CLIENT"], body => '{}');
    is $r->status, 200, "$target: passed on";
    is $expected->last->header('authorization'), "Bearer $KEY",
        "$target: with the provider's key";
    $r = request($nginx->port, method => 'POST', target => $target,
        headers => [Authorization => 'Bearer sk-test-none'], body => '{}');
    is $r->status, 401, "$target: not for others";
}

$nginx->stop;
done_testing;
