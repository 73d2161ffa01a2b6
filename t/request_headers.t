# What goes upstream: every header but those that carry a credential, tell
# about the client, or belong to its connection.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY       = 'sk-test-provider-b7d2';
my $LEAK      = 'leak-1d0e';
my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
# Not even at this level may the key be logged.
my $nginx = Nginx->new(log_level => 'debug');
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai    %%DIR%%/openai.key;
    keystile_credential anthropic %%DIR%%/openai.key style=x-api-key;
    keystile_credential azure     %%DIR%%/openai.key style=api-key;
    keystile_credential gemini    %%DIR%%/openai.key style=x-goog-api-key;
    keystile_credential other     %%DIR%%/openai.key header=X-Other-Token
                                                     "prefix=Token ";
    keystile_admit      any;
    keystile_allow      GET,POST /*/responses query=a;
    keystile_inject     openai;
    keystile_key_headers authorization x-agent-key;
    upstream group { server %%PLAIN%%; }
    upstream tls   { server %%SECURE%%; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/    { keystile_pass http://%%PLAIN%%; }
        location /group/ { keystile_pass http://group; }
        location /socket/ {
            keystile_allow GET /socket/responses websocket;
            keystile_pass  http://%%PLAIN%%;
        }
        location /set/ {
            keystile_set_header X-Team "core $arg_a";
            keystile_set_header User-Agent "";
            keystile_set_header Anthropic-Version 2023-06-01;
            keystile_pass http://%%PLAIN%%;
        }
        location /tls/ {
            keystile_pass     https://tls;
            keystile_ssl_name api.example.com;
            keystile_ssl_trusted_certificate %%CA%%;
        }
        location /anthropic/ {
            keystile_inject anthropic; keystile_pass http://%%PLAIN%%;
        }
        location /azure/ {
            keystile_inject azure; keystile_pass http://%%PLAIN%%;
        }
        location /gemini/ {
            keystile_inject gemini; keystile_pass http://%%PLAIN%%;
        }
        location /other/ {
            keystile_inject other; keystile_pass http://%%PLAIN%%;
        }
    }
CONF
    PLAIN  => $provider->address,
    SECURE => $secure->address,
    CA     => $authority->cert);

my $verdict = Verdict->new(
    provider => $provider,
    key      => $KEY,
    secrets  => [$LEAK]);

# Sends the headers; returns what the provider got.
sub sent ($name, $headers, %more) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $response = request($nginx->port,
        target => '/v1/responses', headers => $headers, %more);
    return $verdict->admitted($name, $response) // Message->new;
}

subtest 'stripped, in any spelling' => sub {
    my @names = qw(
        Authorization Proxy-Authorization X-Api-Key Api-Key X-Goog-Api-Key
        OpenAI-Api-Key Ocp-Apim-Subscription-Key X-Agent-Key X-Other-Token
        Cookie OpenAI-Organization OpenAI-Project
        Forwarded Via X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto
        X-Forwarded-Server X-Forwarded-Whatever X-Real-IP Origin Referer
        X-Original-URL X-Rewrite-URL X-HTTP-Method-Override X-HTTP-Method
        X-Keystile-Client X-Keystile-Whatever Keep-Alive Proxy-Connection TE
        Trailer Upgrade
    );
    for my $name (@names) {
        my %spellings = map { $_ => 1 } $name, lc $name, uc $name,
            $name =~ tr/-/_/r, lc $name =~ tr/-/_/r, $name =~ s/-/_/r,
            $name =~ s/(.*)-/$1_/r;
        for my $spelling (sort keys %spellings) {
            my $request = sent("$spelling is stripped",
                [$spelling => "Bearer $LEAK", 'X-After' => 'kept']);
            is $request->header('x-after'), 'kept', 'and nothing else';
        }
    }
    sent("$_ is no framing", [$_ => $LEAK], method => 'POST', body => '{}')
        for qw(Content_Length Transfer_Encoding content_Length);
};

subtest 'named by Connection' => sub {
    my @hop = ('X-Hop' => $LEAK, 'X-After' => 'kept');
    my @values
        = ('X-Hop', 'close, X-Hop', 'x-hop,close', ' ,x-hop, ,', 'x_hop');
    for my $value (@values) {
        my $request = sent("Connection: $value", [Connection => $value, @hop]);
        is $request->header('x-after'), 'kept', 'the others stay';
    }
    sent('on the second of two lines',
        [Connection => 'close', Connection => 'X-Hop', @hop]);
    sent('on the first of two lines',
        [Connection => 'X-Hop', Connection => 'close', @hop]);
    my $request = sent('what we write is not for the client to name',
        [Connection =>
            'close, Authorization, Host, Content-Length, X-Request-Id'],
        method => 'POST', body => '{"a":1}');
    is $request->body, '{"a":1}', 'the body arrives';
    is $request->header('host'), $provider->address, 'the host stays';
    is scalar(() = $request->all('x-request-id')), 1, 'the id too';

    my $names = sub ($count) { join ',', map { "x-$_" } 1 .. $count };
    $request = sent('32 names', [Connection => $names->(32) . ',close',
            'X-1' => $LEAK, 'X-32' => $LEAK, 'X-33' => 'kept']);
    is $request->header('x-33'), 'kept', 'of which this is none';
    $verdict->refused("@$_ names",
        request($nginx->port, target => '/v1/responses', headers => [
            map { (Connection => $names->($_)) } @$_]),
        400, 'bad_request') for [33], [16, 17], [1000], [(1) x 5];
    $verdict->refused('many commas',
        request($nginx->port, target => '/v1/responses',
            headers => [Connection => 'x' . ',' x 100]),
        400, 'bad_request');
};

subtest 'kept as they are' => sub {
    my @kept = (
        'Accept'               => 'text/event-stream',
        'Content-Type'         => 'application/json',
        'Content-Encoding'     => 'zstd',
        'User-Agent'           => 'codex_exec/0.169.0 (Debian 12; x86_64)',
        'anthropic-version'    => '2023-06-01',
        'Anthropic-Beta'       => 'a,b',
        'OpenAI-Beta'          => 'responses_websockets=2026-02-06',
        'session_id'           => 'sess-1',
        'Session-Id'           => 'sess-2',
        'conversation_id'      => 'conv-1',
        'thread-id'            => 'thread-1',
        'x-codex-window-id'    => 'thread-1:3',
        'x-codex-turn-metadata' => '{"turn_id":"1","sandbox":"none"}',
        'x-codex-turn-state'   => 'gAAAA==',
        'x-openai-subagent'    => 'review',
        'chatgpt-account-id'   => 'acc-1',
        'originator'           => 'codex_exec',
        'version'              => '0.169.0',
        'x-client-request-id'  => 'thread-1',
        'x-stainless-lang'     => 'js',
        'Idempotency-Key'      => 'idem-1',
        'If-None-Match'        => '"etag"',
        'Range'                => 'bytes=0-1',
        'X-Meta'               => "caf\xC3\xA9 \"quoted\" \t tab",
        'X-Empty'              => '',
        'X-Multi'              => 'one',
        'x-multi'              => 'two',
    );
    my $request = sent('many headers', [@kept]);
    my %ours    = map { $_ => 1 }
        qw(host authorization connection x-request-id content-length);
    my @came = map { @$_ } grep { !$ours{lc $_->[0]} } @{$request->headers};
    is_deeply \@came, \@kept, 'arrive in order, unchanged';

    $request = sent('hardly any header', []);
    is_deeply [grep { $_ ne 'connection' } $request->names],
        [qw(authorization host x-request-id)], 'none is added but ours';
    is $request->version, 'HTTP/1.1', 'HTTP/1.1 upstream';
    is sent('HTTP/1.0', [], version => 'HTTP/1.0')->version, 'HTTP/1.1',
        'to a client with HTTP/1.0 too';
};

subtest 'Host' => sub {
    my @host = (Host => 'evil.example.com');
    is sent('an address', \@host)->header('host'), $provider->address,
        'is the upstream';
    is sent('a group', \@host, target => '/group/responses')->header('host'),
        'group', 'is the group';
    my $r = request($nginx->port,
        target => '/tls/responses', headers => \@host);
    is $r->status, 200, 'a TLS upstream';
    is_deeply [$secure->last->all('host')], ['api.example.com'],
        'is the name that was verified';
};

subtest 'the request id' => sub {
    my $both = sub ($name, @headers) {
        my $r = request($nginx->port,
            target => '/v1/responses', headers => \@headers);
        my $request = $verdict->admitted($name, $r) // Message->new;
        my @up      = map { $_->[1] }
            grep { lc($_->[0]) =~ tr/_/-/r eq 'x-request-id' }
            @{$request->headers};
        my @down = $r->all('x-request-id');
        is_deeply \@up, \@down, 'the same goes up and comes back';
        is scalar @up, 1, 'once';
        return $up[0] // '';
    };
    is $both->("$_ is kept", 'X-Request-Id' => $_), $_, 'as it is'
        for 'abc-1.2_3', 'A', 'x' x 128;
    my @bad = ('a b', 'x' x 129, '', 'a/b', 'a,b', '{"a":1}', "caf\xC3\xA9",
        'a:b', "a\tb", '$request_uri', '%0d%0a');
    for my $bad (@bad) {
        my $id = $both->("'$bad' is replaced", 'X-Request-Id' => $bad);
        like $id, qr/\A[A-Za-z0-9._-]{16,128}\z/, 'by one of ours';
    }
    isnt $both->('none'), $both->('and none again'), 'each has its own';
    like $both->('another spelling', x_request_id => 'mine'),
        qr/\A(?!mine)[\w.-]{16,}\z/, 'is none';
    $both->('two lines', 'X-Request-Id' => 'a1', 'x-request-id' => 'a2');
};

subtest 'Sec-WebSocket-Protocol' => sub {
    my @lists = (
        [["realtime, openai-insecure-api-key.$LEAK, openai-beta.realtime-v1"],
            'realtime openai-beta.realtime-v1'],
        [["OpenAI-Insecure-API-Key.$LEAK,realtime"], 'realtime'],
        [['realtime', "openai-insecure-api-key.$LEAK", 'b'], 'realtime b'],
        [["openai-insecure-api-key.$LEAK"], ''],
        [["xai-client-secret.$LEAK, realtime"], 'realtime'],
        [["realtime, rt_$LEAK"], 'realtime'],
        [['a,b', 'c'], 'a b c'],
    );
    $provider->answer(sub ($request) { $request->accept_websocket });
    for my $case (@lists) {
        my ($lines, $left) = @$case;
        my $wire = Wire->handshake($nginx->port,
            target  => '/socket/responses',
            headers => [map { ('Sec-WebSocket-Protocol' => $_) } @$lines]);
        my $request = $verdict->admitted("@$lines", $wire->message, 101);
        is join(' ', $request->tokens('sec-websocket-protocol')), $left,
            'leaves the other protocols';
        is !!$request->all('sec-websocket-protocol'), $left ne '',
            'and no empty line';
        is lc join(',', map { $request->header($_) // '-' }
            qw(connection upgrade sec-websocket-version)),
            'upgrade,websocket,13', 'the handshake goes up';
    }
    $provider->answer(sub ($request) { $request->reply(200) });
};

subtest 'keystile_set_header' => sub {
    my $request = sent('set', [x_team => 'mine', 'X-Team' => 'mine',
            'USER-AGENT' => 'curl', 'anthropic_version' => '1999-01-01',
            'X-After' => 'kept'],
        target => '/set/responses?a=x');
    is_deeply [map { @$_ } grep { $_->[0] =~ /team|version/i }
            @{$request->headers}],
        ['X-Team' => 'core x', 'Anthropic-Version' => '2023-06-01'],
        'replaces what the client sent';
    is $request->header('user-agent'), undef, 'an empty value removes';
    is $request->header('x-after'), 'kept', 'the others stay';
};

subtest 'where the credential stands' => sub {
    my %lines = (
        anthropic => "x-api-key: $KEY",
        azure     => "api-key: $KEY",
        gemini    => "x-goog-api-key: $KEY",
        other     => "X-Other-Token: Token $KEY",
    );
    for my $name (sort keys %lines) {
        my $own = Verdict->new(provider => $provider, key => $KEY,
            secrets => [$LEAK], line => $lines{$name});
        my $request = $own->admitted($name, request($nginx->port,
                target  => "/$name/responses",
                headers => [map { ($_ => $LEAK) } qw(Authorization X-Api-Key
                        Api-Key X-Goog-Api-Key),
                    $name eq 'other' ? qw(X-Other-Token x_other_token) : ()]));
        is $request->header('authorization'), undef, 'no Authorization'
            if $request;
    }
};

$nginx->stop;
done_testing;
