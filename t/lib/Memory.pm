# Memory: finds copies of secrets in the memory of processes.
#
#     my $KEY    = fresh_key('provider');         # sk-test-provider-Zq7...
#     my $memory = Memory->new(secrets => {real => $KEY});
#     my @hits   = $memory->hits(@pids);
#     is_deeply [map { $_->{text} } grep { !is_locked($_) } @hits], [];
#
# hits() looks through every readable mapping of each process, as root, for any
# run of 10 bytes of a secret: in clear, in base64 (at each alignment, and so
# whatever stands before it), percent-encoded, and in hexadecimal. Only what
# fresh_key() made up is looked for, the 40 random characters at the end, so
# that neither `sk-test-` nor `Bearer ` is a hit. A hit is a hash:
#
#     pid, secret      whose memory, and the name of what was found in it
#     encoding         clear, base64, percent or hex
#     length, at       of the run, and its address
#     whole            whether it is all of the 40 characters, in clear
#     perms, flags, path, start, end      of the mapping, see proc(5) and smaps
#     text             all that in a line, for a diagnosis
#
# is_locked($hit) says whether it is in a mapping such as LockedMemory makes:
# of its own, private, read-only, locked, left out of core files.
#
# A process that has ended in the meantime has no hits. The secrets are given
# to the scanner over a pipe; no process that is scanned ever sees them there.
#
#     plan skip_all => 'needs root' if !can_scan();

package Memory;

use Mojo::Base -base, -signatures;
use Carp     qw(croak);
use Compiled;
use Exporter qw(import);
use IPC::Open2;
use MIME::Base64 qw(encode_base64);
use POSIX ();

our @EXPORT = qw(can_scan can_have_secret_memory fresh_key is_locked);

use constant RANDOM => 40;

has secrets => sub { {} };
has scanned => 0;            # bytes, of the last process

sub can_scan () { return $> == 0 && defined compiled('memory_scan') }

# Whether this kernel has memfd_secret(2).
sub can_have_secret_memory () {
    my $fd = syscall 447, 0;
    POSIX::close($fd) if $fd >= 0;
    return $fd >= 0;
}

# A key that occurs nowhere else in the world.
sub fresh_key ($whose) {
    my @characters = ('A' .. 'Z', 'a' .. 'z', 0 .. 9);
    return "sk-test-$whose-" . join '',
        map { $characters[rand @characters] } 1 .. RANDOM;
}

sub hits ($self, @pids) {
    return map { $self->_scan($_) } @pids;
}

sub is_locked ($hit) {
    my %flags = map { $_ => 1 } split ' ', $hit->{flags};
    return $hit->{whole} && $hit->{perms} eq 'r--p' && $hit->{path} eq ''
        && $flags{lo} && $flags{dd};
}

# A hash of the pieces of text that give a secret away.
sub _traces ($secret) {
    my $random = substr $secret, -RANDOM;
    return (
        clear        => $random,
        (map {
            # What else goes into the first and last characters is unknown.
            my $text = encode_base64('x' x $_ . $random, '');
            ("base64" . $_ => substr $text, 4, -4);
        } 0 .. 2),
        percent => join('', map { sprintf '%%%02x', ord } split //, $random),
        Percent => join('', map { sprintf '%%%02X', ord } split //, $random),
        hex     => unpack('H*', $random),
        Hex     => uc unpack('H*', $random),
    );
}

sub _scan ($self, $pid) {
    return if !-e "/proc/$pid";
    my $child = open2(my $output, my $input, compiled('memory_scan'), $pid);
    for my $name (sort keys %{$self->secrets}) {
        my %traces = _traces($self->secrets->{$name});
        print {$input} "$name:$_ " . unpack('H*', $traces{$_}) . "\n"
            for sort keys %traces;
    }
    close $input;
    my @lines = <$output>;
    waitpid $child, 0;
    return if $? && !-e "/proc/$pid";
    croak "the memory of $pid can't be scanned"
        if $? || !@lines || $lines[-1] !~ /\Ascanned (\d+)/;
    $self->scanned($1);
    return map { _hit($pid, $_) } grep {/\Ahit /} @lines;
}

sub _hit ($pid, $line) {
    my ($what, $length, $offset, $at, $start, $end, $perms, $flags, $path)
        = $line =~ /\Ahit[ ](\S+)[ ](\d+)[ ](\d+)[ ](\w+)[ ]
            (\w+)-(\w+)[ ](\S+)[ ]\[(.*?)\][ ](.*)/x
        or croak "memory_scan said: $line";
    my ($secret, $encoding)
        = $what =~ /(.*):(base64|[a-zA-Z]+)\d?\z/;
    chomp $line;
    return {
        pid      => $pid,
        secret   => $secret,
        encoding => lc $encoding,
        length   => $length,
        at       => $at,
        whole    => $encoding eq 'clear' && $length == RANDOM,
        start    => $start,
        end      => $end,
        perms    => $perms,
        flags    => $flags =~ s/\s+\z//r,
        path     => $path,
        text     => "$pid: " . $line =~ s/\Ahit //r,
    };
}

1;
