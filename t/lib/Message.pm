# Message: one HTTP/1.1 message, parsed from bytes without forgiving anything.
#
#     my $message = Message->new(kind => 'response');
#     $message->feed(\$buffer);      # takes what belongs to it, leaves the rest
#     $message->finish;              # the peer has closed
#     is $message->status, 200;
#     is $message->header('content-type'), 'application/json';
#     ok $message->complete;         # the body ended as its framing promises
#
# kind is `request` or `response`; a response to HEAD needs `answers => 'HEAD'`.
# Header names keep the case they came in, and their order; look-ups ignore
# the case. Interim responses (1xx but 101) are collected in `interim`. After
# an upgrade the bytes that follow stay in the buffer.

package Message;

use Mojo::Base -base, -signatures;
use Mojo::JSON qw(decode_json);

has kind    => 'response';
has answers => 'GET';
has headers => sub { [] };    # [name, value], as sent
has interim => sub { [] };    # earlier 1xx heads, each a Message
has body    => '';
has head    => '';            # the head's bytes, the empty line included

# `length`, `chunked`, `close`, `none` (no body) or `upgrade`.
has [qw(framing complete broken)];
has [qw(method target version status reason)];
has trailers => sub { [] };

sub feed ($self, $buffer) {
    while (!$self->head_complete && !$self->broken) {
        $$buffer =~ s/\A(.*?\r\n\r\n)//s or return;
        $self->_parse_head($1);
        $self->_set_aside_interim;
    }
    return if $self->complete || $self->broken;
    my $framing = $self->framing;
    $self->_take_chunks($buffer)              if $framing eq 'chunked';
    $self->_take(length $$buffer, $buffer)    if $framing eq 'close';
    $self->_take($self->{missing}, $buffer)   if $framing eq 'length';
    $self->complete(1) if $framing eq 'length' && !$self->{missing};
    return;
}

sub finish ($self) {
    $self->complete(1) if ($self->framing // '') eq 'close';
    return;
}

sub head_complete ($self) { return defined $self->framing }

# The first value under $name, or undef.
sub header ($self, $name) { return scalar +($self->all($name))[0] }

# Every value under $name, in order.
sub all ($self, $name) {
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->headers};
}

# The names, lower-case, sorted, each once.
sub names ($self) {
    my %seen = map { lc $_->[0] => 1 } @{$self->headers};
    return sort keys %seen;
}

# The body as JSON, or undef when it is none.
sub json ($self) { return scalar eval { decode_json($self->body) } }

# The tokens of a list header, lower-case, over all its lines.
sub tokens ($self, $name) {
    return map { lc } grep { length } map { split /\s*,\s*/ } $self->all($name);
}

sub _parse_head ($self, $head) {
    $self->head($head);
    my ($start, @lines) = split /\r\n/, $head;
    $self->_parse_start($start) or return $self->broken("start line: $start");
    for my $line (@lines) {
        my ($name, $value) = $line =~ /\A([^:\s]+):[ \t]*(.*?)[ \t]*\z/s
            or return $self->broken("header line: $line");
        push @{$self->headers}, [$name, $value];
    }
    $self->framing($self->_framing);
    $self->complete(1) if $self->framing =~ /\A(?:none|upgrade)\z/;
    return;
}

sub _parse_start ($self, $line) {
    if ($self->kind eq 'request') {
        my ($method, $target, $version)
            = $line =~ m{\A(\S+) (\S+) (HTTP/\d\.\d)\z} or return 0;
        $self->method($method)->target($target)->version($version);
        return 1;
    }
    my ($version, $status, $reason)
        = $line =~ m{\A(HTTP/\d\.\d) (\d{3})(?: (.*))?\z} or return 0;
    $self->version($version)->status($status)->reason($reason // '');
    return 1;
}

sub _framing ($self) {
    my $response = $self->kind eq 'response';
    if ($response) {
        return 'upgrade' if $self->status == 101;
        return 'none'    if $self->answers eq 'HEAD';
        return 'none'    if $self->status =~ /\A(?:1\d\d|204|304)\z/;
    }
    return 'chunked' if grep { $_ eq 'chunked' }
        $self->tokens('transfer-encoding');
    if (defined(my $length = $self->header('content-length'))) {
        $self->{missing} = $length;
        return $length ? 'length' : 'none';
    }
    return $response ? 'close' : 'none';
}

sub _set_aside_interim ($self) {
    return if $self->kind ne 'response' || $self->broken;
    return if $self->status !~ /\A1(?!01)/;
    my $interim = Message->new(kind => 'response', head => $self->head);
    $interim->status($self->status)->headers($self->headers);
    push @{$self->interim}, $interim;
    $self->headers([])->framing(undef)->complete(undef);
    return;
}

sub _take ($self, $count, $buffer) {
    my $taken = substr $$buffer, 0, $count, '';
    $self->{body} = ($self->{body} // '') . $taken;
    $self->{missing} -= length $taken if defined $self->{missing};
    return;
}

sub _take_chunks ($self, $buffer) {
    for (;;) {
        if ($self->{missing}) {
            $self->_take($self->{missing}, $buffer);
            return if $self->{missing};
            $self->{chunk_end} = 1;
        }
        if ($self->{chunk_end}) {
            return if length $$buffer < 2;
            $$buffer =~ s/\A\r\n// or return $self->broken('chunk end');
            $self->{chunk_end} = 0;
        }
        return $self->_take_trailers($buffer) if $self->{last_chunk};
        $$buffer =~ s/\A([^\n]*)\r\n// or return;
        my ($size) = $1 =~ /\A([0-9a-fA-F]+)(?:;.*)?\z/
            or return $self->broken("chunk size: $1");
        $self->{missing} = hex $size;
        $self->{last_chunk} = 1 if !$self->{missing};
    }
}

sub _take_trailers ($self, $buffer) {
    while ($$buffer =~ s/\A([^\n]*)\r\n//) {
        return $self->complete(1) if $1 eq '';
        push @{$self->trailers}, [split /:[ \t]*/, $1, 2];
    }
    return;
}

1;
