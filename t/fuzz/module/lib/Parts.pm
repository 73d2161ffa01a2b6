# Parts: a message as the parts it is made of, so that a mutation can leave the
# rest of it well-formed.
#
#     my @parts = (start('GET / HTTP/1.1'), line('Host: a'), the_end());
#     my @segments = render(@parts);
#
# render() gives the bytes. There are several segments where a part is
# wait_for_peer(): the sender waits there until the other side says something.
#
# A part is a hash: its kind, its bytes, and what a kind has besides. lengths()
# counts the bodies that follow it, up to the next start line, unless a
# mutation makes it a lie. What is `kept` is no mutation's to take elsewhere.

package Parts;

use Mojo::Base -strict, -signatures;
use Compress::Zlib ();
use Exporter qw(import);

our @EXPORT = qw(body chunk frame h2_fields h2_frame last_chunk lengths line
    packed render start the_end wait_for_peer);

my %FORMS = (
    start  => \&_line,
    line   => \&_line,
    end    => sub ($part, $length) { $part->{eol} // "\r\n" },
    length => sub ($part, $length) {
        'Content-Length: ' . ($part->{lie} // $length) . "\r\n";
    },
    body   => sub ($part, $length) { $part->{bytes} },
    packed => sub ($part, $length) { _pack($part) },
    chunk  => \&_chunk,
    last   => sub ($part, $length) { "0\r\n$part->{bytes}\r\n" },
    frame  => \&_frame,
    h2     => \&_h2_frame,
    wait   => sub ($part, $length) { '' },
);

sub start ($bytes, %more) { return {kind => 'start', bytes => $bytes, %more} }
sub line ($bytes, %more)  { return {kind => 'line',  bytes => $bytes, %more} }
sub body ($bytes)         { return {kind => 'body',  bytes => $bytes} }
sub chunk ($bytes, %more) { return {kind => 'chunk', bytes => $bytes, %more} }
sub the_end ()            { return {kind => 'end',    bytes => ''} }
sub lengths ()            { return {kind => 'length', bytes => ''} }
sub wait_for_peer ()      { return {kind => 'wait',   bytes => ''} }

sub last_chunk ($trailers = '') {
    return {kind => 'last', bytes => $trailers};
}

# A body in a coding: gzip, deflate, bare (deflate without a head) or zstd.
sub packed ($coding, $bytes) {
    return {kind => 'packed', coding => $coding, bytes => $bytes};
}

# %how: op (text), fin (1), rsv (0), mask (none), form: 7, 16 or 64 bits for
# the length where that is not the shortest.
sub frame ($bytes, %how) {
    return {kind => 'frame', bytes => $bytes, op => 1, fin => 1, rsv => 0,
        %how};
}

# Of HTTP/2: a frame of that type; %how: flags, stream.
sub h2_frame ($type, $bytes, %how) {
    return {kind => 'h2', type => $type, bytes => $bytes, flags => 0,
        stream => 0, %how};
}

# RFC 7541 6.2.2: fields without an index, nothing of them packed.
sub h2_fields (@fields) {
    my $bytes = '';
    $bytes .= "\0" . _h2_text($_->[0]) . _h2_text($_->[1]) for @fields;
    return $bytes;
}

sub render (@parts) {
    my @bytes    = map { _form($_, 0) } @parts;
    my @segments = ('');
    for my $i (0 .. $#parts) {
        if ($parts[$i]{kind} eq 'length') {
            my $length = 0;
            for my $j ($i + 1 .. $#parts) {
                last if $parts[$j]{kind} eq 'start';
                $length += length $bytes[$j]
                    if $parts[$j]{kind} =~ /\A(?:body|packed)\z/;
            }
            $bytes[$i] = _form($parts[$i], $length);
        }
        push @segments, '' if $parts[$i]{kind} eq 'wait';
        $segments[-1] .= $bytes[$i];
    }
    return @segments;
}

sub _form ($part, $length) { return $FORMS{$part->{kind}}->($part, $length) }

sub _line ($part, $length) {
    return $part->{bytes} . ($part->{eol} // "\r\n");
}

sub _chunk ($part, $length) {
    my $size = $part->{size} // sprintf '%x', length $part->{bytes};
    return "$size\r\n$part->{bytes}\r\n";
}

sub _pack ($part) {
    my ($coding, $bytes) = @$part{qw(coding bytes)};
    return Compress::Zlib::memGzip($bytes)  if $coding eq 'gzip';
    return Compress::Zlib::compress($bytes) if $coding eq 'deflate';
    return _zstd($bytes)                    if $coding eq 'zstd';
    return substr Compress::Zlib::compress($bytes), 2, -4;
}

# RFC 8878: one frame of one block, as it is.
sub _zstd ($bytes) {
    $bytes = substr $bytes, 0, 100_000;
    return pack('VCV', 0xFD2FB528, 0xA0, length $bytes)
        . substr(pack('V', length($bytes) << 3 | 1), 0, 3) . $bytes;
}

# RFC 6455 5.2.
sub _frame ($part, $unused) {
    my ($bytes, $mask) = @$part{qw(bytes mask)};
    my $length = length $bytes;
    my $masked = defined $mask ? 0x80 : 0;
    my $form   = $part->{form} // 7;
    $form = $length > 65535 ? 64 : 16
        if $length > 125 && $form < 64 && ($form == 7 || $length > 65535);
    my $head = pack 'C', ($part->{fin} << 7) | ($part->{rsv} << 4)
        | $part->{op};
    $head .= $form == 7 ? pack 'C', $masked | $length
        : $form == 16   ? pack 'Cn', $masked | 126, $length
        :                 pack 'CQ>', $masked | 127, $part->{lie} // $length;
    return $head . $bytes if !$masked;
    return $head . $mask
        . ($bytes ^ substr $mask x (1 + $length / 4), 0, $length);
}

# RFC 7541 5.1 and 5.2.
sub _h2_text ($text) {
    my $length = length $text;
    return chr($length) . $text if $length < 127;
    my $rest  = $length - 127;
    my $bytes = chr 127;
    for (; $rest > 127; $rest >>= 7) {
        $bytes .= chr(128 | $rest & 127);
    }
    return $bytes . chr($rest) . $text;
}

# RFC 9113 4.1.
sub _h2_frame ($part, $unused) {
    my $length = $part->{lie} // length $part->{bytes};
    return substr(pack('N', $length), 1)
        . pack('CCN', @$part{qw(type flags stream)}) . $part->{bytes};
}

1;
