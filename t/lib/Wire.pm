# Wire: the client of a test, which sends exactly the bytes it is told to.
#
#     my $r = request($nginx->port, method => 'POST', target => '/v1/responses',
#         headers => [Authorization => 'Bearer sk-test'], body => '{}');
#     is $r->status, 200;                     # $r is a Message
#
#     my $wire = Wire->connect($nginx->port);
#     $wire->write("GET /v1/models HT");
#     $wire->write("TP/1.1\r\nHost: a\r\n\r\n");
#     $wire->await_head;  $wire->await_bytes(qr/data: 1/);
#     my $r = $wire->response;                # the whole of it
#     is $wire->await_end, 'eof';             # or `reset`
#
#     my $wire = Wire->handshake($nginx->port, target => '/v1/responses');
#     is $wire->message->status, 101;
#     $wire->send_frame('hello');  is $wire->next_frame->{payload}, '...';
#
# request(port, %request) and compose(%request) take method (GET), target (/),
# headers (name => value pairs, as often as wanted), body, and write `Host`,
# `Content-Length` and `Connection: close` unless the test does; `bare => 1`
# writes nothing of its own. %at of connect: host, from, unix, tls (a hash for
# IO::Socket::SSL). A response that never came has no status, and one cut off
# is not complete: the test's own assertions fail, not the harness.

package Wire;

use Mojo::Base 'Stream', -signatures;
use Await;
use Carp     qw(croak);
use Exporter qw(import);
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::UNIX;
use Message;
use Mojo::Util qw(b64_encode);

our @EXPORT = qw(compose request);

has message => sub { Message->new };
has masks   => 1;

sub request ($port, %request) {
    my %at = map { exists $request{$_} ? ($_ => delete $request{$_}) : () }
        qw(host from unix tls);
    my $wire     = Wire->connect($port, %at);
    my $response = $wire->ask(%request);
    $wire->close;
    return $response;
}

# The bytes of a request.
sub compose (%request) {
    my @pairs = @{$request{headers} // []};
    my $head  = '';
    my %given;
    while (my ($name, $value) = splice @pairs, 0, 2) {
        $given{lc $name} = 1;
        $head .= "$name: $value\r\n";
    }
    my $body = $request{body};
    if (!$request{bare}) {
        $head = "Host: localhost\r\n$head" if !$given{host};
        $head .= "Connection: close\r\n"   if !$given{connection};
        $head .= 'Content-Length: ' . length($body) . "\r\n"
            if defined $body && !$given{'content-length'}
            && !$given{'transfer-encoding'};
    }
    my $line = join ' ', $request{method} // 'GET', $request{target} // '/',
        $request{version} // 'HTTP/1.1';
    return "$line\r\n$head\r\n" . ($body // '');
}

sub connect ($class, $port, %at) {
    my $handle = $at{unix}
        ? IO::Socket::UNIX->new(Peer => $at{unix})
        : IO::Socket::IP->new(
            PeerHost => $at{host} // '127.0.0.1',
            PeerPort => $port,
            $at{from} ? (LocalHost => $at{from}) : ());
    croak "cannot connect to $port: $@" if !$handle;
    if ($at{tls}) {
        IO::Socket::SSL->start_SSL($handle, SSL_verify_mode => 0, %{$at{tls}})
            or croak "no TLS with $port: $SSL_ERROR";
    }
    return $class->new->adopt($handle);
}

# A WebSocket handshake. %request as above; the answer is in `message`.
sub handshake ($class, $port, %request) {
    my $wire = $class->connect($port);
    $wire->write(compose(%request, headers => [
        Connection              => 'Upgrade',
        Upgrade                 => 'websocket',
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key'     => b64_encode('sixteen bytes ok', ''),
        @{$request{headers} // []},
    ]));
    $wire->await_head;
    $wire->message->framing eq 'upgrade' ? $wire->websocket : $wire->response;
    return $wire;
}

# Sends a request on this connection and awaits the whole answer.
sub ask ($self, %request) {
    $self->expect($request{method} // 'GET');
    $self->write(compose(%request));
    return $self->response;
}

# Starts to read a new response, to a request of that method.
sub expect ($self, $method = 'GET') {
    $self->message(Message->new(kind => 'response', answers => $method));
    $self->on_bytes;
    return $self;
}

# Waits for the whole response, or for the end of the connection.
sub response ($self) {
    return $self->_await('a response', sub { $self->message->complete });
}

# Waits for the head of the response.
sub await_head ($self) {
    return $self->_await('a response head',
        sub { $self->message->head_complete });
}

# Waits until what came in as a whole matches.
sub await_bytes ($self, $pattern) {
    await "bytes that match $pattern", sub { $self->received =~ $pattern };
    return $self;
}

sub on_bytes ($self) {
    $self->message->feed(\$self->{unread});
    return;
}

sub on_end ($self) {
    $self->message->finish if $self->ended eq 'eof';
    return;
}

sub _await ($self, $what, $condition) {
    eval {
        await $what, sub {
            $condition->() || $self->ended || $self->message->broken;
        };
    } or $self->message->broken("$@");
    return $self->message;
}

1;
