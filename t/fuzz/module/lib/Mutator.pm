# Mutator: what a fuzzer does to a message.
#
#     my $changed = change_parts(\@parts, \@donors);
#     my $bytes   = change_bytes($bytes);
#
# change_parts() drops, repeats, swaps, takes from others, and changes parts in
# ways of their kind; their framing stays right where it does not lie on
# purpose. change_bytes() knows nothing of what the bytes mean.

package Mutator;

use Mojo::Base -strict, -signatures;
use Dice;
use Exporter qw(import);
use Parts;

our @EXPORT = qw(change_bytes change_parts);

use constant LONGEST => 300_000;

my @NUMBERS = (0, 1, 2, -1, 3, 7, 15, 16, 100, 125, 126, 127, 128, 255, 256,
    4095, 4096, 4097, 16383, 16384, 65535, 65536, 2147483647, 2147483648,
    4294967295, 4294967296, '9223372036854775807', '9223372036854775808',
    '18446744073709551615', '18446744073709551616', '1e9', '0x10', '00010',
    '+5', ' 5', '5 ', '5,5', '1.5', '9' x 30);

# Words of all that is read here.
my @WORDS = (
    "\r\n", "\n", "\r", "\r\n\r\n", "\n\n", "\r\r\n", "\0", "\t", ' ', ':',
    ': ', ',', ', ', ';', '=', '"', '\\', '/', '//', '/../', '/./', '%2f',
    '%2e%2e', '%00', '%', '?', '&', '#', '*', '{', '}', '[', ']', '[[[[[[[[',
    '\\u0000', '\\ud800', '\\"', "\xEF\xBB\xBF", "\xFF", "\x80", "\x7F",
    'null', 'true', 'false', '""', '{}', '[]', '0', '1', '-1', '1e308',
    'HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'GET ', 'POST ', 'HEAD ',
    'chunked', 'identity', 'gzip', 'deflate', 'zstd', 'close', 'keep-alive',
    'upgrade', 'websocket', 'h2c', '100-continue', 'Bearer ', 'bearer ',
    'Basic ', 'data: ', 'data:', 'event: ', ': ', 'id: ', 'retry: ',
    '[DONE]', "\ndata: [DONE]\n\n", '"usage":', '"input_tokens":',
    '"output_tokens":', '"model":', '"type":', '"response":',
    '"response.completed"', '"response.create"', '"message_delta"',
    '"usageMetadata":', '"generate":false', '"error":', '"status":429',
    "0\r\n\r\n", "5\r\n", "ffffffffffffffff\r\n", "\x81\x05", "\x88\x00",
    "\x88\x02\x03\xE8", "\x89\x00", "\x8A\x00", "\x01\x00", "\x00\x00",
    "\x80\x00", "\x81\xFE", "\x81\x7F",
);

# Lines for either side.
my @LINES = (
    'Content-Length: 0', 'Content-Length: 5', 'Content-Length: 99999',
    'Transfer-Encoding: chunked', 'Transfer-Encoding: identity',
    'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding : chunked',
    'Connection: close', 'Connection: keep-alive', 'Connection: upgrade',
    'Connection: authorization, x-request-id', 'Connection: content-length',
    'Connection: ' . join(',', map { "x-$_" } 1 .. 40),
    'Upgrade: websocket', 'Upgrade: h2c', 'Upgrade: websocket, h2c',
    'Content-Encoding: gzip', 'Content-Encoding: deflate, gzip',
    'Content-Encoding: br', 'Content-Encoding: identity',
    'Accept-Encoding: gzip, deflate', 'Accept-Encoding: identity;q=0',
    'Expect: 100-continue', 'TE: trailers', 'Trailer: X-Usage',
    'Host: other', 'Host:', 'Cookie: a=b', 'Set-Cookie: a=b',
    'Content-Type: text/event-stream', 'Content-Type: application/json',
    'X-Accel-Redirect: /status', 'X-Accel-Buffering: yes',
    'X-Accel-Limit-Rate: 1', 'X-Accel-Expires: 100', 'X-Accel-Charset: x',
    'Retry-After: 1', 'Retry-After: 0', 'Retry-After: -1',
    'Retry-After: Wed, 21 Oct 2015 07:28:00 GMT',
    'x-codex-primary-reset-at: 1', 'x-codex-secondary-reset-at: 99999999999',
    'x-request-id: fuzz', 'x-request-id: not good', 'request-id: r',
    'X-Request-Id:', 'anthropic-version: 2023-06-01', 'Via: 1.1 a',
    'X-Forwarded-For: 127.0.0.1', 'Forwarded: for=1', 'X-Real-IP: ::1',
    'X-Original-URL: /status', 'X-HTTP-Method-Override: GET',
    'Proxy-Authorization: Basic eDp5', 'x_api_key: k', 'OpenAI-Project: p',
    'api-key: other', 'x-goog-api-key: other', 'session_id: s',
    'Sec-WebSocket-Protocol: a, openai-insecure-api-key.other, b',
    'Sec-WebSocket-Extensions: permessage-deflate', 'Location: /elsewhere',
    'Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT', 'ETag: "a"',
    'If-None-Match: "a"', 'Range: bytes=0-1', 'Content-Range: bytes 0-1/9',
    'Accept-Ranges: bytes', 'Date: now', 'Server: s', 'Content-Length:',
    'X-Long: ' . 'l' x 3000, ' folded', "\tfolded", 'no colon', ': no name',
    "X-Null: a\0b", "X-High: \xE9\xFF", "X-Control: \x01", 'X Space: a',
);

# Changes to a list of parts.
my @OF_LISTS = (
    \&_drop, \&_repeat, \&_swap, \&_take, \&_take, \&_new_line, \&_new_line);

# Changes to one part, by its kind; those of any kind are tried for all.
my %OF_PARTS = (
    any    => [sub ($part) { $part->{bytes} = change_bytes($part->{bytes}) }],
    start  => [\&_line_end],
    line   => [\&_line_end, \&_name],
    end    => [\&_line_end],
    length => [\&_lie, \&_lie],
    chunk  => [\&_chunk_size],
    last   => [sub ($part) { $part->{bytes} = pick(@LINES) . "\r\n" }],
    packed => [sub ($part) {
        $part->{coding} = pick(qw(gzip deflate bare zstd)) }],
    h2     => [
        sub ($part) { $part->{flags} = below(256) },
        sub ($part) { $part->{type} = below(11) },
        sub ($part) { $part->{stream} = pick(0, 1, 2, 3, 5, 2**31 + 1) },
        sub ($part) { $part->{lie} = pick(0, 1, 5, 8, 16384, 16385, 2**23) },
    ],
    frame  => [
        sub ($part) { $part->{fin} = 1 - $part->{fin} },
        sub ($part) { $part->{op}  = pick(0, 1, 2, 8, 9, 10, below(16)) },
        sub ($part) { $part->{rsv} = below(8) },
        sub ($part) { $part->{form} = pick(7, 16, 64) },
        sub ($part) { @$part{qw(form lie)} = (64, 2**below(63)) },
        sub ($part) {
            $part->{mask} = defined $part->{mask} ? undef : 'MASK' },
    ],
);

# Changes to bytes.
my @OF_BYTES = (
    sub ($b) {
        return _flip($b, below(length $b), 1 << below(8));
    },
    sub ($b) { _replace($b, 1, chr below(256)) },
    sub ($b) { _replace($b, 0, pick(@WORDS)) },
    sub ($b) { my $word = pick(@WORDS); _replace($b, length $word, $word) },
    sub ($b) { _replace($b, 1 + below(pick(3, 30, 1000)), '') },
    sub ($b) {
        my $piece = substr $b, below(length $b), 1 + below(pick(4, 50, 2000));
        return _replace($b, 0, $piece);
    },
    sub ($b) { _replace($b, 0, pick('A', ' ', '[', "\n", "\0", '9', '%41')
        x pick(2, 9, 70, 130, 1025, 4097)) },
    \&_number,
    sub ($b) { substr $b, 0, below(length $b) },
    sub ($b) {
        my $at = below(length $b);
        my $word = substr $b, $at, 9;
        substr($b, $at, length $word) = one_in(2)
            ? $word =~ tr/a-z/A-Z/r : $word =~ tr/A-Z/a-z/r;
        return $b;
    },
);

# What comes first stays first and as it is where $is_first_kept.
sub change_parts ($parts, $donors, $is_first_kept = 0) {
    my @parts = map { {%$_} } @$parts;
    my @first = $is_first_kept ? shift @parts : ();
    for (1 .. pick(1, 1, 2, 3, 5)) {
        if (@parts && one_in(2)) {
            my $part = $parts[below(scalar @parts)];
            pick(@{$OF_PARTS{any}}, @{$OF_PARTS{$part->{kind}} // []})
                ->($part);
        } else {
            pick(@OF_LISTS)->(\@parts, $donors);
        }
    }
    return [@first, @parts];
}

sub change_bytes ($bytes) {
    for (1 .. pick(1, 1, 1, 2, 4)) {
        return pick(@WORDS) if $bytes eq '';
        $bytes = substr pick(@OF_BYTES)->($bytes), 0, LONGEST;
    }
    return $bytes;
}

sub _flip ($bytes, $at, $bits) {
    return substr($bytes, 0, $at) . chr($bits ^ ord substr $bytes, $at, 1)
        . substr $bytes, $at + 1;
}

sub _replace ($bytes, $count, $with) {
    my $at = below(1 + length $bytes);
    substr($bytes, $at, $count) = $with;
    return $bytes;
}

# One of the numbers in it becomes another.
sub _number ($bytes) {
    my @at;
    push @at, [$-[0], $+[0] - $-[0]] while @at < 50 && $bytes =~ /\d+/g;
    my $number = @at ? pick(@at) : [below(length $bytes), 1];
    substr($bytes, $number->[0], $number->[1]) = pick(@NUMBERS);
    return $bytes;
}

# ---- lists ----

sub _drop ($parts, $donors) {
    splice @$parts, below(scalar @$parts), pick(1, 1, 2, 4) if @$parts;
    return;
}

sub _repeat ($parts, $donors) {
    return if !@$parts;
    my $at    = below(scalar @$parts);
    my $count = length $parts->[$at]{bytes} < 500 ? pick(1, 1, 2, 9, 70) : 1;
    splice @$parts, $at, 0, map { {%{$parts->[$at]}} } 1 .. $count;
    return;
}

sub _swap ($parts, $donors) {
    return if !@$parts;
    my ($one, $other) = map { below(scalar @$parts) } 1, 2;
    @$parts[$one, $other] = @$parts[$other, $one];
    return;
}

sub _take ($parts, $donors) {
    my @free = grep { !$_->{kept} } @$donors or return;
    my $from = below(scalar @free);
    my $to   = $from + pick(0, 0, 1, 5);
    $to = $#free if $to > $#free;
    splice @$parts, below(1 + @$parts), 0, map { {%$_} } @free[$from .. $to];
    return;
}

sub _new_line ($parts, $donors) {
    my @heads = grep { $parts->[$_]{kind} =~ /\A(?:line|length|end)\z/ }
        0 .. $#$parts;
    splice @$parts, (@heads ? pick(@heads) : 0), 0, line(pick(@LINES));
    return;
}

# ---- parts ----

sub _line_end ($part) {
    $part->{eol} = pick("\n", "\r", '', "\r\r\n", " \r\n", "\r\n ", "\n\n");
    return;
}

# Another spelling of the name, or another value.
sub _name ($part) {
    my ($name, $value) = split /:/, $part->{bytes}, 2;
    ($name, $value) = ($name // '', $value // '');
    $part->{bytes} = pick(
        ($name =~ tr/a-z/A-Z/r) . ":$value", ($name =~ tr/-/_/r) . ":$value",
        "$name :$value", "$name:", "$name:\t$value\t", "$name:$value, $value",
        "$name: " . change_bytes($value));
    return;
}

sub _lie ($part) {
    $part->{lie} = pick(@NUMBERS, below(200));
    return;
}

sub _chunk_size ($part) {
    my $size = sprintf '%x', length $part->{bytes};
    $part->{size} = pick("0$size", uc $size, "$size;a=b", "$size ; a",
        "$size;" . 'x' x 500, '0' x 20 . $size, "-$size", "0x$size", "$size ",
        " $size", sprintf('%x', below(300)), 'f' x 16, '7' . 'f' x 15, '');
    return;
}

1;
