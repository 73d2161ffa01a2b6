# Configurations that would send a credential where it must not go, or that
# would not do what they seem to: found by `nginx -t`. And what a location
# inherits.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Configuration;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY   = 'sk-test-provider-5afe';
my $nginx = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-client']}]});
configure_with($nginx, $KEY);

sub group (@servers) {
    return join ' ', 'upstream group {', map({ "server $_;" } @servers), '}';
}

subtest 'http:// only to loopback and unix sockets' => sub {
    passes "http://$_", pass => "keystile_pass http://$_;"
        for qw(127.0.0.1 127.0.0.1:8080/v1 127.1.2.3:80 [::1] [::1]:80
        localhost localhost:8080 unix:/tmp/a.sock unix:/tmp/a.sock:/v1);
    my @remote = qw(192.0.2.1 10.0.0.1:80 169.254.169.254 [2001:db8::1]:80
        [::ffff:192.0.2.1] 128.0.0.1 126.255.255.255);
    for my $address (@remote) {
        fails "http://$address", 'insecure_upstream=on',
            pass => "keystile_pass http://$address;";
        passes "http://$address, meant so",
            pass => "keystile_pass http://$address insecure_upstream=on;";
        passes "https://$address", pass => "keystile_pass https://$address;";
    }

    my $pass = 'keystile_pass http://group;';
    passes 'a group on loopback', pass => $pass,
        http => group(qw(127.0.0.1:1 [::1]:1 unix:/tmp/a.sock));
    fails 'a group with one other server', 'insecure_upstream=on',
        pass => $pass, http => group('127.0.0.1:1', '192.0.2.1');
    fails 'a group with another server for backup', 'insecure_upstream=on',
        pass => $pass, http => group('127.0.0.1:1', '192.0.2.1 backup');
    fails 'a group that is defined later', 'insecure_upstream=on',
        pass => $pass,
        more => '}} ' . group('192.0.2.1') . ' server { location / {';
    passes 'a group of others, meant so', http => group('192.0.2.1'),
        pass => 'keystile_pass http://group insecure_upstream=on;';
    fails 'a name that is resolved later', 'insecure_upstream=on',
        http => 'resolver 127.0.0.1;',
        pass => 'keystile_pass http://api.example.invalid;';
    passes 'the same over TLS', http => 'resolver 127.0.0.1;',
        pass => 'keystile_pass https://api.example.invalid;';
    fails 'another word', 'insecure_upstream=on',
        pass => "keystile_pass http://127.0.0.1 $_;"
        for qw(insecure_upstream=off insecure_upstream insecure);
};

subtest 'the URL of keystile_pass' => sub {
    fails "keystile_pass $_", 'keystile_pass', pass => "keystile_pass $_;"
        for qw(127.0.0.1 ftp://127.0.0.1 http: http:// https:///v1
        http://127.0.0.1:99999 http://127.0.0.1/v1?a=1 http://127.0.0.1/a/../b
        http://127.0.0.1//v1 http://127.0.0.1/v1%2e
        http://$host https://$arg_host/v1 https://127.0.0.1/$arg_path);
    fails 'a group with a port', 'port', http => group('127.0.0.1:1'),
        pass => 'keystile_pass http://group:80;';
};

subtest 'to= binds a credential' => sub {
    my $bound = piece('credential') =~ s/;/ to=api.openai.com to=eu.example;/r;
    my $tls   = sub ($name) {
        return (credential => $bound, more => "keystile_ssl_name $name;",
            pass => 'keystile_pass https://127.0.0.1:9;');
    };
    passes "to $_", $tls->($_)
        for qw(api.openai.com eu.example API.OpenAI.com);
    fails "to $_", 'openai.*to=|to=.*openai', $tls->($_)
        for qw(api.openai.com.example openai.com evil.api.openai.com eu
        127.0.0.1);
    fails 'an address without a name', 'to=', credential => $bound,
        pass => 'keystile_pass https://127.0.0.1:9;';
    fails 'plain HTTP', 'to=', credential => $bound;
    fails 'plain HTTP with the right name', 'to=', credential => $bound,
        more => 'keystile_ssl_name api.openai.com;';
    passes 'a name from an outer level', credential => $bound,
        server => 'keystile_ssl_name api.openai.com;',
        pass   => 'keystile_pass https://127.0.0.1:9;';
    fails 'a group of another name', 'to=', credential => $bound,
        http => group('127.0.0.1:9'), pass => 'keystile_pass https://group;';
    passes 'a group with the name', credential => $bound,
        http => group('127.0.0.1:9'), pass => 'keystile_pass https://group;',
        more => 'keystile_ssl_name api.openai.com;';
    passes 'a name of the URL', credential => $bound,
        http => 'resolver 127.0.0.1;',
        pass => 'keystile_pass https://api.openai.com;';
};

subtest 'keystile_set_header is no way to send a credential' => sub {
    for my $name (qw(Authorization Proxy-Authorization X-Api-Key Api-Key
        X-Goog-Api-Key OpenAI-Api-Key)) {
        fails "keystile_set_header $_", 'keystile_set_header',
            more => "keystile_set_header $_ x;"
            for $name, lc $name, $name =~ tr/-/_/r;
    }
    fails 'the header of the credential in use', 'keystile_set_header',
        credential => piece('credential') =~ s/;/ header=X-Token;/r,
        more       => 'keystile_set_header x_token x;';
    fails "keystile_set_header $_", 'keystile_set_header',
        more => "keystile_set_header $_ x;"
        for qw(Connection Content-Length Transfer-Encoding Upgrade
        content_length X:A), '""', '"X A"';
};

subtest 'warnings' => sub {
    warns 'underscores off', 'underscores_in_headers',
        server => 'underscores_in_headers off;';
    warns 'a small body limit', 'client_max_body_size',
        more => 'client_max_body_size 1m;';
    warns 'a small body limit further out', 'client_max_body_size',
        server => 'client_max_body_size 1m;';
    passes 'a large one', more => 'client_max_body_size 64m;';
    passes 'none',        more => 'client_max_body_size 0;';
    warns 'a group whose name is no host', 'keystile_ssl_name',
        http => group('127.0.0.1:9'), pass => 'keystile_pass https://group;';
};

my $provider = Provider->new;
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_credential  second %%DIR%%/openai.key style=api-key;
    keystile_admit       any;
    keystile_inject      openai;
    keystile_allow       GET,POST /*/a query=x;
    keystile_set_header  X-Outer 1;
    keystile_set_header  X-Both outer;
    keystile_hide_header X-Hidden-Outer;
    keystile_error_format anthropic;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /none/ { keystile_pass http://%%PROVIDER%%; }
        location /own/ {
            keystile_set_header   X-Both own;
            keystile_hide_header  X-Hidden-Own;
            keystile_inject       second;
            keystile_error_format openai;
            keystile_pass         http://%%PROVIDER%%;
        }
        location /block/ {
            if ($arg_x) { set $anything 1; }
            limit_except GET { allow all; }
            keystile_pass http://%%PROVIDER%%;
            location /block/nested/ { }
        }
        location /large/ { keystile_pass http://%%PROVIDER%%; }
        location = /health { keystile_health; }
    }
CONF
my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub call ($target, %more) {
    return request($nginx->port, target => $target, %more);
}

subtest 'what a location inherits' => sub {
    $provider->answer(sub ($request) {
        $request->reply(200, ['X-Hidden-Outer' => 1, 'X-Hidden-Own' => 1]);
    });
    my $r       = call('/none/a');
    my $request = $verdict->admitted('without its own', $r);
    is join(' ', map { $request->header($_) // '-' } qw(x-outer x-both)),
        '1 outer', 'headers of the outer level go up';
    is_deeply [grep { /hidden/ } $r->names], ['x-hidden-own'],
        'and are hidden by it';
    is call('/none/b')->json->{type}, 'error', 'errors have its shape';

    my $own = Verdict->new(provider => $provider, key => $KEY,
        line => "api-key: $KEY");
    $r       = call('/own/a');
    $request = $own->admitted('with its own', $r);
    is join(' ', map { $request->header($_) // '-' } qw(x-outer x-both)),
        '- own', 'only those go up';
    is_deeply [grep { /hidden/ } $r->names], ['x-hidden-outer'],
        'only those are hidden';
    is call('/own/b')->json->{type}, undef, 'errors have its shape';
    $provider->answer(sub ($request) { $request->reply(200) });
};

subtest 'blocks inside a location' => sub {
    $verdict = Verdict->new(provider => $provider, key => $KEY);
    $verdict->admitted('if', call('/block/a?x=1'));
    $verdict->refused('if: the rules hold', call('/block/b?x=1'), 403);
    $verdict->admitted('limit_except', call('/block/a', method => 'POST'));
    $verdict->refused('limit_except: the rules hold',
        call('/block/b', method => 'POST'), 403);
    $verdict->refused('a nested location has no keystile_pass',
        call('/block/nested/a'), 404);
};

subtest 'a body of 20 MB by default' => sub {
    my $body = 'x' x 20_000_000;
    my $r    = call('/large/a', method => 'POST', body => $body);
    my $request = $verdict->admitted('passes', $r);
    ok $request->body eq $body, 'whole';
};

subtest 'keystile_health' => sub {
    my $r = call('/health');
    $verdict->refused('answers itself', $r, 200);
    ok $r->json, 'with JSON';
    $verdict->refused('HEAD', call('/health', method => 'HEAD'), 200);
    $verdict->refused('POST', call('/health', method => 'POST'), 405);
};

$nginx->stop;
done_testing;
