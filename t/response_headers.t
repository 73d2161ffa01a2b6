# What comes back: status and headers as the provider sent them, less what is
# not the client's business; and never the provider's word on our credential.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-90zq5w';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential the-openai-key %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,HEAD,POST /*/responses;
    keystile_inject     the-openai-key;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ {
            keystile_allow GET,HEAD,POST /v1/responses;
            keystile_allow GET           /v1/responses websocket;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /chosen/ {
            keystile_hide_header X-Internal;
            keystile_hide_header openai-version;
            keystile_pass_header OpenAI-Organization;
            keystile_pass        http://%%PROVIDER%%;
        }
        location /secret { return 200 "not to be seen"; }
    }
CONF

my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub call (%request) {
    return request($nginx->port, target => '/v1/responses', %request);
}

# What the client gets when the provider answers so.
sub answered (@reply) {
    $provider->answer(sub ($request) { $request->reply(@reply) });
    return call();
}

# The lines of a message under those names, of a list of names and values.
sub lines ($message, @pairs) {
    my %wanted = map { lc $pairs[$_ * 2] => 1 } 0 .. $#pairs / 2;
    return [sort map { join ': ', @$_ }
            grep { $wanted{lc $_->[0]} } @{$message->headers}];
}

subtest 'passed as sent' => sub {
    my @headers = (
        'Content-Type'                  => 'application/json; charset=utf-8',
        'Content-Encoding'              => 'gzip',
        'Cache-Control'                 => 'no-store',
        'Vary'                          => 'Origin',
        'Server'                        => 'cloudflare',
        'Date'                          => 'Fri, 01 Jan 2027 00:00:00 GMT',
        'OpenAI-Processing-Ms'          => '12',
        'openai-version'                => '2020-10-01',
        'openai-model'                  => 'gpt-5',
        'x-ratelimit-limit-requests'    => '60',
        'x-ratelimit-reset-tokens'      => '6m0s',
        'anthropic-ratelimit-requests-remaining' => '4',
        'x-codex-primary-used-percent'  => '12',
        'x-codex-turn-state'            => 'gAAAA==',
        'x-models-etag'                 => '"abc"',
        'Retry-After'                   => '3',
        'retry-after-ms'                => '2500',
        'x-should-retry'                => 'true',
        'request-id'                    => 'req_a',
        'cf-ray'                        => '8f-AMS',
        'Refresh'                       => '5; url=http://a/b',
        'X-Multi'                       => 'one',
        'x-multi'                       => 'two',
        'X-Text'                        => "caf\xC3\xA9 \"x\"",
    );
    my $r = answered(200, \@headers, "\x1f\x8b...");
    $verdict->admitted('an answer', $r);
    my @sent = map { "$headers[$_ * 2]: $headers[$_ * 2 + 1]" }
        0 .. $#headers / 2;
    is_deeply lines($r, @headers), [sort @sent], 'its headers';
    is $r->body, "\x1f\x8b...", 'its body';

    for my $status (200, 201, 202, 400, 402, 404, 409, 422, 429, 500, 503, 529)
    {
        $r = answered($status, ['X-Kept' => 'yes'], "body of $status");
        $verdict->admitted("status $status", $r, $status);
        is $r->body, "body of $status", 'its body';
        is $r->header('x-kept'), 'yes', 'its headers';
    }
};

# To have been asked is not undone by what its answer is like.
subtest 'conditions are for the provider' => sub {
    my @reply = (200, ['ETag' => '"a"',
        'Last-Modified' => 'Sun, 06 Nov 2022 08:49:37 GMT'], '{"a":1}');
    for my $method (qw(POST GET)) {
        for my $condition (['If-Match' => '"b"'], ['If-None-Match' => '*'],
            ['If-None-Match' => '"a"'],
            ['If-Modified-Since'   => 'Sun, 06 Nov 2022 08:49:37 GMT'],
            ['If-Unmodified-Since' => 'Sat, 05 Nov 2022 08:49:37 GMT']) {
            $provider->answer(sub ($request) { $request->reply(@reply) });
            my $r = call(method => $method, headers => $condition,
                $method eq 'POST' ? (body => '{}') : ());
            my $request = $verdict->admitted("$method, @$condition", $r);
            is $request->header($condition->[0]), $condition->[1],
                'which goes up';
            is $r->body, '{"a":1}', 'and is not judged here';
        }
    }
};

subtest 'answers without a body' => sub {
    my $r = answered(204, ['X-Kept' => 'yes'], '');
    $verdict->admitted('204', $r, 204);
    is $r->header('x-kept'), 'yes', 'its headers';
    $r = answered(304, ['ETag' => '"abc"'], '');
    $verdict->admitted('304', $r, 304);
    is $r->header('etag'), '"abc"', 'its headers';
    $provider->answer(sub ($request) {
        $request->reply(200, ['Content-Length' => 1234]);
    });
    $r = call(method => 'HEAD');
    $verdict->admitted('HEAD', $r);
    is $r->header('content-length'), 1234, 'the length of what GET would get';
};

subtest 'removed' => sub {
    my @removed = (
        'Set-Cookie'           => '__cf_bm=1; HttpOnly',
        'set-cookie'           => 'second=1',
        'OpenAI-Organization'  => 'org-secret',
        'openai-project'       => 'proj-secret',
        'Keep-Alive'           => 'timeout=5',
        'Proxy-Authenticate'   => 'Basic',
        'Proxy-Connection'     => 'keep-alive',
        'TE'                   => 'trailers',
        'Trailer'              => 'X-Sum',
        'Upgrade'              => 'h2c',
        'X-Hop'                => '1',
        'X-Other-Hop'          => '1',
        'X-Accel-Redirect'     => '/secret',
        'X-Accel-Expires'      => '3600',
        'X-Accel-Limit-Rate'   => '1',
        'X-Accel-Charset'      => 'koi8-r',
        'X-Accel-Buffering'    => 'yes',
        'X-Accel-Whatever'     => '1',
    );
    my $r = answered(200, ['Content-Type' => 'text/plain', @removed,
            Connection => 'keep-alive, X-Hop', Connection => 'x-other-hop',
            'X-After' => 'kept'], 'y' x 5000);
    $verdict->admitted('an answer', $r);
    is_deeply lines($r, @removed), [], 'none of them comes back';
    is $r->header('x-after'), 'kept', 'the others do';
    is $r->header('content-type'), 'text/plain', 'no charset is added';
    is length $r->body, 5000, 'X-Accel-Redirect is not obeyed';
};

subtest 'an event stream says it is not to be buffered' => sub {
    my $r = answered(200, ['Content-Type' => 'text/event-stream',
            'X-Accel-Buffering' => 'yes'], "data: 1\n\n");
    $verdict->admitted('an answer', $r);
    is_deeply [$r->all('x-accel-buffering')], ['no'], 'X-Accel-Buffering';
};

subtest 'redirects are passed, not followed' => sub {
    my @targets = ('http://evil.example.com/v1/responses', '/elsewhere',
        'http://' . $provider->address . '/v1/responses');
    for my $status (301, 302, 303, 307, 308) {
        for my $target (@targets) {
            my $r = answered($status, [Location => $target], 'moved');
            $verdict->admitted("$status to $target", $r, $status);
            is $r->header('location'), $target, 'the target is untouched';
            is $r->body, 'moved', 'its body';
        }
    }
};

# What no part of may reach the client.
my $ECHO = 'Incorrect API key provided: sk-test-******zq5w';

sub refuses_our_key ($name, $response) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $verdict->admitted("$name: sent up", $response, 503);
    my $said = $response->head . $response->body;
    unlike $said, qr/Incorrect|zq5w|sk-test|realm|X-Provider/i,
        "$name: nothing of the provider's comes back";
    is $response->json->{error}{code}, 'upstream_credential_rejected',
        "$name: our own error"
        if $response->answers ne 'HEAD';
    like $response->header('retry-after') // '', qr/\A[1-9]\d*\z/,
        "$name: Retry-After";
    is $response->header('x-should-retry'), undef, "$name: a retry may help";
    ok $response->complete, "$name: complete";
    return;
}

subtest 'the provider refuses our credential' => sub {
    my @headers = ('WWW-Authenticate' => 'Bearer realm="OpenAI"',
        'X-Provider' => 'secret', 'Content-Type' => 'application/json');
    my $body = sub ($type, $code) {
        return qq({"error":{"message":"$ECHO","type":"$type","param":null,)
            . qq("code":"$code"}});
    };
    my $unauthorized = $body->('invalid_request_error', 'invalid_api_key');
    refuses_our_key('401', answered(401, \@headers, $unauthorized));
    refuses_our_key('401 without a body', answered(401, \@headers, ''));
    refuses_our_key('401 with a large body',
        answered(401, \@headers, $ECHO x 20_000));
    refuses_our_key('401 until the end',
        answered(401, \@headers, $ECHO, framing => 'close'));
    refuses_our_key('401 to HEAD', call(method => 'HEAD'));
    refuses_our_key('401 to a POST', call(method => 'POST', body => '{}'));

    $provider->answer(sub ($request) {
        $request->begin(401, \@headers);
        $request->chunk($ECHO);
        $request->last_chunk;
    });
    refuses_our_key('401 in chunks', call());

    my @forbidden = (
        $body->('authentication_error',  'any'),
        $body->('invalid_request_error', 'invalid_api_key'),
        '{"type":"error","error":{"type":"authentication_error",'
            . qq("message":"$ECHO"}}),
    );
    for my $text (@forbidden) {
        refuses_our_key('403', answered(403, \@headers, $text));
        $provider->answer(sub ($request) {
            $request->begin(403, \@headers);
            $request->chunk($_) for split //, $text;
            $request->last_chunk;
        });
        refuses_our_key('403, byte by byte', call());
    }

    $provider->answer(
        sub ($request) { $request->reply(401, \@headers, $ECHO) });
    refuses_our_key('401 to a handshake',
        Wire->handshake($nginx->port, target => '/v1/responses')->message);

    like $nginx->error_log, qr/\[error\].*the-openai-key/,
        'the log names the credential';
    unlike $nginx->error_log, qr/Incorrect|zq5w/, 'and nothing else of it';
};

# What it says of it stays here but for the name of the error: see
# provider_echo.t.
subtest 'the provider refuses the request' => sub {
    my %bodies = (
        '{"error":{"message":"You may not use this model",'
            . '"type":"permission_error","code":"model_not_found"}}'
            => ': model_not_found',
        '{"error":{"message":"Country not supported","type":"request_forbidden"'
            . ',"code":"unsupported_country_region_territory"}}'
            => ': unsupported_country_region_territory',
        '<html>Forbidden</html>'                       => '',
        '<html>' . 'x' x 10_000 . '</html>'            => '',
        ''                                             => '',
        '{"error":{"message":"' . 'x' x 100_000 . '"}}' => '',
    );
    for my $body (sort keys %bodies) {
        my $from = length $nginx->error_log;
        my $r = answered(403, ['Content-Type' => 'text/x', 'X-A' => 1], $body);
        $verdict->admitted('403: ' . substr($body, 0, 50) . ', ' . length $body,
            $r, 403);
        is_deeply [@{$r->json->{error}}{qw(type code message)}],
            ['permission_error', 'upstream_forbidden',
            "The provider refused this request$bodies{$body}"], 'in our words';
        is $r->header('x-a'), undef, 'with none of its headers';
        is $r->header('x-should-retry'), 'false', 'once';
        my $name = $bodies{$body} =~ s/: //r || '-';
        like substr($nginx->error_log, $from),
            qr/\[warn\].*refused the request: it answered 403, "$name"/,
            'the log has the name, too';
    }
};

subtest 'hidden and passed by directive' => sub {
    my @headers = ('X-Internal' => 1, 'OpenAI-Version' => 2,
        'OpenAI-Organization' => 'org', 'OpenAI-Project' => 'proj',
        'X-After' => 3);
    $provider->answer(sub ($request) { $request->reply(200, \@headers) });
    my $r = call(target => '/chosen/responses');
    is_deeply lines($r, @headers),
        ['OpenAI-Organization: org', 'X-After: 3'], 'as told';
};

subtest 'x-request-id' => sub {
    my $r = answered(200, [], 'none of its own');
    like $r->header('x-request-id') // '', qr/\A[\w.-]{16,128}\z/, 'ours';
    $r = answered(200, ['X-Request-Id' => 'req_provider']);
    is_deeply [$r->all('x-request-id')], ['req_provider'], "the provider's";
    $r = answered(401, ['X-Request-Id' => 'req_provider']);
    is scalar(() = $r->all('x-request-id')), 1, 'one with our own errors';
};

subtest 'interim responses' => sub {
    $provider->forget->script("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            . "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
            . "Content-Length: 2\r\nX-Final: yes\r\n\r\nok");
    my $r = call();
    is $r->status, 200, 'the final one comes';
    is $r->header('x-final') . $r->body, 'yesok', 'whole';
};

$nginx->stop;
done_testing;
