# Composition: runs a configuration of conf-examples/composition.
#
#     my $nginx = compose_nginx('auth-request.conf', $authority,
#         PROVIDER => $provider->address, '127.0.0.1:9000' => $other->address);
#     request($nginx->port, ..., Authorization => caller_key('ada'));
#
# What is not in capitals is text of the configuration, and what to put in its
# place. The callers that the comments show have the keys of ada and grace; the
# provider's key is KEY, in each file. The configuration has passed nginx -t
# without a word.

package Composition;

use Mojo::Base -strict, -signatures;
use Carp       qw(croak);
use Example;
use Exporter   qw(import);
use Mojo::File qw(curfile);
use Test::More ();

our @EXPORT = qw(KEY caller_key compose_nginx composition_files);

use constant KEY => 'sk-test-provider-c04d9e';
use constant DIRECTORY => curfile->dirname->dirname->sibling(
    'conf-examples/composition');

sub caller_key ($name) { return "sk-test-caller-$name-b81c" }

sub composition_files () {
    return map { $_->basename } DIRECTORY->list->each;
}

sub compose_nginx ($name, $authority, %changes) {
    my $text = DIRECTORY->child($name)->slurp;
    my %values = (CA => $authority->cert);
    for my $from (sort keys %changes) {
        if ($from =~ /\A[A-Z]/) {
            $values{$from} = $changes{$from};
            next;
        }
        $text =~ s/(?<![\w.])\Q$from\E(?![\w.])/$changes{$from}/g
            or croak "$name has no $from";
    }
    my $nginx = Example->new(authority => $authority, key => KEY,
        callers => [map { caller_key($_) } qw(ada grace)]);
    $nginx->write_files($text);
    my ($exit, $said) = $nginx->test_config($text, %values);
    Test::More::is($exit, 0, "nginx -t of $name");
    Test::More::unlike($said, qr/\[(?:warn|error|crit|alert|emerg)\]/,
        'without a word') or Test::More::diag($said);
    $nginx->start($text, %values);
    return $nginx;
}

1;
