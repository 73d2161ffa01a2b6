# A client that goes away: the provider learns of it at once, whatever was
# under way, because what it goes on to write would cost money.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Nginx;
use Provider;
use Wire;

my $KEY       = 'sk-test-provider-b016';
my $authority = Authority->new;
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
my $nginx     = Nginx->new(log => '$request_uri $status $keystile_decision');
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /** query=n;
    keystile_allow      GET /plain/socket websocket query=n;
    keystile_allow      GET /tls/socket   websocket query=n;
    keystile_inject     openai;
    upstream group { server %%PLAIN%%;  keepalive 4; }
    upstream tls   { server %%SECURE%%; keepalive 4; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /plain/ { keystile_pass http://%%PLAIN%%; }
        location /group/ { keystile_pass http://group; }
        location /tls/ {
            keystile_pass     https://tls;
            keystile_ssl_name api.example.com;
            keystile_ssl_trusted_certificate %%CA%%;
        }
        location ~ /unbuffered {
            keystile_request_buffering off;
            keystile_pass http://%%PLAIN%%;
        }
        location = /active { access_log off; return 200 $connections_active; }
    }
CONF
    PLAIN  => $provider->address,
    SECURE => $secure->address,
    CA     => $authority->cert);

sub active () {
    return request($nginx->port, target => '/active')->body;
}

# Sockets that the worker holds.
sub sockets () {
    my ($pid) = $nginx->worker_pids;
    return scalar grep { (readlink // '') =~ /^socket:/ }
        glob "/proc/$pid/fd/*";
}

my $logged = 0;

# The status that the access log has for the target.
sub status_of ($target) {
    my @lines = $nginx->access_log(++$logged);
    return (map { /^\Q$target\E (.*)/ ? $1 : () } @lines)[0];
}

# What a client may be in the midst of. Each opens a connection, which stays
# open, and returns it with the provider's request.
my %MOMENTS = (
    'waiting for the head' => sub ($at, $target) {
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(target => $target));
        return ($wire, $at->next_request, 499);
    },
    'waiting, after a large POST' => sub ($at, $target) {
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(method => 'POST', target => $target,
            headers => [Connection => 'keep-alive'], body => 'x' x 1_000_000));
        return ($wire, $at->next_request, 499);
    },
    'in the midst of a head' => sub ($at, $target) {
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(target => $target));
        my $request = $at->next_request;
        $request->write("HTTP/1.1 200 OK\r\nX-Some: ");
        return ($wire, $request, 499);
    },
    'between two events' => sub ($at, $target) {
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(target => $target));
        my $request = $at->next_request;
        $request->begin(200, ['Content-Type' => 'text/event-stream']);
        $request->chunk("data: 1\n\n");
        $wire->await_bytes(qr/data: 1/);
        return ($wire, $request, 200);
    },
    'while events pour in' => sub ($at, $target) {
        my $wire = Wire->connect($nginx->port)->pause;
        $wire->write(compose(target => $target));
        my $request = $at->next_request;
        $request->begin(200, ['Content-Type' => 'text/event-stream']);
        $request->chunk('x' x 32_000_000);
        return ($wire->resume->await_bytes(qr/xxx/), $request, 200);
    },
);

my @ENDS    = qw(close reset);
my %PLACES  = (plain => $provider, group => $provider, tls => $secure);
my $number  = 0;
my $sockets = do { active(); sockets() };

for my $place (sort keys %PLACES) {
    for my $moment (sort keys %MOMENTS) {
        for my $end (@ENDS) {
            subtest "$place: $end $moment" => sub {
                my $at     = $PLACES{$place}->forget->hold;
                my $target = "/$place/responses?n=" . ++$number;
                my ($wire, $request, $status)
                    = $MOMENTS{$moment}->($at, $target);
                $wire->$end;
                like $request->connection->await_end, qr/eof|reset/,
                    'the provider\'s connection is closed';
                is status_of($target), "$status admitted", 'the access log';
            };
        }
    }
}

subtest 'an upload that stops' => sub {
    my $half = compose(method => 'POST', target => '/plain/responses?n=up',
        headers => ['Content-Length' => 200_000], body => 'x' x 100_000);
    for my $end (@ENDS) {
        $provider->forget->hold;
        my $before = $provider->connections;
        my $wire   = Wire->connect($nginx->port);
        $wire->write($half)->drain->$end;
        is status_of('/plain/responses?n=up'), '400 admitted', $end;
        is $provider->connections, $before, 'the provider saw nothing of it';
    }
    for my $framing ('Content-Length: 200000', 'Transfer-Encoding: chunked') {
        for my $end (@ENDS) {
            $provider->forget->hold;
            my $wire   = Wire->connect($nginx->port);
            my $target = '/plain/unbuffered?n=' . ++$number;
            my $part   = $framing =~ /chunked/ ? "4\r\npart\r\n" : 'part';
            $wire->write("POST $target HTTP/1.1\r\nHost: a\r\n$framing\r\n\r\n"
                . $part);
            my $request = $provider->next_head;
            await 'the part', sub { $request->connection->received =~ /part/ };
            $wire->$end;
            like $request->connection->await_end, qr/eof|reset/,
                "$end within an unbuffered upload, $framing";
            ok !$request->complete, 'and no end of the body is made up';
            like status_of($target), qr/^4\d\d admitted/, 'the access log';
        }
    }
};

subtest 'a provider that takes no more of an upload' => sub {
    for my $end (@ENDS) {
        $provider->forget->hold->on_head(
            sub ($request) { $request->connection->pause });
        my $target = '/plain/responses?n=' . ++$number;
        my $wire   = Wire->connect($nginx->port);
        $wire->write(compose(method => 'POST', target => $target,
            headers => [Connection => 'keep-alive'], body => 'x' x 32_000_000));
        my $request = $provider->next_head;
        $wire->drain->$end;
        is status_of($target), '499 admitted', "$end: the access log";
        $request->connection->resume;
        like $request->connection->await_end, qr/eof|reset/, 'it ends';
        ok !$request->complete, 'before the whole of it was sent';
    }
};

subtest 'a WebSocket' => sub {
    for my $place (qw(plain tls)) {
        for my $end (@ENDS) {
            my $at     = $PLACES{$place}->forget->hold;
            my $target = "/$place/socket?n=" . ++$number;
            my $wire   = Wire->connect($nginx->port);
            $wire->write(compose(target => $target, headers => [
                Connection => 'Upgrade', Upgrade => 'websocket']));
            my $request = $at->next_request;
            if ($number % 2) {
                $request->accept_websocket;
                $wire->await_head;
            }
            $wire->$end;
            like $request->connection->await_end, qr/eof|reset/,
                "$place: $end";
            status_of($target);
        }
    }
};

subtest 'the provider goes on for the others' => sub {
    $provider->forget;
    is request($nginx->port, target => "/$_/responses?n=x")->status, 200, $_
        for qw(plain group);
};

await 'one open connection', sub { active() == 1 };
pass 'no client connection is left';
await 'as many sockets as before', sub { sockets() <= $sockets + 1 };
pass 'no socket is left, but the one kept for the next request';

$nginx->stop;
done_testing;
