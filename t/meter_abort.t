# Turns that end early are settled once, whoever ends them and when: nothing
# stays open or reserved, and what is not known to have cost is counted as
# missing.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/clients/lib";
use Test::More;
use Authority;
use Await;
use Child;
use Golden;
use IO::Compress::Gzip qw(gzip);
use Metered;
use Mojo::JSON qw(decode_json encode_json);
use Nginx;
use Wire;

# The limits are there to be reserved.
my $authority = Authority->new;
my $leaf      = $authority->issue('localhost');
my $has_http2 = Nginx->new->is_built_with('http_v2_module');
my $nginx     = Metered->new(
    clients => {ci => {limits => [{concurrent => 5},
        {tokens => 1_000_000_000, per => 'month'},
        {requests => 1_000_000, per => 'month'},
        {usd => 1_000_000, per => 'month'}]}},
    server    => <<'CONF',
            listen 127.0.0.1:%%PORT_TLS%% ssl %%HTTP2%%;
            ssl_certificate     %%CERT%%;
            ssl_certificate_key %%KEY%%;
CONF
    locations => <<'CONF',
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
)->serve(
    CERT  => $leaf->{cert},
    KEY   => $leaf->{key},
    HTTP2 => $has_http2 ? 'http2' : '');
my $provider = $nginx->provider;

my %TURN   = (input => 40, output => 2);
my $EVENTS = response_events(%TURN);
my ($FIRST) = $EVENTS =~ /\A(.*?\n\n)/s;

# Nothing is open or reserved, once nothing happens any more.
sub at_rest ($name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $client = $nginx->client_of($nginx->idle, 'ci');
    my @held   = grep { $_->{reserved_value} } @{$client->{limits}};
    is @held, 0, "$name: nothing is reserved" or diag explain \@held;
    my %used = map { $_->{limit_type} => $_ } @{$client->{limits}};
    is $used{concurrent}{current_value}, 0, 'nothing is open';
    return $client;
}

sub begun ($request) {
    return $request->begin(200, ['Content-Type' => 'text/event-stream']);
}

# Tokens that the limit has counted.
sub charged () {
    return $nginx->client_of($nginx->idle, 'ci')->{limits}[1]{current_value};
}

# What was under way when the client went: [how far the provider is, growth].
# Reserved tokens of a turn that nobody can see are charged, not counted.
my %MISSING = (requests => 1, usage_missing => 1);
my %MOMENTS = (
    'before an answer'      => [sub ($request) { }, \%MISSING],
    'amid a head'           => [
        sub ($request) { $request->write("HTTP/1.1 200 OK\r\nX-So") },
        \%MISSING],
    'behind a head'         => [sub ($request) { begun($request) }, \%MISSING,
        qr/200 OK/],
    'behind the first event' => [
        sub ($request) { begun($request)->chunk($FIRST) }, \%MISSING,
        qr/created/],
    'before the usage'      => [
        sub ($request) {
            begun($request)->chunk($EVENTS =~ s/"usage":\{"input.*//sr)
        }, \%MISSING, qr/response\.completed/],
    # What was seen counts, though more may have followed.
    'amid the last event'   => [
        sub ($request) { begun($request)->chunk($EVENTS =~ s/\}\n\n\z//r) },
        {%MISSING, figures(%TURN)}, qr/total_tokens/],
    'behind the last event' => [
        sub ($request) { begun($request)->chunk($EVENTS) },
        {requests => 1, figures(%TURN)}, qr/total_tokens/],
    'before its blank line' => [
        sub ($request) { begun($request)->chunk($EVENTS =~ s/\n\n\z//r) },
        {requests => 1, figures(%TURN)}, qr/total_tokens/],
);
for my $place (qw(v1 unbuffered)) {
    for my $moment (sort keys %MOMENTS) {
        my ($act, $expected, $seen) = @{$MOMENTS{$moment}};
        for my $end (qw(close reset)) {
            subtest "/$place: $end by the client $moment" => sub {
                $provider->forget->hold;
                my $growth = $nginx->growth('ci', sub {
                    my $wire = $nginx->start_turn('ci',
                        target  => "/$place/responses",
                        headers => [Connection => 'keep-alive']);
                    my $request = $provider->next_request;
                    $act->($request);
                    $seen ? $wire->await_bytes($seen) : settle;
                    $wire->$end;
                    like $request->connection->await_end, qr/eof|reset/,
                        'the provider learns of it';
                });
                is_deeply $growth, $expected, 'the figures'
                    or diag explain $growth;
                at_rest($moment);
            };
        }
    }
}

# Whoever hides the model would get what is aborted for nothing.
subtest 'a body that does not show its model at once' => sub {
    gzip(\'{"model":"gpt-5.1"}' => \my $coded);
    my %bodies = (
        'coded' => [$coded, 'Content-Encoding' => 'gzip'],
        'late'  => ['{"input":"' . 'x' x 100_000 . '","model":"gpt-5.1"}'],
    );
    for my $name (sort keys %bodies) {
        my ($body, @headers) = @{$bodies{$name}};
        $provider->forget->hold;
        is_deeply $nginx->growth('ci', sub {
            my $wire = $nginx->start_turn('ci', body => $body,
                headers => \@headers);
            begun($provider->next_request);
            $wire->await_head;
            $wire->reset;
        }), \%MISSING, $name;
        at_rest($name);
    }
};

subtest 'an upload that stops' => sub {
    for my $place (qw(v1 unbuffered)) {
        my $before = $nginx->totals('ci');
        $provider->forget->hold;
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(method => 'POST', target => "/$place/responses",
            headers => [bearer('ci'), 'Content-Length' => 200_000],
            body => '{"model":"gpt-5.1","input":"' . 'x' x 100_000))->drain;
        $provider->next_head if $place eq 'unbuffered';
        $wire->close;
        my $after = at_rest("/$place")->{totals};
        is $after->{$_}, $before->{$_}, $_
            for qw(input_tokens output_tokens);
        is $after->{requests}, $before->{requests}, 'no request'
            if $place eq 'v1';
    }
};

subtest 'more at once than are allowed, all aborted' => sub {
    $provider->forget->hold;
    my @wires = map { $nginx->start_turn('ci') } 1 .. 20;
    await 'all to be judged', sub {
        @{$provider->requests} + grep({ $_->message->complete } @wires) == 20;
    };
    is scalar @{$provider->requests}, 5, 'five are admitted';
    $_->reset for @wires;
    at_rest('all');
    is $nginx->turn('ci')->status, 200, 'there is room again'
        if $provider->forget;
};

subtest 'the provider and the client at the same time' => sub {
    for my $end (qw(close reset)) {
        $provider->forget->hold;
        is_deeply $nginx->growth('ci', sub {
            my $wire    = $nginx->start_turn('ci');
            my $request = $provider->next_request;
            begun($request)->chunk($FIRST);
            $wire->await_head;
            $request->connection->$end;
            $wire->$end;
        }), \%MISSING, $end;
        at_rest($end);
    }
};

subtest 'a slow client that leaves much unread' => sub {
    $provider->forget->hold;
    my $before = $nginx->totals('ci');
    my $wire   = $nginx->start_turn('ci')->pause;
    my $request = $provider->next_request;
    begun($request)->chunk('data: ' . 'x' x 32_000_000 . "\n\n");
    $request->chunk($EVENTS);
    $wire->resume->await_bytes(qr/xxx/)->reset;
    $request->connection->await_end;
    my $after = at_rest('it')->{totals};
    is $after->{requests}, $before->{requests} + 1, 'one request';
};

subtest 'clients of HTTP/2' => sub {
    plan skip_all => 'no node' if system('node -e 0 >/dev/null 2>&1') != 0;
    plan skip_all => 'this nginx has no HTTP/2' if !$has_http2;
    my $script = $nginx->file('client.mjs', <<'JS');
import http2 from 'node:http2';
const [port, key, ends] = process.argv.slice(2);
const session = http2.connect(`https://localhost:${port}`,
    {family: 4, rejectUnauthorized: false});
session.on('error', () => {});
const ask = (end) => new Promise((resolve) => {
    const stream = session.request({':method': 'POST',
        ':path': '/v1/responses', authorization: `Bearer ${key}`});
    stream.on('data', (bytes) => {
        if (end === 'abort') stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    stream.on('error', () => {});
    stream.on('close', resolve);
    stream.end(`{"model":"gpt-5.1","input":"${'x'.repeat(400_000)}"}`);
});
for (const end of JSON.parse(ends)) await ask(end);
session.destroy();
JS
    my $asked = 0;
    $provider->forget->answer(sub ($request) {
        begun($request)->chunk($FIRST);
        $request->chunk($EVENTS)->last_chunk if $asked++ % 2;
    });
    my $before = charged();
    is_deeply $nginx->growth('ci', sub {
        my $child = Child->start(command => ['node', $script,
            $nginx->port('_TLS'), key_of('ci'),
            encode_json([qw(abort whole abort whole)])]);
        $child->finish;
        is $child->exit, 0, 'the client ends well' or diag $child->err;
    }), {requests => 4, usage_missing => 2, figures(input => 80, output => 4)},
        'two are whole, two aborted';
    at_rest('all');
    cmp_ok charged() - $before, '>=', 200_000,
        'of which each is charged by its body, though that came without a size';
};

# What a body would cost was judged by its head alone, where its model was not
# yet known: a turn whose end is not seen is charged by all of it.
subtest 'a model late in the body' => sub {
    my $text = 'x' x 400_000;
    for my $body (qq({"model":"gpt-5.1","input":"$text"}),
        qq({"input":"$text","model":"gpt-5.1"})) {
        my $before = charged();
        $provider->forget->hold;
        my $wire = $nginx->start_turn('ci', body => $body);
        $provider->next_request;
        $wire->close;
        cmp_ok charged() - $before, '>=', 100_000,
            'is charged: ' . substr $body, 0, 10;
    }
};

# It was taken for one of 8192 tokens.
subtest 'a body that does not say its size' => sub {
    my $body   = '{"model":"gpt-5.1","input":"' . 'x' x 400_000 . '"}';
    my $chunks = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;
    for my $place (qw(v1 unbuffered)) {
        my %charged;
        for my $framing (['Content-Length: ' . length $body, $body],
            ['Transfer-Encoding: chunked', $chunks]) {
            my $before = charged();
            $provider->forget->hold;
            my $wire = Wire->connect($nginx->port)->expect('POST');
            $wire->write("POST /$place/responses HTTP/1.1\r\nHost: a\r\n"
                . 'Authorization: Bearer ' . key_of('ci') . "\r\n"
                . "Content-Type: application/json\r\n$framing->[0]\r\n\r\n"
                . $framing->[1]);
            my $request = $provider->next_request;
            is length $request->body, length $body, 'all of it went up';
            $wire->close;
            $charged{charged() - $before} = 1;
        }
        is_deeply [keys %charged], [int(length($body) / 4) + 2048],
            "/$place: is charged for its bytes";
    }
};

$nginx->stop;
done_testing;
