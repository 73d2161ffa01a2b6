# AgentCheck: runs conf-examples/agent-check with an environment, and judges
# what it says.
#
#     passes 'a placeholder', {OPENAI_API_KEY => $PLACEHOLDER{openai}};
#     fails 'a key', {OPENAI_API_KEY => $KEY}, 'OPENAI_API_KEY ', '--no-files';
#     my ($exit, $said) = check($env, @options);
#     is_free_of $said, 'a key', $KEY;
#
# An array before the options is the shell, with its arguments. passes() and
# fails(), which wants exactly one finding that begins so, also see to it that
# no value of the environment is in what was said. Other processes are not
# looked at, and HOME is an empty directory, unless the test says so.

package AgentCheck;

use Mojo::Base -strict, -signatures;
use Child;
use Exporter   qw(import);
use File::Temp ();
use Mojo::File qw(curfile);
use Test::More;

our @EXPORT = qw(%PLACEHOLDER check fails is_free_of passes script);

our %PLACEHOLDER = (
    openai    => 'sk-placeholder-for-api-proxy',
    anthropic => 'sk-ant-placeholder-key-for-credential-isolation',
    copilot   => 'ghu_' . 'a' x 36,
    offline   => 'dummy-byok-key-for-offline-mode',
    gemini    => 'gemini-api-key-placeholder-for-credential-isolation',
    google    => 'google-api-key-placeholder-for-credential-isolation',
);

my $nothing = File::Temp->newdir('keystile-check-XXXXXX', TMPDIR => 1);

sub script () {
    return curfile->dirname->dirname->dirname->sibling(
        'conf-examples/agent-check/keystile-agent-check')->to_abs;
}

sub check ($env, @options) {
    my @shell = ref $options[0] ? @{shift @options} : '/bin/sh';
    return run($env, @shell, script(), '--no-processes', @options);
}

# Runs a command with this environment only; returns its exit code and all that
# it said.
sub run ($env, @command) {
    my $child = Child->start(
        command => \@command,
        env     => {HOME => "$nothing", %$env});
    $child->finish;
    return ($child->exit, $child->out . $child->err);
}

sub is_free_of ($said, $what, @secrets) {
    return ok !(grep { index($said, $_) >= 0 } @secrets), "$what: no value";
}

sub passes ($what, $env, @options) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($exit, $said) = check($env, @options);
    is $exit, 0, "$what: good" or diag $said;
    unlike $said, qr/FAIL|:\d+:/, "$what: silently";
    return is_free_of($said, $what, grep { length > 7 } values %$env);
}

sub fails ($what, $env, $finding, @options) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($exit, $said) = check($env, @options);
    is $exit, 1, "$what: not good" or diag $said;
    like $said, qr/^agent-check: FAIL: $finding/m, "$what: it says what";
    is scalar(() = $said =~ /FAIL/g), 1, "$what: and no more" or diag $said;
    return is_free_of($said, $what, grep { length > 7 } values %$env);
}

1;
