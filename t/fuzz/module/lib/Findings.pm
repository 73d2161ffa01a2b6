# Findings: what must not be, and was.
#
#     my $findings = Findings->new(dir => $path, seed => 7);
#     $findings->add($lane, 'a key came back');
#     $findings->add(undef, 'a worker was killed', story => $text);
#     exit 1 if $findings->count;
#
# Each is a line at once, and a file in `dir` with what led to it. After some of
# a kind, which is what it says but for digits, only their number goes on.

package Findings;

use Mojo::Base -base, -signatures;
use Mojo::File qw(path);

use constant MOST => 20;

has [qw(dir seed)];
has count => 0;

sub add ($self, $lane, $what, @story) {
    my $count = $self->count($self->count + 1)->count;
    return $self if ++$self->{of_kind}{$what =~ s/\d+/N/gr} > MOST;
    my $plan   = $lane && $lane->plan;
    my $number = $plan ? $plan->{number} : 'none';
    my $shown  = substr $what =~ s/([^\x20-\x7E])/sprintf '\\x%02x', ord $1/ger,
        0, 300;
    print "fuzz-module: fault: exchange $number: $shown\n";
    my @told = ('what' => $what, $lane ? $lane->story : (), @story);
    my $text = "seed @{[$self->seed]}, exchange $number\n";
    while (my ($name, $bytes) = splice @told, 0, 2) {
        $text .= "\n==== $name\n$bytes\n";
    }
    my $path = path($self->dir)->make_path->child(
        join '-', $self->seed, $number, $count);
    open my $file, '>:raw', $path or die "$path: $!\n";
    print {$file} $text;
    close $file or die "$path: $!\n";
    return $self;
}

1;
