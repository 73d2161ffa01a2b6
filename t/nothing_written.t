# The real key is in nothing that nginx writes: no log at any level, no
# response, no file, no other upstream; and where keystile is the one who
# writes, no key of a client either.
#
# What nginx itself writes of a client's key, with or without keystile:
#   - at the level of debug, each request header, in a line that begins with
#     "http header:", and what proxy_pass sends as "http proxy header:";
#   - at info, both values of a doubled Authorization, when it refuses the
#     request, before any module has seen it;
#   - a query, with the request line, in most of its error lines;
#   - whatever the operator's log_format asks for: $http_authorization.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use File::Find ();
use Memory;
use MIME::Base64 qw(encode_base64);
use Mojo::File   qw(path);
use Nginx;
use Provider;
use Wire;

plan skip_all => 'needs an nginx with TLS'
    if !Nginx->new->is_built_with('http_ssl_module');

my $KEY    = fresh_key('real');
my $CLIENT = fresh_key('client');
my @NAMES  = qw(authorization proxy_authorization x_api_key api_key
    x_goog_api_key openai_api_key cookie host user_agent x_request_id connection
    upgrade sec_websocket_protocol content_type content_length x_echo
    www_authenticate set_cookie retry_after location server date);
my @OURS = map {"keystile_$_"}
    qw(client decision key_header credential request_id);
my $THEIRS = join ' ', map {"\$$_"}
    (map {"sent_http_$_"} @NAMES), (map {"upstream_http_$_"} @NAMES),
    (map {"upstream_$_"} qw(addr status response_time bytes_sent)),
    qw(request uri args status request_body_file request_completion);

my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('localhost'));
my $other     = Provider->new;
my $closed    = Provider->new->close;

my $CONF = <<'CONF';
    keystile_credential  openai    %%DIR%%/openai.key;
    keystile_credential  anthropic %%DIR%%/openai.key style=x-api-key;
    keystile_client_keys team      %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_inject      openai;
    keystile_allow       GET,HEAD,POST /*/responses;
    keystile_allow       GET           /*/responses websocket;
    keystile_ssl_trusted_certificate %%CA%%;
    client_body_buffer_size 8k;
    client_body_in_file_only on;

    log_format ours    '%%OURS%%';
    log_format theirs  '%%THEIRS%%';
    log_format request '%%HTTP%%';
    access_log %%DIR%%/ours.log    ours;
    access_log %%DIR%%/theirs.log  theirs;
    access_log %%DIR%%/request.log request;
    map $keystile_decision $mapped { default "$http_authorization"; }
    upstream retry {
        server %%CLOSED%% max_fails=0;
        server %%PROVIDER%% backup;
    }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/     { keystile_pass http://%%PROVIDER%%; }
        location /tls/    { keystile_pass https://localhost:%%SECURE_PORT%%; }
        location /x/      { keystile_inject anthropic;
                            keystile_pass http://%%PROVIDER%%; }
        location /retry/  { keystile_pass http://retry; }
        location /broken/ { keystile_pass http://%%CLOSED%%; }
        location /named/  {
            error_page 401 403 502 503 = @other;
            keystile_pass http://%%PROVIDER%%;
        }
        location /redirected/ {
            error_page 401 403 502 503 =200 /other/page;
            keystile_pass http://%%PROVIDER%%;
        }
        location @other  { proxy_pass http://%%OTHER%%; }
        location /other/ {
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_pass http://%%OTHER%%;
        }
        location /mirror/ {
            mirror        /other/mirror;
            auth_request  /other/auth;
            keystile_pass http://%%PROVIDER%%;
        }
        location /page/ {
            ssi on; ssi_types *;
            proxy_pass http://%%OTHER%%;
        }
        location /ssi/ {
            ssi on; ssi_types *;
            keystile_pass http://%%PROVIDER%%;
        }
        location /headers/ {
            add_header X-All "$upstream_http_authorization $http_x_real" always;
            add_header X-Ours "$keystile_credential $keystile_decision" always;
            keystile_set_header X-Who $keystile_client;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

my $nginx = Nginx->new(log_level => 'debug', workers => 2);
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => [$CLIENT]}]});
$nginx->start($CONF,
    CA          => $authority->cert,
    CLOSED      => $closed->address,
    OURS        => join(' ', map {"\$$_"} @OURS),
    HTTP        => join(' ', map {"\$http_$_"} @NAMES),
    OTHER       => $other->address,
    PROVIDER    => $provider->address,
    SECURE_PORT => $secure->port,
    THEIRS      => $THEIRS);

# In clear or in base64, as a whole or without its beginning.
sub has ($bytes, $key) {
    my $random = substr $key, -40;
    return 1 if index($bytes, substr $random, 0, 12) >= 0;
    return 1 if index($bytes, substr $random, -12) >= 0;
    return scalar grep {
        index($bytes, substr encode_base64('x' x $_ . $random, ''), 4, -4) >= 0
    } 0 .. 2;
}

my @KEYS = (Authorization => "Bearer $CLIENT");
my $received = '';    # by clients

sub call ($target, %request) {
    my $wire = Wire->connect($nginx->port);
    my $r = $wire->ask(target => $target, headers => [@KEYS], %request);
    $received .= $wire->received;
    $wire->close;
    return $r;
}

# All that happens to requests.
for my $at (qw(v1 tls x retry broken named redirected mirror ssi headers)) {
    my $target = "/$at/responses";
    for my $answer (
        [200, ['X-Echo' => 'no'], 'fine'],
        [200, [], 'a <!--#echo var="http_authorization" --> '
            . '<!--#include virtual="/other/include" --> page'],
        [401, ['X-Echo' => $KEY], "Who is $KEY?"],
        [403, ['X-Echo' => $KEY], "Who is $KEY?"],
        [500, [], 'broken'],
        )
    {
        $_->answer(sub ($request) { $request->reply(@$answer) })
            for $provider, $secure;
        call($target);
        call($target, method => 'POST', body => 'x' x 100);
        call($target, method => 'POST', body => 'x' x 100_000);
    }
    $_->answer(sub ($request) { $request->connection->reset })
        for $provider, $secure;
    call($target);
    $_->answer(sub ($request) { $request->write("nonsense\r\n\r\n") })
        for $provider, $secure;
    call($target);
    $_->answer(sub ($request) { $request->reply(200) })
        for $provider, $secure;
    call($target, headers => [Authorization => "Bearer $CLIENT-wrong"]);
    call($target, headers => ['X-Api-Key' => $CLIENT]);
    call($target, headers => [map { ('X-Api-Key' => $CLIENT) } 1, 2]);
    call("$target/none");
    call($target, method => 'DELETE');
    call("//$target");
    my $wire = Wire->handshake($nginx->port, target => $target,
        headers => [@KEYS, 'Sec-WebSocket-Protocol' =>
            "openai-insecure-api-key.$CLIENT, realtime"]);
    $received .= $wire->received;
    $wire->close;
}
$other->answer(sub ($request) {
    $request->reply(200, [],
        'a <!--#include virtual="/v1/responses" --> page');
});
call('/page/responses');
is $nginx->reload, '', 'a reload';
call('/v1/responses');
$nginx->key_file('openai.key', "$KEY $KEY");
isnt $nginx->reload, '', 'a reload that fails';
$nginx->key_file('openai.key', $KEY);

# Every file that nginx has made, and nginx -T.
my %written;
$written{'nginx -T'} = do {
    open my $output, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh',
        $nginx->binary, '-T', '-p', $nginx->dir, '-e',
        $nginx->dir . '/start.log', '-c', $nginx->dir . '/nginx.conf';
    local $/;
    <$output>;
};
File::Find::find({no_chdir => 1, wanted => sub {
    return if !-f || m{/(?:openai\.key|clients\.json)\z};
    $written{$_ =~ s/^\Q${\$nginx->dir}\E.//r} = path($_)->slurp;
}}, $nginx->dir);
$written{'the clients'}    = $received;
$written{'other upstream'} = join '', map { $_->received } @{$other->streams};

subtest 'the real key' => sub {
    cmp_ok length $written{'error.log'}, '>', 1_000_000,
        'there is much to look through';
    cmp_ok length $written{"$_.log"}, '>', 1000, "$_.log" for qw(ours theirs);
    ok scalar(grep {/^client_body/} keys %written), 'bodies in files';
    for my $name (sort grep { !/^client_body/ } keys %written) {
        ok !has($written{$name}, $KEY), "not in $name";
    }
    ok !(grep { has($written{$_}, $KEY) } grep {/^client_body/} keys %written),
        'not in a body';
};

subtest 'the key of a client' => sub {
    # proxy_pass logs a whole head in one entry.
    my @lines = split m{\n(?=\d{4}/\d\d/\d\d )}, $written{'error.log'};
    my @seen  = grep { has($_, $CLIENT) } @lines;
    cmp_ok scalar @seen, '>', 100, 'nginx logs it, at the level of debug';
    my $header = qr/\[debug\] [^"]* http(?: proxy)? header:\s*"/;
    is_deeply [grep { $_ !~ $header } @seen], [],
        'as one of the request headers, and not otherwise';
    ok has($written{'request.log'}, $CLIENT),
        'and where the operator asks for it';
    for my $name (sort keys %written) {
        next if $name =~ /\A(?:error\.log|request\.log|client_body.*)\z/;
        # proxy_pass passes what the client sent, with or without us.
        next if $name eq 'other upstream' || $name eq 'the clients';
        ok !has($written{$name}, $CLIENT), "not in $name";
    }
};

# Our own lines, at their levels.
subtest 'what keystile logs' => sub {
    my @ours = grep { !/\[debug\]/ && /keystile|credential/ } split /\n/,
        $written{'error.log'};
    cmp_ok scalar @ours, '>', 20, 'there are lines';
    ok !(grep { has($_, $CLIENT) } @ours), 'none has a key of a client';
};
$nginx->tolerate(qr/openai\.key/)->stop;

# A repeated Authorization is answered by nginx itself. It logs both values at
# info; error_log at notice or above is silent.
subtest 'a doubled header' => sub {
    my %logged = (
        Authorization => {debug => 1, info => 1, notice => 0, error => 0},
        'X-Api-Key'   => {debug => 1, info => 0, notice => 0, error => 0},
    );
    for my $level (qw(debug info notice error)) {
        for my $header (sort keys %logged) {
            my $new = Nginx->new(log_level => 'notice');
            $new->key_file('openai.key', $KEY);
            my %at = (PROVIDER => $provider->address, LEVEL => $level);
            $new->start(<<'CONF', %at);
                keystile_credential openai %%DIR%%/openai.key;
                keystile_admit      any;
                keystile_inject     openai;
                keystile_allow      GET /a;
                error_log           %%DIR%%/http.log %%LEVEL%%;
                server {
                    listen 127.0.0.1:%%PORT%%;
                    location / { keystile_pass http://%%PROVIDER%%; }
                }
CONF
            my $r = request($new->port, target => '/a',
                headers => [map { ($header => "Bearer $CLIENT") } 1, 2]);
            is $r->status, 400, "$header twice";
            $new->stop;
            my $log = path($new->dir . '/http.log')->slurp;
            is !!has($log, $CLIENT), !!$logged{$header}{$level},
                "at $level, "
                . ($logged{$header}{$level} ? 'both values are logged'
                    : 'nothing of it is logged');
        }
    }
};

# The same search, where there is something to be found.
subtest 'the check can fail' => sub {
    my $leaky = Nginx->new(module => 0, log_level => 'debug');
    $leaky->start(<<'CONF', PROVIDER => $provider->address, KEY => $KEY);
        server {
            listen 127.0.0.1:%%PORT%%;
            location / {
                proxy_set_header Authorization "Bearer %%KEY%%";
                proxy_pass http://%%PROVIDER%%;
            }
        }
CONF
    request($leaky->port);
    $leaky->stop;
    ok has($leaky->error_log, $KEY), 'proxy_set_header is in a debug log';
    ok has(path($leaky->dir . '/nginx.conf')->slurp, $KEY),
        'and in the configuration';
    ok has('x' . encode_base64("Bearer $KEY", ''), $KEY), 'base64 is seen';
};

done_testing;
