# ResponsesProxy: OpenAI's `codex responses-api-proxy`, or what stands in for
# it here, as a child of the test.
#
#     my $proxy = ResponsesProxy->start(key => $KEY, upstream => $url);
#     my $proxy = ResponsesProxy->start(original => 1, ...);
#     request($proxy->port, method => 'POST', target => '/v1/responses', ...);
#     $proxy->pid;                            # as --server-info has it
#     $proxy->folder;                         # what it may write to
#     is $proxy->end('TERM'), 'a signal';     # or an exit code
#     like $proxy->said, qr/listening/;
#
# start() also takes options (more of them), user (whom it runs as), env, open
# (standard input stays open behind the key), input (all of it, in place of the
# key), and documented (started by the line that OpenAI documents, with the key
# in the environment). With `may_fail => 1` a proxy that ends is returned, too;
# its exit code is what end() says.

package ResponsesProxy;

use Mojo::Base -base, -signatures;
use Await;
use Carp       qw(croak);
use Child;
use File::Spec ();
use File::Temp ();
use Mojo::File qw(curfile path);
use Mojo::JSON qw(decode_json);

use constant {
    OURS => curfile->dirname->dirname->dirname->sibling(
        'conf-examples/responses-proxy/keystile-responses-proxy')->to_string,
    DOCUMENTED => 'printenv OPENAI_API_KEY | env -u OPENAI_API_KEY "$@"',
    ORIGINAL => curfile->dirname->sibling('node_modules/.bin/codex')->to_string,
};

has original => 0;
has options  => sub { [] };
has env      => sub { {} };
has open     => 0;
has documented => 0;
has [qw(key upstream user may_fail child folder port pid)];

sub start ($class, @args) {
    my $self = $class->SUPER::new(@args);
    my $home = File::Temp->newdir('keystile-proxy-XXXXXX',
        DIR => $self->user ? '/run' : File::Spec->tmpdir);
    $self->folder($home);
    path("$home/$_")->make_path for qw(codex tmp);
    chmod 0755, $home if $> == 0;    # for workers, who are others
    $self->_give_away if $self->user;
    $self->child(Child->start(
        talk    => 1,
        dir     => "$home",
        env     => $self->_environment,
        command => $self->_command));
    my $input = $self->{input} // $self->key . "\n";
    $input = '' if $self->documented;
    syswrite $self->child->{in}, $input if $input ne '';
    $self->child->hang_up if !$self->open;
    return $self->_await_server;
}

# All that it has said.
sub said ($self) { return $self->child->out . $self->child->err }

# Sends it a signal, if that is given, and waits for its end; returns its exit
# code, or `a signal`.
sub end ($self, $signal = undef) {
    kill $signal => $self->child->pid if defined $signal;
    await 'the proxy to end', sub { $self->child->ended };
    return $self->child->exit // 'a signal';
}

sub _await_server ($self) {
    my $info = $self->folder . '/run/info.json';
    await 'the proxy to start', sub {
        return 1 if -s $info;
        return 0 if !$self->child->ended;
        return 1 if $self->may_fail;
        die "the proxy does not start: @{[$self->said]}\n";
    };
    return $self if !-s $info;
    my $server = decode_json(path($info)->slurp);
    return $self->port($server->{port})->pid($server->{pid});
}

sub _give_away ($self) {
    my ($uid, $gid) = (getpwnam $self->user)[2, 3];
    chown $uid, $gid, $self->folder,
        map { $self->folder . "/$_" } qw(codex tmp);
    return;
}

sub _environment ($self) {
    return {
        CODEX_HOME => $self->folder . '/codex',
        HOME       => $self->folder . '/tmp',
        TMPDIR     => $self->folder . '/tmp',
        (map { exists $ENV{$_} ? ($_ => $ENV{$_}) : () }
            qw(KEYSTILE_NGINX ASAN_OPTIONS)),
        KEYSTILE_MODULE => path($ENV{KEYSTILE_MODULE}
                // 'build/nginx/ngx_http_keystile_module.so')->to_abs,
        ($self->documented ? (OPENAI_API_KEY => $self->key) : ()),
        %{$self->env},
    };
}

sub _command ($self) {
    my @program = $self->original ? (ORIGINAL, 'responses-api-proxy') : OURS;
    croak ORIGINAL . ' is missing: npm ci makes it' if !-x $program[0];
    my @as = $self->user
        ? ('setpriv', '--reuid', $self->user, '--regid',
        (getpwnam $self->user)[3], '--clear-groups')
        : ();
    my @upstream = $self->upstream ? ('--upstream-url', $self->upstream) : ();
    my @shell = $self->documented ? ('sh', '-c', DOCUMENTED, 'sh') : ();
    return [@as, @shell, @program, '--server-info',
        $self->folder . '/run/info.json', @upstream, @{$self->options}];
}

1;
