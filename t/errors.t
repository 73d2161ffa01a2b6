# Our own errors, and nginx's in a location of ours: one JSON body, in the
# shape that the caller's SDK expects.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Nginx;
use Provider;
use Wire;

my $KEY       = 'sk-test-provider-0af3';
my $CANARY    = 'canary-7c1d';
my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
my $strange   = Provider->new(tls => Authority->new->issue('api.example.com'));
my $closed    = Provider->new->close;
my $nginx     = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [
    {id => 'ci', keys => ['sk-test-ci']},
    {id => 'late', keys => ['sk-test-old'], expires => '2020-01-01T00:00:00Z'},
    {id => 'away', keys => ['sk-test-away'], from => ['10.0.0.0/8']},
    {id => 'narrow', keys => ['sk-test-narrow'], allow => ['GET /other']},
]});

# The locations, once for each format.
my $LOCATIONS = <<'CONF';
    location /FORMAT/ {
        keystile_error_format FORMAT;
        client_max_body_size  1k;
        client_body_timeout   100ms;
        keystile_pass         http://%%PROVIDER%%;
    }
    location /FORMAT/foreign {
        keystile_error_format FORMAT;
        keystile_admit        any;
        keystile_foreign_keys reject;
        keystile_pass         http://%%PROVIDER%%;
    }
    location /FORMAT/slow {
        keystile_error_format FORMAT;
        keystile_read_timeout 100ms;
        keystile_pass         http://%%PROVIDER%%;
    }
    location /FORMAT/closed {
        keystile_error_format FORMAT;
        keystile_pass         http://%%CLOSED%%;
    }
    location /FORMAT/stranger {
        keystile_error_format FORMAT;
        keystile_ssl_name     api.example.com;
        keystile_pass         https://%%STRANGE%%;
    }
    location /FORMAT/misnamed {
        keystile_error_format FORMAT;
        keystile_ssl_name     api.example.org;
        keystile_pass         https://%%SECURE%%;
    }
CONF
my @FORMATS = qw(auto openai anthropic);

$nginx->start(<<'CONF' . join('', map { $LOCATIONS =~ s/FORMAT/$_/gr } @FORMATS)
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_inject      openai;
    keystile_allow       GET,HEAD,POST /*/*;
    keystile_ssl_trusted_certificate %%CA%%;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /plain { return 404; }
CONF
    . '}',
    PROVIDER => $provider->address,
    SECURE   => $secure->address,
    STRANGE  => $strange->address,
    CLOSED   => $closed->address,
    CA       => $authority->cert);
$nginx->tolerate(qr/SSL_do_handshake\(\) failed/);

sub as ($key) { return (Authorization => "Bearer sk-test-$key") }

my $GARBAGE = "\x00\x01 this is no HTTP\r\n\r\n";
my %REPLIES = (
    garbage => sub ($request) { $request->write($GARBAGE) },
    hangup  => sub ($request) { $request->connection->close },
    reset   => sub ($request) { $request->connection->reset },
    huge    => sub ($request) {
        $request->write("HTTP/1.1 200 OK\r\nX-A: " . 'a' x 100_000);
    },
    refuse  => sub ($request) { $request->reply(401, [], $CANARY) },
    silence => sub ($request) { },
);

# name => [status, type, code, whether a retry may help, request]
my %CASES = (
    'a bad target' => [400, 'invalid_request_error', 'bad_request_target', 0,
        target => "/%2e/$CANARY"],
    'a doubled key header' => [400, 'invalid_request_error',
        'duplicate_key_header', 0,
        headers => ['X-Api-Key' => $CANARY, 'X-Api-Key' => 'b']],
    'no key' => [401, 'authentication_error', 'invalid_api_key', 0],
    'an unknown key' => [401, 'authentication_error', 'invalid_api_key', 0,
        headers => [as($CANARY)]],
    'an expired key' => [401, 'authentication_error', 'invalid_api_key', 0,
        headers => [as('old')]],
    'an unknown path' => [403, 'permission_error', 'path_not_allowed', 0,
        target => "/a/$CANARY", headers => [as('ci')]],
    'a client that may not' => [403, 'permission_error', 'client_not_allowed',
        0, headers => [as('narrow')]],
    'an address' => [403, 'permission_error', 'address_not_allowed', 0,
        headers => [as('away')]],
    'a foreign credential' => [403, 'permission_error', 'foreign_credential',
        0, target => '/foreign', headers => [as($CANARY)]],
    'a method' => [405, 'invalid_request_error', 'method_not_allowed', 0,
        method => 'DELETE', headers => [as('ci')]],
    'a large body' => [413, 'invalid_request_error', 'payload_too_large', 0,
        method => 'POST', headers => [as('ci')], body => $CANARY x 1000],
    'a large chunked body' => [413, 'invalid_request_error',
        'payload_too_large', 0, method => 'POST',
        headers => [as('ci'), 'Transfer-Encoding' => 'chunked'],
        body => sprintf "%x\r\n%s\r\n0\r\n\r\n", 2000, 'x' x 2000],
    'a slow body' => [408, 'invalid_request_error', 'request_timeout', 1,
        method => 'POST', headers => [as('ci'), 'Content-Length' => 100],
        body => $CANARY],
    'an upgrade' => [426, 'invalid_request_error', 'websocket_not_allowed', 0,
        headers => [as('ci'), Connection => 'Upgrade', Upgrade => 'websocket']],
    'no provider' => [502, 'api_error', 'upstream_unavailable', 1,
        target => '/closed', headers => [as('ci')]],
    'a provider of another authority' => [502, 'api_error',
        'upstream_unavailable', 1,
        target => '/stranger', headers => [as('ci')]],
    'a provider of another name' => [502, 'api_error', 'upstream_unavailable',
        1, target => '/misnamed', headers => [as('ci')]],
    'a refused credential' => [503, 'api_error',
        'upstream_credential_rejected', 1,
        reply => 'refuse', headers => [as('ci')]],
    'a slow provider' => [504, 'api_error', 'upstream_timeout', 1,
        reply => 'silence', target => '/slow', headers => [as('ci')]],
    map { ("a broken reply: $_" => [502, 'api_error', 'upstream_unavailable',
        1, reply => $_, headers => [as('ci')]]) } qw(garbage hangup reset huge),
);

# Which shape a request gets.
my @SHAPES = (
    [auto      => 'openai'],
    [auto      => 'anthropic', 'Anthropic-Version' => '2023-06-01'],
    [openai    => 'openai',    'Anthropic-Version' => '2023-06-01'],
    [anthropic => 'anthropic'],
);

sub check_shape ($shape, $r, $type, $code) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $json    = $r->json // {};
    my $message = $json->{error}{message} // '';
    if ($shape eq 'openai') {
        is_deeply $json, {error => {message => $message, type => $type,
                param => undef, code => $code}}, 'the shape of OpenAI';
    }
    else {
        is_deeply $json, {type => 'error',
            error => {type => $type, message => $message},
            request_id => $r->header('x-request-id')},
            'the shape of Anthropic';
    }
    like $message, qr/\A[A-Z][\x20-\x7E]+\z/, "a message: $message";
    return;
}

sub check_error ($shape, $r, $status, $type, $code, $retry_helps) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->status, $status, "status $status" or diag $r->broken;
    ok $r->complete, 'complete';
    is $r->header('content-type'), 'application/json', 'content type';
    is $r->header('x-request-id'), 'req-test.1', 'request id';
    is $r->header('x-should-retry'), $retry_helps ? undef : 'false', 'retry';
    like $r->header('retry-after') // '', qr/\A[1-9]\d*\z/, 'Retry-After'
        if $status == 503;
    is_deeply [sort $r->tokens('allow')], [qw(get head post)], 'Allow'
        if $status == 405;
    check_shape($shape, $r, $type, $code) if $r->answers ne 'HEAD';
    unlike $r->head . $r->body, qr/\Q$CANARY\E|\Q$KEY\E/,
        'nothing of what was sent';
    unlike $r->body, qr/nginx|<html/i, 'no internals';
    return;
}

sub ask ($format, $more, %request) {
    my $reply = delete $request{reply};
    $provider->answer($REPLIES{$reply}) if $reply;
    my $r = request($nginx->port, %request,
        target  => "/$format" . ($request{target} // '/responses'),
        headers => [@{$request{headers} // []}, @$more,
            'X-Request-Id' => 'req-test.1', 'X-Canary' => $CANARY]);
    $provider->forget;
    return $r;
}

for my $name (sort keys %CASES) {
    my ($status, $type, $code, $retry_helps, %request) = @{$CASES{$name}};
    for my $case (@SHAPES) {
        my ($format, $shape, @more) = @$case;
        subtest "$name, $format @more" => sub {
            check_error($shape, ask($format, \@more, %request),
                $status, $type, $code, $retry_helps);
        };
    }
    next if $request{method} || $status == 426;
    subtest "$name, to HEAD" => sub {
        my $r = ask('auto', [], %request, method => 'HEAD');
        check_error('openai', $r, $status, $type, $code, $retry_helps);
        is $r->body, '', 'no body';
    };
}

subtest 'an id of our own' => sub {
    for my $bad ('a b', 'x' x 129, "a\"b\\") {
        my $r = request($nginx->port, target => '/anthropic/responses',
            headers => ['X-Request-Id' => $bad]);
        like $r->header('x-request-id'), qr/\A[\w.-]{16,128}\z/, 'in the head';
        is $r->json->{request_id}, $r->header('x-request-id'), 'in the body';
    }
};

my $r = request($nginx->port, target => '/plain');
like $r->body, qr/<html>/, 'other locations answer as nginx does';
is $r->header('x-request-id'), undef, 'without our headers';

$nginx->stop;
done_testing;
