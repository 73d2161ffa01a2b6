# Configuration: a configuration that is right, changed a piece at a time, and
# what `nginx -t` makes of it.
#
#     configure_with($nginx, $key, CA => $path);
#     passes 'any', admit => 'keystile_admit any;';
#     warns 'underscores', 'underscores_in', server => 'underscores_in...';
#     fails 'no rule', 'keystile_allow', allow => '';
#
# The files openai.key and clients.json must be in nginx's directory. A change
# replaces a piece: credential, clients, http, server, admit, allow, inject,
# pass or more, in that order, the last five in one location. Each check also
# sees to it that $key is in nothing that was said. fails() wants the place, as
# all messages of nginx have it, unless `place => 0`. An nginx without TLS is to
# refuse each location that would pass requests to https://, and to say why.

package Configuration;

use Mojo::Base -strict, -signatures;
use Exporter qw(import);
use Test::More;

our @EXPORT = qw(configure_with fails passes piece warns);

my %PIECES = (
    credential => 'keystile_credential openai %%DIR%%/openai.key;',
    clients    => 'keystile_client_keys team %%DIR%%/clients.json;',
    http       => '',
    server     => '',
    admit      => 'keystile_admit team;',
    allow      => 'keystile_allow POST /v1/responses;',
    inject     => 'keystile_inject openai;',
    pass       => 'keystile_pass http://127.0.0.1:9;',
    more       => '',
);
my $NO_TLS = '"https://" needs [^\n]* --with-http_ssl_module';
my ($nginx, $secret, %values);

sub configure_with ($with, $key, %more) {
    ($nginx, $secret, %values) = ($with, $key, %more);
    return;
}

# A piece as it is when nothing changes it.
sub piece ($name) { return $PIECES{$name} }

sub passes ($name, %change) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return fails($name, $NO_TLS, %change) if _lacks_tls(\%change);
    my ($exit, $said) = _test(\%change);
    is $exit, 0, "$name: passes" or return diag $said;
    unlike $said, qr/\[(?:warn|error|crit|alert|emerg)\]/, "$name: silently";
    return;
}

sub warns ($name, $pattern, %change) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return fails($name, $NO_TLS, %change) if _lacks_tls(\%change);
    my ($exit, $said) = _test(\%change);
    is $exit, 0, "$name: passes" or diag $said;
    like $said, qr/\[warn\][^\n]*(?:$pattern)/, "$name: with a warning";
    return;
}

sub fails ($name, $pattern, %change) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $place = delete $change{place} // 1;
    $pattern .= "|$NO_TLS" if _lacks_tls(\%change);
    my ($exit, $said) = _test(\%change);
    isnt $exit, 0, "$name: fails";
    like $said, qr/\[emerg\][^\n]*(?:$pattern)/, "$name: says so";
    like $said, qr/\[emerg\][^\n]* in \S+:\d+$/m, "$name: says where"
        if $place;
    return;
}

sub _lacks_tls ($change) {
    return ($change->{pass} // '') =~ m{https://}
        && !$nginx->is_built_with('http_ssl_module');
}

sub _test ($change) {
    my %c = (%PIECES, %$change);
    my ($exit, $said) = $nginx->test_config(<<"CONF", %values);
$c{credential}
$c{clients}
$c{http}
server {
listen 127.0.0.1:%%PORT%%;
$c{server}
location /v1/ {
$c{admit}
$c{allow}
$c{inject}
$c{pass}
$c{more}
}
}
CONF
    fail('the key is in what nginx says') if index($said, $secret) >= 0;
    return ($exit, $said);
}

1;
