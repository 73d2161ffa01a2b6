# The harness itself, against an nginx without keystile: a check counts only
# after it has been seen to see.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use File::Temp ();
use IO::Socket::IP;
use LeftOut;
use Mojo::File qw(path);
use Nginx;
use Provider;
use Verdict;
use Wire;

my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
my $nginx     = Nginx->new(module => 0);
my $local     = Provider->new(unix => $nginx->dir . '/provider.sock');
$nginx->start(<<'CONF',
    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 100m;
        proxy_http_version 1.1;
        proxy_buffering off;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;

        location /      { proxy_pass http://%%PLAIN%%; }
        location /unix/ { proxy_pass http://%%LOCAL%%; }
        location /tls/  {
            proxy_pass https://%%SECURE%%;
            proxy_ssl_verify on;
            proxy_ssl_server_name on;
            proxy_ssl_name api.example.com;
            proxy_ssl_trusted_certificate %%CA%%;
        }
    }
CONF
    PLAIN  => $provider->address,
    LOCAL  => $local->address,
    SECURE => $secure->address,
    CA     => $authority->cert);

sub open_request ($target) {
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => $target));
    return ($wire, $provider->next_request);
}

subtest 'a request and its answer' => sub {
    my $r = request($nginx->port,
        target => '/a?b', headers => ['X-A' => 1, 'x-a' => 2]);
    is $r->status, 200, 'status';
    ok $r->complete, 'complete';
    is $r->json->{ok}, 1, 'body';
    is $provider->last->target, '/a?b', 'target';
    is_deeply [$provider->last->all('x-A')], [1, 2], 'repeated headers';
    is $provider->connections, 1, 'connections';
};

subtest 'unix sockets and TLS' => sub {
    my $r = request($nginx->port, target => '/unix/', method => 'HEAD');
    is $r->status, 200, 'HEAD';
    ok $r->complete && $r->body eq '', 'which has no body';

    my $body = 'x' x 1_000_000;
    $r = request($nginx->port,
        target => '/tls/', method => 'POST', body => $body);
    is $r->status, 200, 'POST over TLS';
    is length $secure->last->body, length $body, 'body';
    is $secure->last->connection->server_name, 'api.example.com', 'SNI';
};

subtest 'a stream, event by event' => sub {
    $provider->forget->hold;
    my ($wire, $request) = open_request('/stream');
    $request->begin(200);
    $request->chunk("data: $_\n\n") && $wire->await_bytes(qr/data: $_/)
        for 1 .. 3;
    $request->last_chunk;
    my $r = $wire->response;
    ok $r->complete, 'complete';
    is $r->body, "data: 1\n\ndata: 2\n\ndata: 3\n\n", 'body';
    is $wire->await_end, 'eof', 'closed';
};

subtest 'cuts and aborts' => sub {
    my ($wire, $request) = open_request('/cut');
    $request->begin(200);
    $request->chunk('a');
    $wire->await_bytes(qr/a\r\n/);
    $request->connection->reset;
    ok !$wire->response->complete, 'a cut stream is not complete';

    ($wire, $request) = open_request('/abort');
    $wire->reset;
    is $request->connection->await_end, 'eof', 'an abort closes upstream';
};

subtest 'a slow reader' => sub {
    my ($wire, $request) = open_request('/slow');
    $wire->pause;
    $request->begin(200);
    $request->chunk('z' x 16_000_000);
    $request->last_chunk;
    settle for 1 .. 5;
    isnt $request->connection->out, '', 'there is back pressure';
    is length $wire->resume->response->body, 16_000_000, 'nothing is lost';
};

subtest 'WebSocket' => sub {
    $provider->forget->answer(
        sub ($request) { $request->accept_websocket->send_frame('hello') });
    my $wire = Wire->handshake($nginx->port);
    is $wire->message->status, 101, 'accepted';
    is $wire->next_frame->{payload}, 'hello', 'down';
    $wire->send_frame('y' x 5_000_000, op => 'binary');
    my $frame = $provider->last->connection->next_frame;
    is_deeply [length $frame->{payload}, $frame->{op}],
        [5_000_000, 'binary'], 'up';

    $provider->answer(sub ($request) { $request->reply(403, [], 'no') });
    $wire = Wire->handshake($nginx->port);
    is $wire->message->status, 403, 'refused';
    is $wire->message->body, 'no', 'with its body';
};

subtest 'raw answers' => sub {
    $provider->forget->script("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    my ($wire, $request) = open_request('/raw');
    $request->connection->close;
    is $wire->response->body, 'until the end', 'body';
};

# What Verdict finds wrong with a request that plain nginx passed.
sub faults_of (%request) {
    $provider->forget;
    my $verdict = Verdict->new(
        provider => $provider,
        key      => 'sk-real',
        secrets  => ['sk-client']);
    request($nginx->port, %request);
    return join '; ', $verdict->credential_faults($provider->last);
}

subtest 'verdicts' => sub {
    my @real   = (Authorization => 'Bearer sk-real');
    my @client = ('X-Api-Key' => 'sk-client');
    is faults_of(headers => [@real]), '', 'a good request';
    like faults_of(), qr/the key is there 0 times/, 'no key';
    like faults_of(headers => [@real, 'X-A' => 'sk-real']),
        qr/the key is there 2 times/, 'two keys';
    like faults_of(headers => [Authorization => 'sk-real']), qr/no line/,
        'another line';
    like faults_of(headers => [@real, @client]), qr/sk-client went up/,
        'a credential of the client';
};

subtest 'the headers of clients, in a log at debug' => sub {
    my $logs = Nginx->new(module => 0, log_level => 'debug');
    $logs->start(<<'CONF', PROVIDER => $provider->forget->address);
    server {
        listen 127.0.0.1:%%PORT%%;
        proxy_pass_request_headers off;
        proxy_set_header X-Up sent-up;
        location / { proxy_pass http://%%PROVIDER%%; }
    }
CONF
    request($logs->port, target => '/in-line',
        headers => ['X-A' => 'from-a-client http header: "b"']);
    is $provider->last->header('x-up'), 'sent-up', 'a request';
    $logs->stop;
    like $logs->error_log, qr/from-a-client/, 'nginx logs them';
    my $rest = $logs->log_without_headers;
    unlike $rest, qr/from-a-client/, 'which are left out';
    like $rest, qr/\Q$_/, "not $_"
        for 'http proxy header:', 'sent-up', '/in-line', 'http header done';
};

subtest 'configurations' => sub {
    is $nginx->reload, '', 'a reload';
    is scalar(() = $nginx->worker_pids), 1, 'worker pids';
    $nginx->configure('bogus;');
    like $nginx->reload, qr/bogus/, 'a reload that fails';
    my ($exit, $said) = $nginx->test_config('bogus;');
    is $exit, 1, 'exit code of a bad configuration';
    like $said, qr/bogus/, 'and its message';
    is(($nginx->test_config(''))[0], 0, 'exit code of a good one');
};

# Nor does anybody else get the port, such as another test.
# Of a test with that text: (prove's exit code, what it said).
sub proved ($text) {
    my $dir = File::Temp->newdir(TMPDIR => 1);
    path("$dir/some.t")->spurt("use Test::More;\n$text\ndone_testing;");
    my $said = `'$FindBin::Bin/prove' $dir/some.t 2>&1`;
    return ($? >> 8, $said);
}

subtest 'tests that are left out' => sub {
    my $known = 'no file system can be mounted here';
    my %ways  = (
        'a file'         => sub ($why) {"plan skip_all => q($why);"},
        'a subtest'      => sub ($why) {
            "ok 1; subtest a => sub { plan skip_all => q($why) };" },
        'amid a subtest' => sub ($why) {
            "subtest a => sub { ok 1; SKIP: { skip q($why), 1 } };" },
    );
    for my $what (sort keys %ways) {
        my ($exit, $said) = proved($ways{$what}->($known));
        is $exit, 0, "$what, for a reason that is known";
        like $said, qr/^left out of \S+some[.]t: \Q$known\E$/m, 'it is said';
        ($exit, $said) = proved($ways{$what}->('no promtool'));
        isnt $exit, 0, "$what, for another";
        like $said, qr/left out: no promtool\nFiles=1.*^Result: FAIL$/ms,
            'it has failed';
    }
    is((proved('ok 1, q(about # skip this);'))[0], 0, 'none');
    my $tests = join '', map { path($_)->slurp } glob "$FindBin::Bin/*.t";
    $tests =~ s/\\'/'/g;
    ok index($tests, "'$_'") >= 0, "some test says: $_"
        for LeftOut->reasons;
};

subtest 'a provider that is not there' => sub {
    my @where   = (LocalHost => '127.0.0.1', ReuseAddr => 1, Listen => 1);
    my $address = Provider->new->close->address;
    my ($port)  = $address =~ /:(\d+)\z/;
    ok !IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port),
        'refuses connections';
    ok $!{ECONNREFUSED}, 'at once';
    ok !IO::Socket::IP->new(@where, LocalPort => $port), 'its port is taken';
    my $back = Provider->new(port => $port);
    is $back->address, $address, 'it may come back';
    ok(IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port),
        'and be there');
    $back->close->open;
    is $back->port, $port, 'twice';
};

is((grep { m{GET /a\?b 200} } $nginx->access_log(9)), 1, 'access log');
like join('', $nginx->faults), qr/bogus/, 'faults in the error log are seen';
{
    local $ENV{KEYSTILE_TEST_TOLERATES} = 'bog.s';
    is join('', $nginx->faults), '', 'unless they are tolerated';
}
$nginx->tolerate(qr/bogus/)->stop;

done_testing;
