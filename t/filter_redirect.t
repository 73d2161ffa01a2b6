# A filter that gives up a reply while its upstream is open, and an error_page
# that leads to another location of ours: as with plain nginx, nobody gets an
# answer, and no worker ends. It needs a filter of another module that does so:
# nginx's for images, where it is installed.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Wire;

my $filter = '/usr/lib/nginx/modules/ngx_http_image_filter_module.so';
plan skip_all => 'libnginx-mod-http-image-filter is not installed'
    if !-e $filter;

my $provider = Provider->new;
my $nginx    = Nginx->new(main => "load_module $filter;");
my (undef, $loaded) = $nginx->test_config('');
plan skip_all => 'this nginx loads no module of Debian'
    if $loaded =~ /image_filter\S+ (?:version \d+ instead|is not binary compat)/;

$nginx->key_file("$_.key", "sk-test-$_-0c7e41") for qw(a b);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential a %%DIR%%/a.key;
    keystile_credential b %%DIR%%/b.key;
    keystile_admit  any;
    keystile_allow  GET,POST /**;
    keystile_inject a b;
    keystile_next_credential http_401 error timeout;
    keystile_zone   main 256k;
    keystile_meter  main;
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /ping { return 204; }
        location = /status { keystile_status main format=json; }
        location /a/ {
            image_filter  resize 10 10;
            error_page    415 = @b;
            keystile_pass http://%%PROVIDER%%;
        }
        location @b { keystile_pass http://%%PROVIDER%%; }
    }
CONF
$provider->answer(sub ($request) {
    $request->reply(200, ['Content-Type' => 'image/gif'], 'no image at all');
});
for my $method (qw(GET POST)) {
    $provider->requests([]);
    is request($nginx->port, target => '/a/x', method => $method,
        body => $method eq 'POST' ? '{}' : undef)->status, undef, $method;
    is scalar @{$provider->requests}, 2, 'went to both';
    is request($nginx->port, target => '/ping')->status, 204,
        'the worker is there';
}

# Each of the two locations has sent it: they are two requests.
my $totals = sub { request($nginx->port, target => '/status')->json->{totals} };
is $totals->()->{requests}, 4, 'each that went up is counted';
is $totals->()->{$_} // 0, 0, "$_: none" for qw(open);

$nginx->stop;
done_testing;
