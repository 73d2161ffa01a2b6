# What the next server of a group gets, and when: the same request, with the
# credential once; and never a POST of which a server has seen a byte.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY    = 'sk-test-provider-2e95';
my $first  = Provider->new;
my $second = Provider->new;
my $closed = Provider->new->close;

# What keystile_next_upstream may say. "default" says nothing.
my %CONDITIONS = (
    default => '',
    off     => 'keystile_next_upstream off;',
    error   => 'keystile_next_upstream error;',
    timeout => 'keystile_next_upstream timeout;',
    replies => 'keystile_next_upstream invalid_header http_500 http_502 '
        . 'http_503 http_504 http_429;',
    once    => 'keystile_next_upstream error timeout; '
        . 'keystile_next_upstream_tries 1;',
    brief   => 'keystile_next_upstream error timeout; '
        . 'keystile_next_upstream_timeout 1ms;',
);
# Where nobody answers, or only the second server, which is to be in time.
my %TIMEOUTS = (silent => '100ms', patient => patience(2) . 's');
my $locations = join '', map { <<"CONF" } sort keys %CONDITIONS;
        location /live/$_/   { $CONDITIONS{$_} keystile_pass http://live; }
        location /closed/$_/ { $CONDITIONS{$_} keystile_pass http://closed; }
        location /silent/$_/ {
            $CONDITIONS{$_}
            keystile_read_timeout $TIMEOUTS{silent};
            keystile_pass http://live;
        }
        location /patient/$_/ {
            $CONDITIONS{$_}
            keystile_read_timeout $TIMEOUTS{patient};
            keystile_pass http://live;
        }
CONF
$locations .= <<"CONF" for qw(refused missing);
        location /$_/ { $CONDITIONS{replies} keystile_pass http://$_; }
CONF

# nginx calls a socket that is not there critical.
my $nginx = Nginx->new->tolerate(qr{\[crit\].* connect\(\) to unix:});
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF' . "$locations }",
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,HEAD,POST,PUT,PATCH /**;
    keystile_inject     openai;

    upstream live {
        server %%FIRST%% max_fails=0;
        server %%SECOND%% backup max_fails=0;
    }
    upstream closed {
        server %%CLOSED%% max_fails=0;
        server %%SECOND%% backup max_fails=0;
    }
    upstream refused {
        server %%FIRST%% max_fails=0;
        server %%CLOSED%% backup max_fails=0;
    }
    upstream missing {
        server %%FIRST%% max_fails=0;
        server unix:%%DIR%%/missing.sock backup max_fails=0;
    }
    server {
        listen 127.0.0.1:%%PORT%%;
CONF
    FIRST  => $first->address,
    SECOND => $second->address,
    CLOSED => $closed->address);

my $BODY = 'x' x 100_000;
my %FAILURES = (
    close   => sub ($request) { $request->connection->close },
    reset   => sub ($request) { $request->connection->reset },
    partial => sub ($request) {
        $request->write("HTTP/1.1 200 OK\r\nX-A: b")->connection->close;
    },
    silence => sub ($request) { },
    garbage => sub ($request) { $request->write("no HTTP\r\n\r\n") },
    map { my $status = $_; ($status => sub ($request) {
        $request->reply($status, ['X-First' => 1], 'of the first');
    }) } 401, 429, 500, 502, 503, 504, 404, 200,
);

# What has become of the request: the status, and how often each server got it.
sub outcome ($place, $condition, $failure, $method, %more) {
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    my $verdict = Verdict->new(provider => $second, key => $KEY);
    $first->forget->answer($FAILURES{$failure});
    $second->forget;
    my %request = (method => $method, %more,
        $method =~ /^P/ ? (body => $BODY) : ());
    my $r = request($nginx->port, target => "/$place/$condition/a", %request);
    await 'what nobody answered', sub { $first->last } if $place eq 'silent';
    my ($before, $after) = ($first->last, $second->last);
    if ($after) {
        is_deeply [$verdict->credential_faults($after)], [], 'the credential';
        ok $after->body eq ($request{body} // ''), 'the body';
        is $after->head, $before->head, 'the head is the same' if $before;
    }
    return join ' ', $r->status, map { scalar @{$_->requests} } $first, $second;
}

# [condition, what the first server does, outcome of a GET, of a POST]
my @LIVE = (
    ['default', 'close',   '200 1 1', '502 1 0'],
    ['default', 'reset',   '200 1 1', '502 1 0'],
    ['default', 'partial', '200 1 1', '502 1 0'],
    ['default', 'silence', '200 1 1', '504 1 0'],
    ['default', 'garbage', '502 1 0', '502 1 0'],
    ['default', 500,       '500 1 0', '500 1 0'],
    ['default', 429,       '429 1 0', '429 1 0'],
    ['off',     'close',   '502 1 0', '502 1 0'],
    ['off',     'silence', '504 1 0', '504 1 0'],
    ['error',   'close',   '200 1 1', '502 1 0'],
    ['error',   'silence', '504 1 0', '504 1 0'],
    ['timeout', 'close',   '502 1 0', '502 1 0'],
    ['timeout', 'silence', '200 1 1', '504 1 0'],
    ['replies', 'garbage', '200 1 1', '502 1 0'],
    (map { ['replies', $_, '200 1 1', "$_ 1 0"] } 429, 500, 502, 503, 504),
    ['replies', 404,       '404 1 0', '404 1 0'],
    ['replies', 401,       '503 1 0', '503 1 0'],    # by ourselves
    ['replies', 200,       '200 1 0', '200 1 0'],
    ['once',    'close',   '502 1 0', '502 1 0'],
    ['brief',   'silence', '504 1 0', '504 1 0'],
);
subtest 'a server that fails' => sub {
    for my $case (@LIVE) {
        my ($condition, $failure, %expected) = (@$case[0, 1],
            GET => $case->[2], POST => $case->[3]);
        for my $method (sort keys %expected) {
            my $place = $failure ne 'silence' ? 'live'
                : $expected{$method} =~ /^504/ ? 'silent' : 'patient';
            is outcome($place, $condition, $failure, $method),
                $expected{$method}, "$method, $condition: $failure";
        }
    }
    is outcome('live', 'default', 'close', 'HEAD'), '200 1 1', 'HEAD';
    is outcome('live', 'default', 'close', 'PATCH'), '502 1 0', 'PATCH';
};

subtest 'a server that is not there' => sub {
    for my $method (qw(GET HEAD POST PUT PATCH)) {
        for my $condition (sort keys %CONDITIONS) {
            next if $condition eq 'brief';    # may pass, or not
            my $passed = $condition =~ /^(?:default|error)$/;
            is outcome('closed', $condition, 200, $method),
                $passed ? '200 0 1' : '502 0 0', "$method, $condition";
        }
    }
};

# What is left of the reply that was to be tried again is none of this answer.
subtest 'a next server that is not there either' => sub {
    $first->answer(sub ($request) {
        $request->reply(500, ['X-Request-Id' => 'req_first',
            'Content-Type' => 'text/plain', 'X-First' => 1], 'of the first');
    });
    for my $place (qw(refused missing)) {
        my $verdict = Verdict->new(provider => $second, key => $KEY);
        my $r = request($nginx->port, target => "/$place/a",
            headers => ['X-Request-Id' => 'of-the-client']);
        $verdict->refused($place, $r, 502, 'upstream_unavailable');
        is join(' ', $r->all('x-request-id')), 'of-the-client', 'the id';
        is $r->header('x-first'), undef, 'no header of the first reply';
        unlike $r->body, qr/of the first/, 'nor its body';
    }
};

subtest 'a reply that has begun is not tried again' => sub {
    $first->forget->answer(sub ($request) {
        $request->begin(200);
        $request->chunk('begun');
        $request->connection->close;
    });
    $second->forget;
    my $r = request($nginx->port, target => '/live/default/a');
    ok !$r->complete && $r->body eq 'begun', 'it is cut';
    is scalar @{$second->requests}, 0, 'the other server sees nothing';
};

subtest 'configurations' => sub {
    my $conf = <<'CONF';
        keystile_credential openai %%DIR%%/openai.key;
        keystile_admit any; keystile_allow GET /**; keystile_inject openai;
        server { location / { keystile_next_upstream WORDS;
            keystile_pass http://127.0.0.1; } }
CONF
    my %words = ('error timeout' => 0, 'off' => 0, 'non_idempotent' => 1,
        'error non_idempotent' => 1, 'http_401' => 1, 'updating' => 1);
    for my $words (sort keys %words) {
        my ($exit, $said) = $nginx->test_config($conf =~ s/WORDS/$words/r);
        is $exit, $words{$words}, $words or diag $said;
    }
};

$nginx->stop;
done_testing;
