# NodeClient: one scenario of a client written in JavaScript.
#
#     my $said = scenario('openai.mjs', 'stream',
#         base_url => $gateway->url('MAIN') . '/v1', key => $KEY);
#     is $said->{text}, '...';
#
# The script gets the scenario's name and its arguments as one JSON object,
# and prints one JSON object, which is returned. begin() returns the running
# Child instead: the script ends when the test calls hang_up(); conclude()
# then returns the object.

package NodeClient;

use Mojo::Base -strict, -signatures;
use Carp qw(croak);
use Child;
use Exporter   qw(import);
use Mojo::File qw(curfile);
use Mojo::JSON qw(decode_json encode_json);

our @EXPORT = qw(begin conclude scenario);

use constant FOLDER  => curfile->dirname->dirname->to_string;
use constant SECONDS => 60;

sub scenario ($script, $name, %arguments) {
    return conclude(begin($script, $name, %arguments)->hang_up);
}

sub begin ($script, $name, %arguments) {
    return Child->start(
        talk    => 1,
        command => ['node', FOLDER . "/$script", $name,
            encode_json(\%arguments)]);
}

sub conclude ($child) {
    $child->hang_up->finish(SECONDS);
    my $said = eval { decode_json($child->out) };
    return $said if defined $said && $child->exit == 0;
    croak "the client failed:\n" . $child->out . $child->err;
}

1;
