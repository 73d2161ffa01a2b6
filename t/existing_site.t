# Locations without a keystile directive: the same bytes, up and down, as from
# an nginx without the module.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Wire;

my $KEY      = 'sk-test-provider-d940';
my $provider = Provider->new;

# An ordinary site. KEYSTILE is where the one with the module has its own.
my $SITE = <<'CONF';
    gzip on;
    gzip_types *;
    gzip_proxied any;
    gzip_min_length 1;
    upstream app { server %%PROVIDER%%; keepalive 4; }
    KEYSTILE_HTTP

    server {
        listen 127.0.0.1:%%PORT%%;
        root %%ROOT%%;
        error_page 404 /404.html;
        add_header X-Site one;

        location / { }
        location /return { return 200 "returned $request_uri"; }
        location /moved  { return 302 /elsewhere; }
        location /auth   { auth_basic site; auth_basic_user_file /none; }
        location /large  { client_max_body_size 1m; proxy_pass http://app; }
        location /app/   { proxy_pass http://app; }
        location /stream/ {
            proxy_pass http://app/;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection $http_connection;
            proxy_set_header Upgrade $http_upgrade;
        }
        location /key/ {
            proxy_set_header Authorization "Bearer own";
            proxy_pass http://app;
        }
        location /dead/  { proxy_pass http://127.0.0.1:1; }
        location /limits { limit_except GET { deny all; } return 200 get; }
        KEYSTILE_SERVER
    }
CONF

my $plain = Nginx->new(module => 0);
my $ours  = Nginx->new;
my $root  = $plain->dir . '/root';
$plain->file('root/index.html', "<p>hello</p>\n" x 100);
$plain->file('root/404.html', "not here\n");
$plain->file('root/data.json', '{"a":1}');
my %values = (ROOT => $root, PROVIDER => $provider->address);
$plain->start($SITE =~ s/KEYSTILE_\w+//gr, %values);

$ours->key_file('openai.key', $KEY);
$ours->start($SITE
    =~ s/KEYSTILE_HTTP/keystile_credential openai %%DIR%%\/openai.key;
        keystile_inject openai;
        keystile_admit any;
        keystile_key_headers x-agent-key;
        keystile_set_header X-Added yes;
        keystile_hide_header X-Reply;
        keystile_error_format anthropic;
        keystile_allow GET,POST \/**;/r
    =~ s/KEYSTILE_SERVER/location \/v1\/ { keystile_pass http:\/\/app; }/r,
    %values);

my %REPLIES = (
    'the usual' => sub ($request) {
        $request->reply(200, ['X-Reply' => 'a', 'Set-Cookie' => 'b=c',
            'OpenAI-Organization' => 'd', 'Content-Type' => 'text/plain'],
            'body ' x 100);
    },
    401 => sub ($request) {
        $request->reply(401, ['WWW-Authenticate' => 'Basic'], 'who?');
    },
    403  => sub ($request) { $request->reply(403, [], 'no') },
    500  => sub ($request) { $request->reply(500) },
    hung => sub ($request) { $request->connection->close },
    sse => sub ($request) {
        $request->reply(200, ['Content-Type' => 'text/event-stream',
            'Transfer-Encoding' => 'chunked'], "9\r\ndata: 1\n\n\r\n0\r\n\r\n");
    },
    upgrade => sub ($request) {
        return $request->reply(200) if !$request->wants_upgrade;
        $request->accept_websocket->send_frame('hello');
        $request->connection->close;
    },
);

# What client and provider saw, less what differs from one run to the next.
sub seen ($nginx, $reply, %request) {
    $provider->forget->answer($REPLIES{$reply});
    my $wire = Wire->connect($nginx->port)->expect($request{method} // 'GET');
    $wire->write(compose(%request));
    $wire->await_end;
    my $down = $wire->received =~ s/^Date: .*?\r\n//mr;
    my $port = $nginx->port;
    return $down =~ s/:$port\b/:PORT/gr,
        map { $_->connection->received } @{$provider->requests};
}

my @KEYS = (Authorization => 'Bearer sk-test-client', 'X-Api-Key' => 'a',
    'X-Agent-Key' => 'b', Cookie => 'c=d', 'X-Forwarded-For' => '10.0.0.1');
my @GZIP = ('Accept-Encoding' => 'gzip');
my @UPGRADE = (Connection => 'Upgrade', Upgrade => 'websocket',
    'Sec-WebSocket-Key' => 'c2l4dGVlbiBieXRlcyBvaw==');
my @REQUESTS = (
    ['the usual', target => '/'],
    ['the usual', target => '/', headers => [@GZIP]],
    ['the usual', target => '/', method => 'HEAD'],
    ['the usual', target => '/data.json', headers => [Range => 'bytes=1-2']],
    ['the usual', target => '/none'],
    ['the usual', target => '/', method => 'POST', body => 'a'],
    ['the usual', target => '/%2e%2e/..//index.html'],
    ['the usual', target => '/return?a=b', headers => [@KEYS]],
    ['the usual', target => '/moved'],
    ['the usual', target => '/auth'],
    ['the usual', target => '/limits', method => 'PUT'],
    ['the usual', target => '/large', method => 'POST',
        body => 'x' x 1_048_577],
    ['the usual', target => '/app/', method => 'POST', body => 'x' x 1_048_577],
    ['the usual', target => '/app/', method => 'POST', body => 'x' x 100_000],
    (map { [$_, target => '/app/%41/../b?c', headers => [@KEYS]] }
        sort keys %REPLIES),
    (map { [$_, target => '/stream/a', headers => [@KEYS, @GZIP]] }
        sort keys %REPLIES),
    (map { [$_, target => '/key/a', headers => [@KEYS]] } sort keys %REPLIES),
    ['upgrade', target => '/stream/socket', headers => [@UPGRADE, @KEYS]],
    ['upgrade', target => '/app/socket', headers => [@UPGRADE,
        Connection => 'close']],
    ['the usual', target => '/dead/'],
    ['the usual', target => '/', bare => 1, headers => []],
    ['the usual', target => '/', bare => 1, headers => [Host => 'a b']],
    ['the usual', target => '/', version => 'HTTP/1.0'],
);
for my $case (@REQUESTS) {
    my ($reply, %request) = @$case;
    my $name = join ' ', $request{method} // 'GET', $request{target},
        $request{version} // (), "@{$request{headers} // []}";
    is_deeply [seen($ours, $reply, %request)],
        [seen($plain, $reply, %request)], "$reply: $name";
}

is request($ours->port, target => '/v1/a', headers => [@KEYS])->status, 200,
    'and next to them, keystile';
is $provider->last->header('authorization'), "Bearer $KEY", 'at work';

$_->stop for $ours, $plain;
done_testing;
