# Callgrind: what valgrind's callgrind has counted in a process.
#
#     control($pid, '-i', 'on');             # words of callgrind_control
#     my $file  = dump_of($pid, $directory); # where its --callgrind-out-file is
#     my $total = total_of($file);           # instructions
#     my $of    = functions_of($file, $n);   # {FUNCTION}: an n-th of its own

package Callgrind;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(control dump_of functions_of total_of);

sub control {
    my ($pid, @what) = @_;
    my $said = `callgrind_control @what $pid 2>&1`;
    die "callgrind_control @what: $said" if $said !~ /OK\./;
    return;
}

sub dump_of {
    my ($pid, $directory) = @_;
    control($pid, '-d');
    my ($name) = glob "$directory/callgrind.*" or die 'callgrind wrote nothing';
    return $name;
}

sub total_of {
    my ($name) = @_;
    open my $file, '<', $name or die "$name: $!";
    my ($total) = map { /\A(?:summary|totals): (\d+)/ ? $1 : () } <$file>;
    return $total // die 'callgrind has no total';
}

# Of a function of C++, its name without its arguments.
sub functions_of {
    my ($file, $count) = @_;
    my %instructions;
    for (`callgrind_annotate --auto=no --show-percs=no --threshold=100 $file`) {
        my ($n, $name) = /\A\s*([\d,]+)\s+\S*?:(\S.*?)(?:\s+\[.*)?\Z/ or next;
        $name =~ s/\(anonymous namespace\):://g;
        $name =~ s/[('\[].*//s;
        $instructions{$name} += ($n =~ tr/,//dr) / $count;
    }
    return \%instructions;
}

1;
