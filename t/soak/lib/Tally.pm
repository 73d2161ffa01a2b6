# Tally: what all processes of the soak write down, in one file.
#
#     my $tally = Tally->new(ledger => $path);
#     $tally->note('got', $id, ...);          # a line
#     $tally->fault('hang', $detail);         # one that should not be, said
#     $tally->each(sub ($word, @rest) {...}); # all lines, at the end
#
# A line is one write() to a file opened for appending, so that processes may
# share it and be killed at any time.

package Tally;

use Mojo::Base -base, -signatures;

use constant LONGEST => 300;

has 'ledger';
has file => sub ($self) {
    open my $file, '>>', $self->ledger or die $self->ledger . ": $!\n";
    return $file;
};

sub note ($self, @words) {
    my $line = join ' ', @words;
    syswrite $self->file, "$line\n";
    return;
}

sub fault ($self, $kind, $detail) {
    my $printable = substr($detail, 0, LONGEST) =~ s/[^ -~]/?/gr;
    $self->note('fault', $kind =~ tr/ /_/r);
    print STDERR "soak: $kind: $printable\n";
    return;
}

sub each ($self, $code) {
    open my $file, '<', $self->ledger or die $self->ledger . ": $!\n";
    while (my $line = <$file>) {
        chomp $line;
        $code->(split / /, $line);
    }
    close $file;
    return;
}

1;
