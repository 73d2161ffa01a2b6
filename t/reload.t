# A reload loses nothing: not a request, not a stream, not a socket; and what
# is open goes on with the key it has.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Wire;

# One request that tells when its connection has ended.
package Errand {
    use Mojo::Base 'Wire', -signatures;
    has 'done';

    sub on_end ($self) {
        $self->SUPER::on_end;
        $self->done->($self->message);
        return;
    }
}

use constant {STREAMS => 20, SOCKETS => 10, LOOPS => 4, RELOADS => 5};

my $provider = Provider->new;
my $nginx    = Nginx->new(workers => 2);
my $number   = 0;

# Puts another key in place, as an operator would: a new file, renamed.
sub rotate ($content = undef) {
    $content //= 'sk-test-provider-' . ++$number . '-c3f0';
    rename $nginx->key_file('new.key', $content), $nginx->dir . '/openai.key'
        or die "rename: $!";
    return "Bearer $content";
}

sub clients (@keys) {
    return $nginx->client_file({clients => [{id => 'ci', keys => [@keys]}]});
}

my $bearer = rotate();
clients('sk-test-client-1');
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_inject      openai;
    keystile_admit       any;
    keystile_allow       GET,POST /**;
    upstream kept { server %%PROVIDER%%; keepalive 8; }

    server {
        listen 127.0.0.1:%%PORT%%;
        location /loop   { keystile_pass http://kept; }
        location /stream { keystile_pass http://%%PROVIDER%%; }
        location /socket {
            keystile_allow GET /socket websocket;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /team {
            keystile_admit team;
            keystile_pass  http://%%PROVIDER%%;
        }
    }
CONF

my (@streams, @sockets, %errands, %outcomes);
my $loops = 1;
$provider->answer(sub ($request) {
    return $request->begin(200, ['Content-Type' => 'text/event-stream'])
        if $request->target eq '/stream';
    return $request->accept_websocket if $request->target eq '/socket';
    return $request->reply(200, [], length $request->body);
});

# Sends requests one after the other, of all kinds, until $loops is false.
sub keep_asking ($turn) {
    my $body = $turn % 2 ? 'x' x (50_000 * $turn) : undef;
    my $wire = Errand->connect($nginx->port);
    my $name = "$wire";
    $errands{$name} = $wire;
    $wire->done(sub ($r) {
        my $right = $r->complete && $r->body eq length($body // '');
        $outcomes{$right ? $r->status : 'lost: ' . $r->head . $r->body}++;
        delete $errands{$name};
        keep_asking(($turn + 1) % 8) if $loops;
    });
    $wire->write(compose(target => '/loop', body => $body,
        method => defined $body ? 'POST' : 'GET'));
    return;
}

sub open_stream () {
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => '/stream'));
    push @streams, [$wire, $provider->next_request];
    return;
}

sub open_socket () {
    my $wire = Wire->handshake($nginx->port, target => '/socket');
    push @sockets, [$wire, $provider->next_request->connection];
    return;
}

# One event down each stream, and one frame each way on each socket.
sub exchange ($what) {
    my $works = 0;
    for my $stream (@streams) {
        my ($wire, $request) = @$stream;
        $request->chunk("data: $what\n\n");
        $wire->await_bytes(qr/data: $what\n\n/);
        $works++;
    }
    for my $socket (@sockets) {
        my ($wire, $far) = @$socket;
        $wire->send_frame("up $what");
        $far->send_frame("down $what");
        $works++ if $far->next_frame->{payload} eq "up $what"
            && $wire->next_frame->{payload} eq "down $what";
    }
    return $works;
}

# Whose key the next request brings.
sub key_in_force () {
    my $r = request($nginx->port, target => '/loop', method => 'POST',
        body => '{}', headers => ['X-Now' => 1]);
    return 'status ' . $r->status if $r->status != 200;
    my ($request) = grep { $_->header('x-now') } reverse @{$provider->requests};
    return $request->header('authorization');
}

open_stream() for 1 .. STREAMS;
open_socket() for 1 .. SOCKETS;
is exchange('before'), STREAMS + SOCKETS, 'streams and sockets are open';
my @first = @{$provider->requests};
keep_asking($_) for 1 .. LOOPS;

for my $turn (1 .. RELOADS) {
    subtest "reload $turn" => sub {
        my $asked = 0;
        $asked += $_ for values %outcomes;
        $bearer = rotate();
        is $nginx->reload, '', 'succeeds';
        is key_in_force(), $bearer, 'the new key is in force';
        is exchange("after $turn"), STREAMS + SOCKETS, 'all goes on';
        await 'more requests', sub {
            my $now = 0;
            $now += $_ for values %outcomes;
            $now >= $asked + 40;
        };
        is_deeply [keys %outcomes], [200], 'no request is lost';
    };
}

subtest 'a bad key' => sub {
    my %bad = (
        'an empty file' => '', 'two lines' => "sk-test-a\nsk-test-b\n",
        'a space' => "sk-test-a b\n", 'a control byte' => "sk-test-a\x01\n",
    );
    for my $name (sort keys %bad) {
        rotate($bad{$name});
        like $nginx->reload, qr/credential "openai".*openai\.key/, $name;
        is key_in_force(), $bearer, 'the old one stays';
    }
    rotate();
    chmod 0644, $nginx->dir . '/openai.key';
    like $nginx->reload, qr/openai\.key/, 'one that others can read';
    unlink $nginx->dir . '/openai.key';
    like $nginx->reload, qr/openai\.key/, 'none at all';
    is key_in_force(), $bearer, 'the old one stays';
    is exchange('bad'), STREAMS + SOCKETS, 'all goes on';
    $nginx->tolerate(qr/\[emerg\].*openai\.key/);
    $bearer = rotate();
    is $nginx->reload, '', 'a good one again';
    is key_in_force(), $bearer, 'is in force';
};

subtest 'other clients' => sub {
    my $status = sub ($key) {
        return request($nginx->port, target => '/team',
            headers => ['X-Api-Key' => $key])->status;
    };
    my $all = sub { join ' ', map { $status->("sk-test-client-$_") } 1 .. 2 };
    is $all->(), '200 401', 'before';
    clients('sk-test-client-2');
    is $all->(), '200 401', 'a file that was written is not yet in force';
    is $nginx->reload, '', 'a reload';
    is $all->(), '401 200', 'after it, it is';
    $nginx->file('clients.json', '{"version":1,"clients":[{]}');
    like $nginx->reload, qr/clients\.json/, 'a broken file';
    is $all->(), '401 200', 'changes nothing';
    $nginx->tolerate(qr/\[emerg\].*clients\.json/);
    clients('sk-test-client-1', 'sk-test-client-2');
    is $nginx->reload, '', 'both';
    is $all->(), '200 200', 'are in force';
};

subtest 'the end' => sub {
    $loops = 0;
    await 'the last requests', sub { !%errands };
    is_deeply [keys %outcomes], [200], 'no request is lost';
    is exchange('last'), STREAMS + SOCKETS, 'streams and sockets are whole';
    $_->[1]->last_chunk for @streams;
    is scalar(grep { $_->[0]->response->complete } @streams), STREAMS,
        'streams end as they should';
    $_->[0]->send_frame('', op => 'close')->close for @sockets;
    is scalar(grep { $_->[1]->await_end } @sockets), SOCKETS, 'sockets too';
    my %keys = map { $_->header('authorization') => 1 } @first;
    is scalar keys %keys, 1, 'they had one key all along';
    await 'the old workers to leave', sub {
        my $log = $nginx->error_log;
        (() = $log =~ /start worker process \d/g) - $nginx->workers
            == (() = $log =~ /worker process \d+ exited with code 0/g);
    };
    pass 'the old workers leave';
};

$nginx->stop;
done_testing;
