# Example: an nginx that runs a configuration of conf-examples/ as it stands,
# but for what must differ in a test: @CHANGES.
#
#     my $nginx = Example->new(authority => $authority, key => $KEY,
#         callers => [$CALLER, ...]);
#     $nginx->write_files($text);
#     $nginx->start($text, PROVIDER => $provider->address,
#         CA => $authority->cert);
#
# write_files() writes what the configuration names below /etc/keystile: keys,
# certificates of the authority's, and the JSON files that its comments show,
# with the keys of callers in that order.

package Example;

use Mojo::Base 'Nginx', -signatures;
use CodexAuth;
use Cwd        qw(abs_path);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);

has [qw(authority key)];
has callers => sub { [] };

my $MODULE = $ENV{KEYSTILE_MODULE}
    // 'build/nginx/ngx_http_keystile_module.so';
my $LOAD = $MODULE eq '' ? '' : 'load_module ' . abs_path($MODULE) . ';';

# Each has to be found in every example, but for those that are marked.
my @CHANGES = (
    ['the module' =>
        qr{load_module[ ]+modules/ngx_http_keystile_module\.so;}, $LOAD],
    ['the workers' => qr/worker_processes  auto;/,
        "worker_processes 1; daemon off; " . ($ENV{KEYSTILE_GLOBALS} // '')],
    ['their user, without root' => qr/^user .*\n/m, $> == 0 ? undef : ''],
    ['the level of the error log, where Nginx sees what workers do' =>
        qr/(?<=error\.log)  warn;/, '  info;'],
    ['the logs'  => qr{/var/log/nginx(?=/)}, '%%DIR%%'],
    ['the pid'   => qr{/run(?=/nginx\.pid)}, '%%DIR%%'],
    ['the keys'  => qr{/etc/keystile(?=/)},  '%%DIR%%'],
    ['the password, if any' => qr{/etc/nginx(?=/keystile-)}, '%%DIR%%'],
    ['the site, if any' => qr{/var/www/html}, '%%DIR%%/html'],
    ['the state, if any' => qr{/var/lib/keystile(?=/)}, '%%DIR%%'],
    ['the records, if any' => qr{/var/log/keystile(?=/)}, '%%DIR%%'],
    ['the operator, if any' =>
        qr/(?<=listen) +127\.0\.0\.1:8080(?=;\s+server_name +localhost;)/,
        ' 127.0.0.1:%%OPERATOR%%'],
    ['the listener' => qr/(?<=listen) +(?:127\.0\.0\.1:)?\d+(?=[ ;])/,
        ' 127.0.0.1:%%PORT%%'],
    ['the provider' => qr/(?<=server) +[\w.-]+:443;/, ' %%PROVIDER%%;'],
    ['the authority and the temporary files' => qr/(?<=^http \{\n)/m,
        'keystile_ssl_trusted_certificate %%CA%%;' . join '',
        map { " ${_}_temp_path %%DIR%%/$_;" }
            qw(client_body proxy fastcgi uwsgi scgi)],
);

sub text ($self, $text, %values) {
    %values = (%{$self->{values} // {}}, %values, DIR => $self->dir,
        PORT => $self->port, OPERATOR => $self->port('operator'));
    $self->{values} = {%values};
    for my $change (@CHANGES) {
        my ($what, $pattern, $replacement) = @$change;
        next if !defined $replacement;
        my $found = $text =~ s/$pattern/$replacement/g;
        die "$what: not found\n" if !$found && $what !~ /\bif any\b/;
    }
    return $text =~ s/%%(\w+)%%/$values{$1}/gr;
}

# Writes the files that the example names below /etc/keystile.
sub write_files ($self, $text) {
    my $leaf    = $self->authority->issue('llm.example.com', 'www.example.com');
    my %content = (
        'tls/cert.pem'  => path($leaf->{cert})->slurp,
        'tls/key.pem'   => path($leaf->{key})->slurp,
        'tls/agents.pem' => path($self->authority->cert)->slurp,
    );
    my $shown = $self->_shown_files($text);
    for my $name ($text =~ m{^ [^#\n]* /etc/keystile/ ([\w./-]+)}gmx) {
        $name =~ /\.key\z/ ? $self->key_file($name, $self->key . "\n")
            : $name eq 'clients.json' ? $self->client_file($shown->{clients})
            : $name =~ /auth\.json\z/ ? $self->auth_file($name, $self->_login)
            : $name eq 'prices.json'
            ? $self->file($name, encode_json($shown->{models}))
            : $self->file($name, $content{$name} // die "what is $name?\n");
    }
    return;
}

# With the key as its access token, of which nothing is known then.
sub _login ($self) {
    my $auth = auth(account => 'acc-example');
    $auth->{tokens}{access_token} = $self->key;
    return $auth;
}

# The JSON files that the example shows in its comments, as they are but for
# the hashes, by what they hold, clients or models; one caller where none is
# shown.
sub _shown_files ($self, $text) {
    my @callers = @{$self->callers};
    my %shown   = (
        clients => {clients => [{id => 'ada', keys => [$callers[0]]}]});
    while ($text =~ /((?:^\#[ ]{5}[ {].*\n)+)/gm) {
        my $json = $1 =~ s/^#//gmr;
        next if $json !~ /\A\s*\{/;
        my $file = decode_json $json;
        my @keys = @callers;
        $_->{keys} = [shift @keys] for @{$file->{clients} // []};
        $shown{$_} = $file for grep { /clients|models/ } keys %$file;
    }
    return \%shown;
}

1;
