# Compiled: small programs of the tests, written in C because Perl is too slow
# for what they do, or too far from the kernel.
#
#     my $scan = compiled('memory_scan');     # path of t/lib/c/memory_scan.c,
#                                             # compiled; undef without a cc
#
# They live as long as the test, in a directory that all users can reach.

package Compiled;

use Mojo::Base -strict, -signatures;
use Carp       qw(croak);
use Exporter   qw(import);
use File::Basename qw(dirname);
use File::Temp ();

our @EXPORT = qw(compiled);

my $dir;
my %programs;

sub compiled ($name) {
    return $programs{$name} //= _compile($name);
}

sub _compile ($name) {
    my $source = dirname(__FILE__) . "/c/$name.c";
    if (!$dir) {
        $dir = File::Temp->newdir('keystile-c-XXXXXX', TMPDIR => 1);
        chmod 0755, $dir;
    }
    my $cc = $ENV{CC} // 'cc';
    return if system("command -v $cc >/dev/null") != 0;
    my $said = `$cc -O2 -Wall -o '$dir/$name' '$source' 2>&1`;
    croak "cannot compile $name: $said" if $?;
    return "$dir/$name";
}

1;
