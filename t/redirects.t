# A request that error_page takes from one location to another: its body goes
# up whole and framed once or not at all, and each location judges it anew.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-61c0';
my $CLIENT   = 'sk-test-client-9b7e';
my $first    = Provider->new;
my $provider = Provider->new;
my $plain    = Provider->new;
my $closed   = Provider->new->close;

# Where a request starts, and where error_page may take it from there.
my %STARTS = (
    closed  => 'http://%%CLOSED%%',
    missing => 'http://unix:%%DIR%%/missing.sock',
    live    => 'http://%%FIRST%%',
);
my @ENDS = qw(buffered unbuffered proxied streamed);
my $locations = '';
for my $start (sort keys %STARTS) {
    $locations .= <<"CONF" for @ENDS;
        location /$start/$_/ {
            keystile_request_buffering off;
            error_page    502 = \@$_;
            keystile_pass $STARTS{$start};
        }
CONF
}

# nginx calls a socket that is not there critical.
my $nginx = Nginx->new->tolerate(qr{\[crit\].* connect\(\) to unix:});
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => [$CLIENT]}]});
$nginx->start(<<'CONF' . "$locations }",
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_allow       POST /**;
    keystile_inject      openai;

    upstream group {
        server %%CLOSED%% max_fails=0;
        server %%PROVIDER%% backup max_fails=0;
    }
    server {
        listen 127.0.0.1:%%PORT%%;
        location @buffered { keystile_pass http://%%PROVIDER%%; }
        location @unbuffered {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location @proxied {
            proxy_http_version 1.1;
            proxy_pass http://%%PLAIN%%;
        }
        location @streamed {
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_pass http://%%PLAIN%%;
        }
        location /group/ {
            keystile_request_buffering off;
            keystile_pass http://group;
        }

        location /slow/ {
            client_body_timeout 100ms;
            error_page    408 = @buffered;
            keystile_pass http://%%FIRST%%;
        }
        location /slow/proxied/ {
            client_body_timeout 100ms;
            error_page    408 = @proxied;
            keystile_pass http://%%FIRST%%;
        }
        location /slow/unbuffered/ {
            client_body_timeout 100ms;
            keystile_request_buffering off;
            error_page    408 = @proxied;
            keystile_pass http://%%FIRST%%;
        }

        location /method/ {
            error_page    502 /again/;
            keystile_pass http://%%CLOSED%%;
        }
        location /method/get/ {
            error_page    502 = /again/get/;
            keystile_pass http://%%CLOSED%%;
        }
        location /again/ { keystile_pass http://%%PROVIDER%%; }
        location /again/get/ {
            keystile_allow GET /**;
            keystile_pass  http://%%PROVIDER%%;
        }

        location /open/ {
            keystile_admit any;
            error_page     401 502 = @buffered;
            keystile_pass  http://%%CLOSED%%;
        }
        location /bearer/ {
            error_page    502 = @bearer;
            keystile_pass http://%%CLOSED%%;
        }
        location @bearer {
            keystile_allow POST /** identity=bearer;
            keystile_pass  http://%%PROVIDER%%;
        }
CONF
    FIRST    => $first->address,
    PROVIDER => $provider->address,
    PLAIN    => $plain->address,
    CLOSED   => $closed->address);

my @ADMITTED = (Authorization => "Bearer $CLIENT");
my $verdict;

# Sends a request whose head announces a body, and what of it there is.
sub upload ($target, $framing, $bytes) {
    $_->forget for $first, $provider, $plain;
    $first->answer(sub ($request) { $request->write("no HTTP\r\n\r\n") });
    $verdict = Verdict->new(
        provider => $provider, key => $KEY, secrets => [$CLIENT]);
    my $wire = Wire->connect($nginx->port);
    $wire->expect('POST')->write(compose(
        method  => 'POST',
        target  => $target,
        headers => [@ADMITTED, @$framing],
        body    => $bytes));
    return $wire;
}

# The provider that a location ends at, and the one it does not.
sub ends ($end) {
    return $end =~ /buffered/ ? ($provider, $plain) : ($plain, $provider);
}

my @CHUNKED = ('Transfer-Encoding' => 'chunked');
my %WHOLE   = (
    'one chunk'   => [\@CHUNKED, "5\r\nhello\r\n0\r\n\r\n", 'hello'],
    'more chunks' => [\@CHUNKED, "2\r\nhe\r\n0003;a=b\r\nllo\r\n0\r\n\r\n",
        'hello'],
    'no chunk' => [\@CHUNKED, "0\r\n\r\n", ''],
    'a length' => [['Content-Length' => 5], 'hello', 'hello'],
);
for my $end (@ENDS) {
    subtest "a body that came with the head: $end" => sub {
        for my $start (sort keys %STARTS) {
            for my $name (sort keys %WHOLE) {
                my ($framing, $bytes, $body) = @{$WHOLE{$name}};
                my $wire = upload("/$start/$end/a", $framing, $bytes);
                is $wire->response->status, 200, "$start, $name";
                my ($at, $not) = ends($end);
                is_framed_once($at->last, $body);
                is scalar @{$not->requests}, 0, 'and nowhere else';
                is $first->last->body, $body, 'as the first one has it'
                    if $start eq 'live';
            }
        }
    };
}

sub is_framed_once ($request, $body) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok 0, 'nothing arrived' if !$request;
    is $request->body, $body, 'the body';
    is scalar @{[map { $request->all($_) }
            qw(content-length transfer-encoding)]}, 1, 'is framed once';
    is $request->connection->unread, '', 'and nothing follows it';
    is_deeply [Verdict->new(provider => $provider, key => $KEY,
        secrets => [$CLIENT])->credential_faults($request)], [],
        'the credential' if $request->connection->provider == $provider;
    return;
}

my %PARTS = (
    'a chunk of two' => [\@CHUNKED, "5\r\nhello\r\n",
        "5\r\nworld\r\n0\r\n\r\n"],
    'half a chunk'   => [\@CHUNKED, "a\r\nhello", "world\r\n0\r\n\r\n"],
    'half a length'  => [['Content-Length' => 10], 'hello', 'world'],
    'nothing'        => [\@CHUNKED, '', "5\r\nhello\r\n0\r\n\r\n"],
);
for my $end (@ENDS) {
    subtest "a body that is still arriving: $end" => sub {
        for my $name (sort keys %PARTS) {
            my ($framing, $part, $rest) = @{$PARTS{$name}};
            my $wire = upload("/missing/$end/a", $framing, $part);
            is_unsent($wire->response, "$name of it");

            $wire = upload("/live/$end/a", $framing, $part);
            $first->hold;
            my $request = $first->next_head;
            $wire->write($rest);
            await 'the whole body', sub { $request->complete };
            $request->write("no HTTP\r\n\r\n");
            is_unsent($wire->response, "$name, and the rest");
        }
    };
}

# Nobody but the first provider has seen a byte of the request.
sub is_unsent ($r, $name, $status = 502, $code = 'upstream_unavailable') {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    settle;
    is $r->status, $status, $name;
    is $r->json && $r->json->{error}{code}, $code, 'is one of our errors';
    like $r->header('x-request-id'), qr/\A[\w.-]+\z/, 'with an id';
    is join('', map { $_->received } map { @{$_->streams} } $provider, $plain),
        '', 'and no other provider sees a part of it';
    return;
}

subtest 'the next server of a group' => sub {
    for my $name (sort keys %WHOLE) {
        my ($framing, $bytes, $body) = @{$WHOLE{$name}};
        my $wire = upload('/group/a', $framing, $bytes);
        is $wire->response->status, 200, $name;
        is_framed_once($provider->last, $body);
    }
};

subtest 'a body that stops to arrive' => sub {
    for my $target ('/slow/a', '/slow/proxied/a') {
        for my $name (sort keys %PARTS) {
            my ($framing, $part) = @{$PARTS{$name}};
            my $wire = upload($target, $framing, $part);
            my $r    = $wire->response;
            is_unsent($r, "$target, $name of it", 408, 'request_timeout');
            is scalar @{$first->requests}, 0, 'nor does the first';
            is $wire->await_end, 'eof', 'the connection ends';
        }
    }
};

subtest 'a body that stops to arrive, after a part went up' => sub {
    for my $name (sort keys %PARTS) {
        my ($framing, $part) = @{$PARTS{$name}};
        my $wire = upload('/slow/unbuffered/a', $framing, $part);
        $first->hold;
        my $request = $first->next_head;
        is_unsent($wire->response, "$name of it", 408, 'request_timeout');
        is $wire->await_end, 'eof', 'the connection ends';
        like $request->connection->await_end, qr/eof|reset/,
            'so does the one to the provider';
        ok !$request->complete, 'who has but a part';
    }
};

sub call ($target, @headers) {
    $_->forget for $provider, $plain;
    $verdict = Verdict->new(
        provider => $provider, key => $KEY, secrets => [$CLIENT]);
    return request($nginx->port, method => 'POST', target => $target,
        headers => \@headers, body => 'hello');
}

subtest 'a method that error_page changed' => sub {
    $verdict->refused('is judged again', call('/method/a', @ADMITTED),
        405, 'method_not_allowed');
    my $request = $verdict->admitted('and admitted where it is allowed',
        call('/method/get/a', @ADMITTED));
    is $request && $request->method, 'GET', 'as what it is then';
};

subtest 'who it is' => sub {
    my @wrong = (Authorization => 'Bearer sk-test-wrong');
    $verdict->refused('from "any" to a set, without a key', call('/open/a'),
        401, 'invalid_api_key');
    $verdict->refused('with a wrong one', call('/open/a', @wrong),
        401, 'invalid_api_key');
    $verdict->admitted('with a good one', call('/open/a', @ADMITTED));
    $verdict->refused('to identity=bearer, with x-api-key',
        call('/bearer/a', 'X-Api-Key' => $CLIENT), 401, 'invalid_api_key');
    $verdict->admitted('with a bearer', call('/bearer/a', @ADMITTED));
    $verdict->admitted('with both', call('/bearer/a', @ADMITTED,
            'X-Api-Key' => $CLIENT));
};

$nginx->stop;
done_testing;
