# Provider::Request: a Message that the Provider got, and the ways to answer.
#
#     $request->reply(200, ['X-Request-Id' => 'req_1'], '{"ok":true}');
#     $request->begin(200, ['Content-Type' => 'text/event-stream']); # chunked
#     $request->chunk("data: 1\n\n");
#     $request->last_chunk;
#     my $socket = $request->accept_websocket;     # its connection, in frames
#     $request->write($bytes);                     # anything else
#
# reply() sets Content-Length unless the headers frame the body themselves, or
# `framing => 'close'` follows it: then the end of the connection does.

package Provider::Request;

use Mojo::Base 'Message', -signatures;
use Digest::SHA qw(sha1_base64);

has 'connection';

my %REASONS = (
    101 => 'Switching Protocols',
    200 => 'OK',
    204 => 'No Content',
    302 => 'Found',
    401 => 'Unauthorized',
    403 => 'Forbidden',
    404 => 'Not Found',
    429 => 'Too Many Requests',
    500 => 'Internal Server Error',
);
use constant GUID => '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

sub wants_upgrade ($self) {
    return scalar grep { $_ eq 'upgrade' } $self->tokens('connection');
}

sub write ($self, $bytes) {
    $self->connection->write($bytes);
    return $self;
}

sub reply ($self, $status, $headers = undef, $body = '{"ok":true}', %how) {
    my @headers = @{$headers // ['Content-Type' => 'application/json']};
    my %given   = map { lc $headers[$_ * 2] => 1 } 0 .. @headers / 2 - 1;
    push @headers, 'Content-Length' => length $body
        if !$given{'content-length'} && !$given{'transfer-encoding'}
        && ($how{framing} // '') ne 'close' && $status !~ /\A(?:1|204|304)/;
    $body = '' if $self->method eq 'HEAD';
    $self->write(_head($status, @headers) . $body);
    $self->connection->close if ($how{framing} // '') eq 'close';
    $self->connection->refuse_upgrade if $self->wants_upgrade;
    return $self;
}

# The head of a chunked answer.
sub begin ($self, $status, $headers = []) {
    return $self->write(
        _head($status, @$headers, 'Transfer-Encoding' => 'chunked'));
}

sub chunk ($self, $bytes) {
    return $self->write(sprintf "%x\r\n%s\r\n", length $bytes, $bytes);
}

sub last_chunk ($self) { return $self->write("0\r\n\r\n") }

sub accept_websocket ($self, @headers) {
    my $key    = $self->header('sec-websocket-key') // '';
    my $accept = sha1_base64($key . GUID) . '=';
    $self->write(_head(101,
        Upgrade                => 'websocket',
        Connection             => 'Upgrade',
        'Sec-WebSocket-Accept' => $accept,
        @headers));
    return $self->connection->websocket;
}

sub _head ($status, @headers) {
    my $head = "HTTP/1.1 $status " . ($REASONS{$status} // 'Whatever') . "\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $head .= "$name: $value\r\n";
    }
    return "$head\r\n";
}

1;
