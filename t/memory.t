# No copy of the real key but the one in locked memory: the memory of the
# master and of every worker is searched for it, whatever happens to requests
# in the meantime.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Backing;
use Memory;
use Mojo::Util ();
use Nginx;
use Provider;
use Wire;

plan skip_all => 'needs root and a C compiler' if !can_scan();
plan skip_all => 'ASan has its own mlock(), and keeps what is freed'
    if $ENV{KEYSTILE_SANITIZED};

my $CONF = <<'CONF';
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_inject     openai;
    keystile_allow      GET,POST /*/responses;
    keystile_allow      GET      /*/responses websocket;
    keystile_ssl_name   api.example.com;
    keystile_ssl_trusted_certificate %%CA%%;
    client_body_buffer_size 16k;
    upstream plain { server %%PLAIN%%;  keepalive 8; }
    upstream tls   { server %%SECURE%%; keepalive 8; }
    # The first of the two never answers.
    upstream plain_retry {
        server %%BAD%% max_fails=0;
        server %%PLAIN%% backup;
    }
    upstream tls_retry {
        server %%BAD_SECURE%% max_fails=0;
        server %%SECURE%% backup;
    }

    server {
        listen 127.0.0.1:%%PORT%% reuseport;
        keystile_record %%DIR%%/turns.jsonl;
        location /plain/ { keystile_pass http://plain; }
        location /tls/   { keystile_pass https://tls; }
        location /plain_unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://plain;
        }
        location /tls_unbuffered/ {
            keystile_request_buffering off;
            keystile_pass https://tls;
        }
        location /plain_retry/ { keystile_pass http://plain_retry; }
        location /tls_retry/   { keystile_pass https://tls_retry; }
        location = /health     { keystile_health; }
    }
CONF

my $authority = Authority->new;
my $leaf      = $authority->issue('api.example.com');
my %PROVIDERS = (
    plain     => Provider->new,
    tls       => Provider->new(tls => $leaf),
    plain_bad => Provider->new,
    tls_bad   => Provider->new(tls => $leaf),
);
my @KINDS = qw(plain tls);

my ($nginx, $memory, $backing);

sub start ($key) {
    $memory = Memory->new(secrets => {real => $key});
    $nginx  = Nginx->new(
        binary  => $backing->{binary}->(),
        workers => 2,
        events  => 'worker_connections 512; accept_mutex off;');
    $nginx->key_file('openai.key', $key);
    return $nginx->start($CONF,
        CA         => $authority->cert,
        PLAIN      => $PROVIDERS{plain}->address,
        SECURE     => $PROVIDERS{tls}->address,
        BAD        => $PROVIDERS{plain_bad}->address,
        BAD_SECURE => $PROVIDERS{tls_bad}->address);
}

# What is true of the memory of these processes: each holds the key as often
# as the backing lets it be seen, where it belongs, and nowhere else.
sub clean ($name, %expected) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    settle;
    my @pids   = @{$expected{pids} // [$nginx->master, $nginx->worker_pids]};
    my $copies = $expected{copies} // $backing->{copies};
    my @faults;
    for my $pid (@pids) {
        my @hits = $memory->hits($pid);
        push @faults, map { $_->{text} } grep { !is_locked($_) } @hits;
        my $locked = grep { is_locked($_) } @hits;
        push @faults, "$pid: $locked locked copies instead of $copies"
            if $locked != $copies;
        push @faults, "$pid: nothing was read" if $memory->scanned < 1_000_000;
    }
    ok !@faults, $name or diag join "\n", @faults;
    return;
}

sub stream ($kind) {
    state $number = 0;
    my $id   = 'stream-' . ++$number;
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(
        method  => 'POST',
        target  => "/$kind/responses",
        headers => ['X-Request-Id' => $id],
        body    => '{"stream":true}'));
    my $request = arrived($kind, $id);
    $request->begin(200, ['Content-Type' => 'text/event-stream'])
        ->chunk("data: 1\n\n");
    $wire->await_bytes(qr/data: 1/);
    return ($wire, $request);
}

# The request of that id, once it is whole, or only its head.
sub arrived ($kind, $id, $state = 'complete') {
    return await "request $id", sub {
        my ($request) = grep { ($_->header('x-request-id') // '') eq $id }
            @{$PROVIDERS{$kind}->requests};
        return $request && $request->$state && $request;
    };
}

# Requests on one connection.
sub many ($count, %request) {
    my $wire   = Wire->connect($nginx->port);
    my $failed = 0;
    for (1 .. $count) {
        my $r = $wire->ask(headers => [Connection => 'keep-alive'], %request);
        $failed++ if $r->status != 200;
    }
    $wire->close;
    is $failed, 0, "$count requests";
    return;
}

sub open_streams ($kind) {
    $PROVIDERS{$kind}->hold;
    my @streams = map { [stream($kind)] } 1 .. 50;
    clean('during 50 streams');
    for my $i (0 .. $#streams) {
        my ($wire, $request) = @{$streams[$i]};
        $i % 2 ? $wire->reset : $request->last_chunk;
    }
    $_->[0]->closed || $_->[0]->response for @streams;
    clean('after half of them ended, and half were given up');
    $PROVIDERS{$kind}->forget;
    return;
}

sub bodies ($kind) {
    for my $size (0, 100, 15_000, 400_000) {
        many(10, method => 'POST', target => "/$kind/responses",
            body => 'x' x $size);
    }
    many(10, method => 'POST', target => "/${kind}_unbuffered/responses",
        body => 'x' x 400_000);
    clean('after bodies in memory and in files');
    return;
}

# A client that goes away, at each stage.
sub aborts ($kind) {
    my $provider = $PROVIDERS{$kind}->hold;
    for my $end (qw(close reset)) {
        my $head = compose(
            method  => 'POST',
            target  => "/$kind/responses",
            headers => [
                'Content-Length' => 400_000,
                'X-Request-Id'   => "half-$end",
            ]);
        my $wire = Wire->connect($nginx->port);
        $wire->write(substr $head, 0, 40)->$end;

        $wire = Wire->connect($nginx->port);
        $wire->write($head . 'x' x 100_000)->drain;
        request($nginx->port, target => '/health') for 1 .. 4;
        clean("with half a body ($end)");
        $wire->$end;

        $wire = Wire->connect($nginx->port);
        $wire->write($head =~ s{/responses}{_unbuffered/responses}r
            . 'x' x 100_000);
        arrived($kind, "half-$end", 'head_complete');
        clean("with half a body, on its way ($end)");
        $wire->$end;

        ($wire) = stream($kind);
        $wire->$end;
    }
    request($nginx->port, target => '/health') for 1 .. 4;
    clean('after clients went away');
    $provider->forget;
    return;
}

# A provider that does not read: what of the request is stuck in between.
sub stuck ($kind) {
    my $provider = $PROVIDERS{$kind}->hold;
    my $stuck;
    $provider->on_head(sub ($request) {
        $stuck = $request->connection;
        $stuck->pause;
    });
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(
        method => 'POST',
        target => "/$kind/responses",
        body   => 'x' x 16_000_000));
    await 'the head', sub { $stuck };
    clean('while a body is stuck');
    $wire->reset;
    await 'nginx to give up', sub { $nginx->error_log =~ /prematurely closed/ };
    $stuck->reset;
    clean('after it was given up');
    $provider->forget;
    return;
}

sub refusals ($kind, $key) {
    my $provider = $PROVIDERS{$kind};
    my %bodies   = (
        quiet => '{"error":{"code":"invalid_api_key"}}',
        echo  => qq({"error":{"code":"invalid_api_key","message":"$key"}}),
        long  => 'x' x 20_000 . " $key",
    );
    for my $status (401, 403) {
        for my $body (sort keys %bodies) {
            for my $framing (qw(length chunked close)) {
                $provider->answer(sub ($request) {
                    my @headers = ('X-Echo' => $body eq 'echo' ? $key : 'none');
                    return $request->reply($status, \@headers, $bodies{$body},
                        framing => $framing) if $framing ne 'chunked';
                    $request->begin($status, \@headers);
                    $request->chunk($_) for $bodies{$body} =~ /.{1,700}/g;
                    $request->last_chunk;
                });
                my $r = request($nginx->port, target => "/$kind/responses");
                cmp_ok $r->status, '>=', 403, "$status: $body, $framing";
                request($nginx->port, target => '/health') for 1 .. 4;
            }
            clean("after a $status ($body)");
        }
    }
    $provider->forget;
    return;
}

sub retries ($kind) {
    my $bad = $PROVIDERS{"${kind}_bad"};
    for my $how (qw(close reset)) {
        $bad->answer(sub ($request) { $request->connection->$how });
        for my $method (qw(GET POST)) {
            my $before = @{$PROVIDERS{$kind}->requests};
            my $r = request($nginx->port, method => $method,
                target => "/${kind}_retry/responses",
                $method eq 'POST' ? (body => '{}') : ());
            is $r->status, $method eq 'GET' ? 200 : 502,
                "$method, a server that answers with $how";
            clean("after $method and a server's $how");
        }
    }
    $bad->close;
    my $r = request($nginx->port, method => 'POST',
        target => "/${kind}_retry/responses", body => 'x' x 100_000);
    is $r->status, 200, 'a server that is not there';
    clean('after a server that was not there');
    $bad->open->forget;
    return;
}

sub sockets ($kind) {
    my $provider = $PROVIDERS{$kind}->answer(sub ($request) {
        $request->accept_websocket;
    });
    my @sockets
        = map { Wire->handshake($nginx->port, target => "/$kind/responses") }
        1 .. 5;
    $_->send_frame('hello') for @sockets;
    clean('during WebSockets');
    $_->close for @sockets[0 .. 2];
    $_->reset for @sockets[3, 4];
    $provider->answer(sub ($request) { $request->reply(403, [], 'no') });
    Wire->handshake($nginx->port, target => "/$kind/responses")->close;
    clean('after WebSockets, and one that was refused');
    $provider->forget;
    return;
}

# The key of before is in the old worker as long as that lives, and nowhere
# else; the new one is in the others.
sub reloads ($kind, $key) {
    $PROVIDERS{$kind}->hold;
    my ($wire, $request) = stream($kind);
    my @old = $nginx->worker_pids;
    my $new = fresh_key('next');
    $nginx->key_file('openai.key', $new);
    is $nginx->reload, '', 'a reload with another key';
    my @living;
    await 'the idle old workers to go', sub {
        @living = grep { _is_running($_) } @old;
        @living <= 1;
    };
    is @living, 1, 'the old worker with the stream goes on';

    clean('the old key, in the old worker', pids => \@living);
    clean('the old key, elsewhere', copies => 0);
    $memory->secrets({real => $new});
    clean('the new key, in the old worker', pids => \@living, copies => 0);
    clean('the new key, elsewhere');

    $request->chunk("data: 2\n\n");
    $request->last_chunk;
    is $wire->response->complete, 1, 'the stream ends well';
    $PROVIDERS{$kind}->forget;
    many(10, target => "/$kind/responses");
    clean('after requests with the new key');
    $nginx->key_file('openai.key', $key);
    is $nginx->reload, '', 'back to the first key';
    clean('of the new key nothing is left', copies => 0);
    $memory->secrets({real => $key});
    clean('the first one is back');
    return;
}

# One key is read before the mistake is seen.
sub failed_reload ($key) {
    my $new = fresh_key('never');
    $nginx->key_file('openai.key', $new);
    $nginx->configure("$CONF keystile_nonsense on;");
    isnt $nginx->reload, '', 'a reload that fails';
    clean('the old key');
    $memory->secrets({real => $new});
    clean('nothing of the new one', copies => 0);
    $memory->secrets({real => $key});
    $nginx->configure($CONF);
    $nginx->key_file('openai.key', "$key\n$key\n");
    isnt $nginx->reload, '', 'a key file that is refused';
    clean('no second copy of it');
    $nginx->key_file('openai.key', $key);
    is $nginx->reload, '', 'a reload that succeeds';
    clean('one copy again');
    many(10, target => '/plain/responses');
    clean('and after requests');
    return;
}

sub _is_running ($pid) {
    open my $status, '<', "/proc/$pid/stat" or return 0;
    return <$status> !~ /\) Z /;
}

for my $each (backings()) {
    $backing = $each;
    my $key = fresh_key('provider');
    start($key);
    note $backing->{name};
    like $nginx->error_log, $backing->{said}, "$backing->{name}: said once";
    is scalar(() = $nginx->error_log =~ /keeps credentials/g), 1, 'at start';
    clean("$backing->{name}: after start");
    for my $kind (@KINDS) {
        my $do = sub ($name, $code, @args) {
            subtest "$backing->{name}, $kind: $name",
                sub { $code->($kind, @args) };
        };
        $do->('streams', \&open_streams);
        $do->('1,000 requests', sub ($kind) {
            many(1000, target => "/$kind/responses");
            clean('after 1,000 requests');
        });
        $do->('bodies',     \&bodies);
        $do->('aborts',     \&aborts);
        $do->('stuck',      \&stuck);
        $do->('refusals',   \&refusals, $key);
        $do->('retries',    \&retries);
        $do->('WebSockets', \&sockets);
        $do->('a reload',   \&reloads, $key);
    }
    subtest "$backing->{name}: a reload that fails",
        sub { failed_reload($key) };
    $nginx->tolerate(qr/openai\.key|keystile_nonsense/)->stop;
}

# The same search, where there is something to be found.
subtest 'the check can fail' => sub {
    my $planted  = fresh_key('planted');
    my ($random) = $planted =~ /(\w+)\z/;
    my %traces   = (
        'in a header'     => [
            "proxy_set_header Authorization 'Bearer $planted';", 'clear', 1],
        'a part of it'    => ["set \$x '" . substr($random, 7, 12) . "';",
            'clear', 0],
        'in base64'       => ["set \$x '" . Mojo::Util::b64_encode(
                "Authorization: Bearer $planted\r\n", '') . "';", 'base64', 0],
        'percent-encoded' => ["set \$x '"
                . ($random =~ s/(.)/sprintf '%%%02X', ord $1/ger) . "';",
            'percent', 0],
        'in hexadecimal'  => ["set \$x " . unpack('H*', $planted) . ';',
            'hex', 0],
    );
    my $finder = Memory->new(secrets => {planted => $planted});
    for my $name (sort keys %traces) {
        my ($directive, $encoding, $whole) = @{$traces{$name}};
        my $plain = Nginx->new(module => 0);
        $plain->start("server { listen 127.0.0.1:%%PORT%%;
            location / { $directive proxy_pass http://127.0.0.1:9; } }");
        for my $pid ($plain->master, $plain->worker_pids) {
            my @hits = grep { $_->{encoding} eq $encoding }
                $finder->hits($pid);
            ok scalar @hits, "$name: found";
            ok !(grep { $_->{whole} && !$whole } @hits), 'for what it is';
            ok !(grep { is_locked($_) } @hits), 'and not in locked memory';
        }
        $plain->stop;
    }
};

done_testing;
