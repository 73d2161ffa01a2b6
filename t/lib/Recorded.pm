# Recorded: a Metered nginx that records, and what it has recorded.
#
#     my $nginx = Recorded->new(record => 'bodies=off')->serve;
#     my $line = $nginx->recorded(sub { $nginx->turn('ci') });
#     is $line->{status}, 200;
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
    my @lines;
    await "$count recorded turns", sub {
        @lines = split /(?<=\n)/, -e $file ? path($file)->slurp : '';
        return @lines >= $count;
    };
    return map {
        /\n\z/ or croak "a torn line: $_";
        decode_json($_)
    } @lines;
}

# The line of the turn that $code makes.
sub recorded ($self, $code) {
    my $before = () = $self->lines;
    $code->();
    my @lines = $self->lines($before + 1);
    return $lines[$before];
}

1;
