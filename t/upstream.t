# Where keystile_pass leads: addresses, sockets and groups, connections that
# are kept, and what nginx does when a server fails.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use IO::Socket::IP;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-c7b2';
my $nginx    = Nginx->new;
my $provider = Provider->new;
my $closed   = Provider->new->close;
my $local    = Provider->new(unix => $nginx->dir . '/provider.sock');

# Accepts nothing: once its queue is full, connecting to it takes for ever.
my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1)
    or die "cannot listen: $@";
my @queue = map { IO::Socket::IP->new(PeerHost => '127.0.0.1',
    PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;

$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,HEAD,POST /** query=*;
    keystile_inject     openai;

    upstream kept { server %%PROVIDER%%; keepalive 4; }
    upstream one  { server %%PROVIDER%%; }
    upstream dead { server %%CLOSED%%; server %%CLOSED%%; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /address/ { keystile_pass http://%%PROVIDER%%; }
        location /host/    { keystile_pass http://localhost:%%PROVIDER_PORT%%; }
        location /group/   { keystile_pass http://one; }
        location /socket/  { keystile_pass http://%%LOCAL%%; }
        location /insecure/ {
            keystile_pass http://%%PROVIDER%% insecure_upstream=on;
        }
        location /base/    { keystile_pass http://%%PROVIDER%%/openai/v2; }
        location /slash/   { keystile_pass http://%%PROVIDER%%/; }
        location /socket-base/ { keystile_pass http://%%LOCAL%%:/openai; }
        location ~ /regex  { keystile_pass http://%%PROVIDER%%/openai; }
        location /kept/    { keystile_pass http://kept; }
        location /dead/    { keystile_pass http://dead; }
        location /bound/ {
            keystile_bind 127.0.0.9;
            keystile_pass http://%%PROVIDER%%;
        }
        location /unbound/ {
            keystile_bind 127.0.0.9;
            location /unbound/inside/ {
                keystile_bind off;
                keystile_pass http://%%PROVIDER%%;
            }
            keystile_pass http://%%PROVIDER%%;
        }
        location /full/ {
            keystile_connect_timeout 100ms;
            keystile_pass http://%%FULL%%;
        }
        location /read/ {
            keystile_read_timeout 100ms;
            keystile_pass http://%%PROVIDER%%;
        }
        location /send/ {
            keystile_send_timeout 100ms;
            keystile_pass http://%%PROVIDER%%;
        }
        location /small/ {
            keystile_buffer_size 4k;
            keystile_pass http://%%PROVIDER%%;
        }
        location /large/ {
            keystile_buffer_size 64k;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF
    PROVIDER      => $provider->address,
    PROVIDER_PORT => $provider->port,
    LOCAL         => $local->address,
    CLOSED        => $closed->address,
    FULL          => '127.0.0.1:' . $full->sockport);

sub ask ($target, %request) {
    return request($nginx->port, target => $target, %request);
}

subtest 'places' => sub {
    my $port   = $provider->port;
    my @places = (
        # sent, where, target, Host
        ['/address/a?b=%20c', $provider, '/address/a?b=%20c',
            "127.0.0.1:$port"],
        ['/host/a',      $provider, '/host/a',               "localhost:$port"],
        ['/group/a',     $provider, '/group/a',              'one'],
        ['/socket/a',    $local,    '/socket/a',             'localhost'],
        ['/insecure/a',  $provider, '/insecure/a',           "127.0.0.1:$port"],
        ['/base/a?b',    $provider, '/openai/v2/base/a?b',   "127.0.0.1:$port"],
        ['/slash/a',     $provider, '/slash/a',              "127.0.0.1:$port"],
        ['/socket-base/a', $local,  '/openai/socket-base/a', 'localhost'],
        ['/regex/a%20b', $provider, '/openai/regex/a%20b',   "127.0.0.1:$port"],
    );
    for my $place (@places) {
        my ($sent, $at, $target, $host) = @$place;
        my $verdict = Verdict->new(provider => $at, key => $KEY);
        my $request = $verdict->admitted($sent, ask($sent)) // next;
        is $request->target, $target, 'target';
        is $request->header('host'), $host, 'Host';
    }
    ask('/bound/a');
    is $provider->last->connection->handle->peerhost, '127.0.0.9', 'bind';
    ask('/unbound/inside/a');
    is $provider->last->connection->handle->peerhost, '127.0.0.1', 'bind off';
};

subtest 'kept connections' => sub {
    my $verdict = Verdict->new(provider => $provider, key => $KEY);
    $verdict->admitted('the first', ask('/kept/a'));
    my $connection = $provider->last->connection;
    my $before     = $provider->connections;
    my %replies    = (
        'a length'  => sub ($request) { $request->reply(200) },
        'no length' => sub ($request) { $request->reply(200, [], '') },
        'chunks'    => sub ($request) {
            $request->begin(200);
            $request->chunk('a');
            $request->last_chunk;
        },
        '204'       => sub ($request) { $request->reply(204, [], '') },
        '304'       => sub ($request) { $request->reply(304, [], '') },
        '404'       => sub ($request) { $request->reply(404) },
        '500'       => sub ($request) { $request->reply(500) },
        '103 first' => sub ($request) {
            $request->write("HTTP/1.1 103 Hints\r\nA: b\r\n\r\n")->reply(200);
        },
    );
    for my $name (sort keys %replies) {
        $provider->answer($replies{$name});
        for my $method (qw(GET HEAD POST)) {
            next if $method eq 'HEAD' && $name eq 'chunks';
            my $r = ask('/kept/a', method => $method,
                $method eq 'POST' ? (body => '{}') : ());
            ok $r->complete, "$method, $name";
            is $provider->last->connection, $connection, 'the same connection';
            $connection = $provider->last->connection;
            is $provider->last->header('connection'), undef,
                'no word about it';
        }
    }
    is $provider->connections, $before, 'no other was opened';

    my %last = (
        'Connection: close' => sub ($request) {
            $request->reply(200, [Connection => 'close']);
        },
        'in chunks, too' => sub ($request) {
            $request->begin(200, [Connection => 'Foo, Close']);
            $request->last_chunk;
        },
        'HTTP/1.0' => sub ($request) {
            $request->write("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        },
        'until the end' => sub ($request) {
            $request->reply(200, [], 'a', framing => 'close');
        },
    );
    for my $name (sort keys %last) {
        $provider->answer($last{$name});
        ok ask('/kept/a')->complete, $name;
        my $old = $provider->last->connection;
        $provider->answer(sub ($request) { $request->reply(200) });
        is ask('/kept/a')->status, 200, 'the next one';
        isnt $provider->last->connection, $old, 'has a connection of its own';
        ok $old->closed || $old->await_end, 'and the old one is closed';
    }
};

subtest 'connections that no one said to keep' => sub {
    my $by_default = $nginx->version >= 1.029007;
    my %kept = ('/address/a' => 0, '/group/a' => $by_default);
    for my $target (sort keys %kept) {
        $provider->forget;
        my ($first, $second) = map {
            is ask($target)->status, 200, $target;
            $provider->last->connection;
        } 1, 2;
        is $first == $second, !!$kept{$target}, 'its connection';
    }
};

subtest 'kept connections that the provider closes' => sub {
    my $verdict = Verdict->new(provider => $provider, key => $KEY);
    for my $how (qw(close reset)) {
        for my $method (qw(GET POST)) {
            $provider->answer(sub ($request) { $request->reply(200) });
            my %request = (method => $method,
                $method eq 'POST' ? (body => 'x' x 100_000) : ());
            $verdict->admitted('the first', ask('/kept/a', %request));
            $provider->last->connection->$how;
            $verdict->admitted("$method after a $how in between",
                ask('/kept/a', %request));

            my $kept = $provider->last->connection;
            my $seen = @{$provider->requests};
            $provider->answer(sub ($request) {
                $request->connection == $kept ? $kept->$how
                    : $request->reply(200);
            });
            my $r     = ask('/kept/a', %request);
            my $tries = @{$provider->requests} - $seen;
            is "$tries tries, " . $r->status,
                $method eq 'GET' ? '2 tries, 200' : '1 tries, 502',
                "$method, $how once it was sent";
            $verdict = Verdict->new(provider => $provider, key => $KEY);
        }
    }
};

subtest 'failures' => sub {
    my @cases = (
        ['/dead/a' => 502, 'upstream_unavailable', sub { }],
        ['/full/a' => 504, 'upstream_timeout',     sub { }],
        ['/read/a' => 504, 'upstream_timeout',     sub ($request) { }],
        ['/read/a' => 504, 'upstream_timeout',
            sub ($request) { $request->write("HTTP/1.1 200 OK\r\n") }],
        map {
            my ($place, $size, $status) = @$_;
            ["/$place/a" => $status,
                $status == 502 ? 'upstream_unavailable' : undef,
                sub ($request) {
                    $request->reply(200, ['X-Large' => 'a' x $size]);
                }]
        } (['small', 3500, 200], ['small', 4200, 502], ['address', 15_000, 200],
            ['address', 17_000, 502], ['large', 60_000, 200]),
    );
    for my $case (@cases) {
        my ($target, $status, $code, $answer) = @$case;
        $provider->answer($answer);
        my $r = ask($target);
        is $r->status, $status, "$target: $status";
        is $r->json->{error}{code}, $code, 'code' if $code;
    }
    $provider->forget->hold->on_head(
        sub ($request) { $request->connection->pause });
    my $r = ask('/send/a', method => 'POST', body => 'x' x 20_000_000);
    is $r->status, 504, 'a provider that does not read';
    is $r->json->{error}{code}, 'upstream_timeout', 'code';
    $provider->last->connection->resume;
};

subtest 'http:// and what it may lead to' => sub {
    my $conf = <<'CONF';
        keystile_credential openai %%DIR%%/openai.key;
        keystile_admit any; keystile_allow GET /**; keystile_inject openai;
        upstream near { server 127.0.0.1:1; server [::1]:1; server unix:/a; }
        upstream far  { server 127.0.0.1:1; server 192.0.2.1:1 backup; }
        server { location / { keystile_pass PASS; } }
CONF
    my @near = qw(http://127.0.0.1 http://127.3.2.1:80/v1 http://localhost:1
        http://[::1] http://[::1]:80/v1 http://unix:/a http://unix:/a:/v1
        http://near http://near/v1 http://NEAR);
    my @far = qw(http://192.0.2.1 http://192.0.2.1:80/v1 http://far
        http://far/v1 http://0.0.0.0 http://[::]
        http://[::ffff:192.0.2.1] http://10.0.0.1);
    my $has_tls  = $nginx->is_built_with('http_ssl_module');
    my %expected = (
        (map { ($_ => 0) } @near),
        (map { ($_ => $has_tls ? 0 : 1) } 'https://192.0.2.1', 'https://far'),
        (map { ($_ => 1, "$_ insecure_upstream=on" => 0,
            "$_ insecure_upstream=off" => 1) } @far),
        (map { ($_ => 1) } 'ftp://127.0.0.1', '127.0.0.1', 'http://',
            'https://', 'http://near:80', 'http://$host', 'https://$arg_a',
            'http://127.0.0.1:0', 'http://127.0.0.1:99999',
            'http://127.0.0.1?a', 'http://127.0.0.1/?a=b',
            'http://127.0.0.1/a#b', 'http://user@127.0.0.1',
            'https://192.0.2.1 insecure_upstream=perhaps'),
    );
    for my $pass (sort keys %expected) {
        my ($exit, $said) = $nginx->test_config($conf =~ s/PASS/$pass/r);
        is $exit, $expected{$pass}, $pass or diag $said;
    }
};

$nginx->stop;
done_testing;
