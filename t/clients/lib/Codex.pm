# Codex: one unattended `codex exec` turn.
#
#     my $turn = codex(base_url => $gateway->url('MAIN') . '/v1',
#         key => $KEY, websockets => 1);
#     my $turn = codex(config => $toml, env => { OUR_KEY => $KEY });
#     is $turn->text, 'Hello';                # the assistant's last words
#     is $turn->exit, 0;
#     like $turn->errors, qr/401/;            # every error it showed, joined
#     is $turn->usage->{input_tokens}, 120;
#
# %how: base_url, key, websockets (0), model (mock-1), retries (Codex's own
# numbers), provider (what its table says of credentials, as TOML), built_in
# (use Codex's own provider instead of one of ours), ca (a file). Or config:
# the whole of config.toml, with Codex's own model; and env, what it names. Or
# settings: what `-c` gets, in place of a gateway. With login, the content of an
# auth.json (see CodexAuth), Codex is logged in, and $turn->login is what it has
# afterwards, undef when it has none. command is what to do in place of a turn,
# and $turn->out what it printed.
#
# Codex keeps everything in a folder of this turn, reports to nobody, and
# talks to no other host.

package Codex;

use Mojo::Base -base, -signatures;
use Child;
use Exporter   qw(import);
use File::Temp ();
use Mojo::File qw(curfile path);
use Mojo::JSON qw(decode_json encode_json);

our @EXPORT = qw(codex);

use constant PROGRAM =>
    curfile->dirname->sibling('node_modules/.bin/codex')->to_string;

# A turn takes well under a second; retries are the longest part.
use constant SECONDS => 60;

has [qw(exit out err login)];
has events => sub { [] };

sub codex (%how) {
    my $folder = File::Temp->newdir('keystile-codex-XXXXXX', TMPDIR => 1);
    path("$folder/$_")->make_path for qw(codex home tmp work);
    open my $config, '>', "$folder/codex/config.toml" or die "config: $!\n";
    print {$config} $how{config} // '';
    close $config or die "config: $!\n";
    my $auth = path("$folder/codex/auth.json");
    $auth->spurt(encode_json($how{login}))->chmod(0600) if $how{login};
    my $child = Child->start(
        dir => "$folder/work",
        env => {
            CODEX_HOME => "$folder/codex",
            HOME       => "$folder/home",
            TMPDIR     => "$folder/tmp",
            _key_variable(%how),
            _trust(%how),
            %{$how{env} // {}},
        },
        command => [PROGRAM, @{$how{command} // [_arguments(%how)]}]);
    $child->finish(SECONDS);
    return Codex->new(
        exit   => $child->exit,
        out    => $child->out,
        err    => $child->err,
        login  => -e $auth ? decode_json($auth->slurp) : undef,
        events => [map { decode_json($_) } grep { /\A\{"/ }
            split /\n/, $child->out]);
}

sub text ($self) {
    my ($last) = reverse grep { $_->{type} eq 'agent_message' } $self->_items;
    return $last && $last->{text};
}

sub errors ($self) {
    return join "\n", map { $_->{message} // $_->{error}{message} // () }
        (grep { $_->{type} =~ /\A(?:error|turn\.failed)\z/ } @{$self->events}),
        (grep { $_->{type} eq 'error' } $self->_items);
}

sub usage ($self) {
    my ($completed)
        = grep { $_->{type} eq 'turn.completed' } @{$self->events};
    return $completed && $completed->{usage};
}

sub _items ($self) {
    return map { $_->{item} // () } @{$self->events};
}

# Codex's own provider reads no other variable.
sub _key_variable (%how) {
    return () if !defined $how{key};
    return (($how{built_in} ? 'CODEX_API_KEY' : 'GATEWAY_KEY') => $how{key});
}

# HTTP and WebSocket look for it in different places.
sub _trust (%how) {
    return () if !defined $how{ca};
    return map { ($_ => $how{ca}) } qw(SSL_CERT_FILE CODEX_CA_CERTIFICATE);
}

sub _arguments (%how) {
    my @settings = ('features.plugins=false', 'analytics.enabled=false',
        'check_for_update_on_startup=false',
        'features.unbounded_connection_retries=false', _gateway(%how));
    return (qw(exec --skip-git-repo-check --json -s read-only),
        (map { (-c => $_) } @settings), 'Say hello.');
}

sub _gateway (%how) {
    return @{$how{settings}} if $how{settings};
    return ()                if defined $how{config};
    my $model = sprintf 'model="%s"', $how{model} // 'mock-1';
    return ($model, qq(openai_base_url="$how{base_url}")) if $how{built_in};
    return ($model, 'model_provider="gateway"',
        'model_providers.gateway={' . _provider(%how) . '}');
}

sub _provider (%how) {
    return join ',', 'name="gateway"', 'wire_api="responses"',
        qq(base_url="$how{base_url}"),
        $how{provider} // 'env_key="GATEWAY_KEY"',
        'supports_websockets=' . ($how{websockets} ? 'true' : 'false'),
        defined $how{retries}
        ? map { "${_}_max_retries=$how{retries}" } qw(request stream)
        : ();
}

1;
