# Recorded: a Metered nginx that records, and what it has recorded.
#
#     my $nginx = Recorded->new(record => 'bodies=off')->serve;
#     my $line = $nginx->recorded(sub { $nginx->turn('ci') });
#     is $line->{status}, 200;
#     my @both = $nginx->recorded(sub { ... }, 2);
#     my @lines = $nginx->lines(3);           # awaits three in all
#
# The file is `record_file`, in a directory of its own. `record` are more words of
# the directive; meter is off unless it is given.

package Recorded;

use Mojo::Base 'Metered', -signatures;
use Await;
use Carp qw(croak);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More ();

has record => '';
has meter  => '';
has record_file => sub ($self) { $self->dir . '/turns.jsonl' };
has server => sub ($self) {
    return 'keystile_record ' . $self->record_file . ' ' . $self->record . ';';
};

# The lines of the file, once there are $count. Each must be one JSON object.
sub lines ($self, $count = 0, $file = $self->record_file) {
    return _decoded($file, 0, $count);
}

# The line of the turn that $code makes; of several, the first.
sub recorded ($self, $code, $count = 1) {
    my $size = -s $self->record_file // 0;
    $code->();
    my @lines = _decoded($self->record_file, $size, $count);
    return wantarray ? @lines : $lines[0];
}

sub _decoded ($file, $offset, $count) {
    my $text;
    await "$count recorded turns", sub {
        $text = -e $file ? substr(path($file)->slurp, $offset) : '';
        return ($text =~ tr/\n//) >= $count;
    };
    return map {
        /\n\z/ or croak "a torn line: " . substr $_, 0, 200;
        decode_json($_)
    } $text =~ /[^\n]*\n|[^\n]+/g;
}

1;
