# Nginx: a real nginx with keystile loaded, of this test alone.
#
#     my $nginx = Nginx->new;
#     $nginx->key_file('openai.key', 'sk-test-provider');
#     $nginx->client_file({ clients => [{ id => 'ci', keys => [$KEY] }] });
#     $nginx->start(<<'CONF', PROVIDER => $provider->address);
#         keystile_credential openai %%DIR%%/openai.key;
#         server { listen 127.0.0.1:%%PORT%%; ... }
#     CONF
#     my $r = request($nginx->port, target => '/v1/models');
#     is $nginx->reload, '';                  # or what [emerg] said
#     my ($line) = $nginx->access_log(1);     # awaits one line
#     $nginx->stop;                           # and judges the logs
#
# start() takes the text of the http block. %%DIR%% is the directory of this
# nginx, %%PORT%%, %%PORT_2%% and so on are free ports; any other %%NAME%%
# must be given. new() takes module => 0 (a plain nginx), workers (1), log
# (the access log's format), log_level (info), underscores (on), events,
# main (more main-level text), daemon (0).
#
# KEYSTILE_NGINX, KEYSTILE_MODULE and KEYSTILE_GLOBALS name the binary, the
# module (empty: it is in the binary) and more main-level configuration;
# KEYSTILE_TEST_LOG is the level of logs of which a test asks nothing else;
# KEYSTILE_TEST_TOLERATES a pattern for tolerate();
# KEYSTILE_TEST_DIR says where the directories go, and KEYSTILE_TEST_KEEP
# leaves them there. Started by root, the workers are www-data. The directory
# is one that passes the rules for key files: each component belongs to root
# or the user, and no one else may write there.
#
# stop() quits, and fails the test when a worker was left behind, when the error
# log has an alert, a crash or a sanitizer's report, or when any key written
# with key_file() can be read in a log. tolerate(qr/.../) excuses lines. With
# KEYSTILE_TEST_LOG, nginx itself may have logged one, as a header of a client.

package Nginx;

use Mojo::Base -base, -signatures;
use Await;
use Carp        qw(croak);
use Cwd         qw(abs_path getcwd);
use Digest::SHA qw(sha256_hex);
use File::Temp  ();
use IO::Socket::IP;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use POSIX      qw(WNOHANG);
use Scalar::Util qw(weaken);
use Test::More ();

use constant LOG_FORMAT => '$request_method $request_uri $status';
use constant FAULTS     => qr/\[(?:alert|crit|emerg)\]|exited\ on\ signal
    |Sanitizer|runtime\ error:/x;

has binary  => sub { $ENV{KEYSTILE_NGINX} // '/usr/sbin/nginx' };
has module  => 1;
has workers => 1;
has log         => LOG_FORMAT;
has log_level   => sub { $ENV{KEYSTILE_TEST_LOG} // 'info' };
has underscores => 'on';
has events      => 'worker_connections 1024;';
has main        => '';
has daemon      => 0;
has dir         => \&_new_dir;
has [qw(master)];

my %alive;    # master pid => Nginx

sub DESTROY ($self) { $self->_end if $self->master; return }

END {
    my $status = $?;
    $_->_end for grep { defined } values %alive;
    $? = $status;
}

# Whether it was built with an option, as `nginx -V` has it.
sub is_built_with ($self, $option) {
    return `@{[$self->binary]} -V 2>&1` =~ /--with-\Q$option\E(?:\s|\z)/;
}

# Such as 1.026003 for 1.26.3.
sub version ($self) {
    my ($major, $minor, $patch) = `@{[$self->binary]} -v 2>&1`
        =~ m{nginx/(\d+)\.(\d+)\.(\d+)} or croak 'nginx has no version';
    return sprintf('%d.%03d%03d', $major, $minor, $patch) + 0;
}

# Writes a file into the directory; returns its path.
sub file ($self, $name, $content, $mode = 0644) {
    my $path = $self->dir . "/$name";
    path($path)->dirname->make_path;
    unlink $path;
    open my $file, '>:raw', $path or croak "$path: $!";
    print {$file} $content;
    close $file or croak "$path: $!";
    chmod $mode, $path or croak "chmod $path: $!";
    return $path;
}

# A credential's file. Its content may appear in no log.
sub key_file ($self, $name, $content, $mode = 0600) {
    push @{$self->{secrets}}, grep { length > 7 } split /\s+/, $content;
    return $self->file($name, $content, $mode);
}

# An auth.json (see CodexAuth). No part of its tokens may appear in a log.
sub auth_file ($self, $name, $auth, $mode = 0600) {
    push @{$self->{secrets}}, map { split /[.]/ }
        @{$auth->{tokens}}{qw(id_token access_token refresh_token)};
    return $self->file($name, encode_json($auth), $mode);
}

# clients.json: keys that are no hash yet are hashed, and the version is set.
sub client_file ($self, $clients, $name = 'clients.json') {
    my @clients = map {
        my %client = %$_;
        $client{keys} = [map { hashed($_) } @{$client{keys}}]
            if ref $client{keys};
        \%client;
    } @{$clients->{clients}};
    return $self->file($name,
        encode_json({version => 1, %$clients, clients => \@clients}));
}

# A client key as clients.json holds it.
sub hashed ($key) {
    return $key =~ /\Asha256:/ ? $key : 'sha256:' . sha256_hex($key);
}

# A free loopback port, the same for the same name. It lies below the range
# from which the kernel takes the near ends of connections.
sub port ($self, $name = '') {
    return $self->{ports}{$name} //= do {
        my %taken = map { $_ => 1 } grep { $_ } values %{$self->{ports}};
        my $port;
        do { $port = 10000 + int rand 22000 }
            until !$taken{$port} && IO::Socket::IP->new(
                LocalHost => '127.0.0.1',
                LocalPort => $port,
                Listen    => 1);
        $port;
    };
}

sub start ($self, $http, %values) {
    my $conf = $self->configure($http, %values);
    my $from = length $self->error_log;
    my $pid  = $self->_run($conf);
    await 'nginx to start', sub {
        my $exited = waitpid($pid, WNOHANG) > 0;    # once only
        croak 'nginx does not start: ' . $self->_said
            if $exited && ($? || !$self->daemon);
        return $self->_generation($from) && -s $self->_path('nginx.pid');
    };
    my $master = path($self->_path('nginx.pid'))->slurp + 0;
    weaken($alive{$master} = $self);
    return $self->master($master);
}

# Writes nginx.conf, which a reload then takes; returns its path. Values given
# before need not be given again, here and in test_config().
sub configure ($self, $http, %values) {
    return $self->file('nginx.conf', $self->text($http, %values));
}

# What `nginx -t` makes of an http block: (exit code, what it said).
sub test_config ($self, $http, %values) {
    my $conf = $self->file('test.conf', $self->text($http, %values));
    open my $output, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh',
        $self->_command($conf), '-t' or croak "nginx: $!";
    my $said = do { local $/; <$output> };
    close $output;
    return ($? >> 8 || $?, $said);
}

# Sends HUP and waits for new workers, and for the old ones to have stopped
# accepting. Returns what made it fail, or an empty string.
sub reload ($self) {
    my $from = length $self->error_log;
    kill HUP => $self->master;
    my $failure = '';
    await 'nginx to reload', sub {
        my $news = substr $self->error_log, $from;
        $failure = join "\n", $news =~ /^(.*\[emerg\].*)$/mg;
        return $failure ne '' || $self->_generation($from)
            && (() = $news =~ /gracefully shutting down/g) >= $self->workers;
    };
    return $failure;
}

# The pids of the newest generation of workers.
sub worker_pids ($self) {
    my @pids = $self->error_log =~ /start worker process (\d+)/g;
    splice @pids, 0, -$self->workers if @pids > $self->workers;
    return @pids;
}

sub error_log ($self) { return _slurp($self->_path('error.log')) }

# The same without the lines in which nginx itself, at debug, writes down each
# header that a client has sent.
sub log_without_headers ($self) {
    return $self->error_log =~ s/^[\d\/]+\ [\d:]+\ \[debug\]\ \d+\#\d+:\ \*\d+
        \ http\ header:\ "[^\n]*\n//mgrx;
}

# The lines of the access log, once there are at least $count.
sub access_log ($self, $count = 0) {
    my @lines;
    await "$count lines in the access log", sub {
        @lines = split /\n/, _slurp($self->_path('access.log'));
        return @lines >= $count;
    };
    return @lines;
}

# The newest line of the access log that matches, once there is one. The client
# has its answer before nginx writes the line: what has been written by then may
# be of the request before, or not.
sub logged_as ($self, $pattern) {
    return await "a line like $pattern in the access log", sub {
        return (grep { $_ =~ $pattern } $self->access_log)[-1];
    };
}

# Lines of the error log that match are no fault.
sub tolerate ($self, @patterns) {
    push @{$self->{tolerated}}, @patterns;
    return $self;
}

sub stop ($self) {
    my $master = $self->master or return $self;
    kill QUIT => $master;
    Test::More::ok(eval { $self->_await_exit }, 'nginx quits')
        or Test::More::diag($@);
    $self->_end;
    my @faults = $self->faults;
    Test::More::ok(!@faults, 'the error log is clean')
        or Test::More::diag(join "\n", @faults);
    my $logs = join '',
        $ENV{KEYSTILE_TEST_LOG} ? $self->log_without_headers : $self->error_log,
        map { _slurp($self->_path($_)) } qw(access.log start.log);
    my @leaks = grep { index($logs, $_) >= 0 } @{$self->{secrets} // []};
    Test::More::ok(!@leaks, 'no credential in a log');
    return $self;
}

# Lines of the error log that no healthy nginx writes.
sub faults ($self) {
    my @tolerated = (@{$self->{tolerated} // []},
        grep { defined } $ENV{KEYSTILE_TEST_TOLERATES});
    return grep {
        my $line = $_;
        !grep { $line =~ $_ } @tolerated;
    } grep { $_ =~ FAULTS } split /\n/, $self->error_log;
}

# The whole configuration around an http block.
sub text ($self, $http, %values) {
    my $dir    = $self->dir;
    my $module = $ENV{KEYSTILE_MODULE}
        // 'build/nginx/ngx_http_keystile_module.so';
    my $load = $self->module && $module ne '';
    my $text = join "\n",
        $ENV{KEYSTILE_GLOBALS} // '',
        $load   ? 'load_module ' . (abs_path($module) // 'missing') . ';' : '',
        $> == 0 ? 'user www-data;'                                        : '',
        'daemon ' . ($self->daemon ? 'on' : 'off') . ';',
        'worker_processes ' . $self->workers . ';',
        "pid $dir/nginx.pid;",
        "error_log $dir/error.log " . $self->log_level . ';',
        $self->main,
        'events { ' . $self->events . ' }',
        'http {',
        "log_format test '" . $self->log . "';",
        "access_log $dir/access.log test;",
        'underscores_in_headers ' . $self->underscores . ';',
        (map { "${_}_temp_path $dir/$_;" }
            qw(client_body proxy fastcgi uwsgi scgi)),
        $http,
        "}\n";
    $text =~ s/%%PORT(\w*)%%/$self->port($1)/ge;
    %values = (%{$self->{values} // {}}, %values, DIR => $dir);
    $self->{values} = {%values};
    $text =~ s/%%(\w+)%%/$values{$1} \/\/ croak "no value for %%$1%%"/ge;
    return $text;
}

sub _generation ($self, $from) {
    my $news = substr $self->error_log, $from;
    return (() = $news =~ /start worker process \d+/g) >= $self->workers;
}

sub _command ($self, $conf) {
    return ($self->binary, '-p', $self->dir, '-e', $self->_path('start.log'),
        '-c', $conf);
}

sub _run ($self, $conf) {
    my @command = $self->_command($conf);
    my $pid     = fork // croak "fork: $!";
    return $pid if $pid;
    open STDERR, '>', $self->_path('stderr.log');
    open STDOUT, '>&', \*STDERR;
    exec @command or POSIX::_exit(127);
}

sub _said ($self) {
    return join '', map { _slurp($self->_path($_)) } qw(stderr.log error.log);
}

sub _await_exit ($self) {
    my $pid = $self->master;
    await 'nginx to quit', sub {
        $self->daemon ? !kill(0 => $pid) : waitpid($pid, WNOHANG) == $pid;
    };
    $self->master(undef);
    delete $alive{$pid};
    return 1;
}

# Ends what is left, by force if need be.
sub _end ($self) {
    my $pid = $self->master or return;
    for my $signal (qw(TERM KILL)) {
        kill $signal => $pid, $signal eq 'KILL' ? $self->worker_pids : ();
        last if eval { $self->_await_exit };
    }
    return;
}

sub _path ($self, $name) { return $self->dir . "/$name" }

sub _slurp ($path) { return -e $path ? path($path)->slurp : '' }

# /tmp will not do: anyone may write there.
sub _new_dir ($self) {
    my $home = $ENV{KEYSTILE_TEST_DIR}
        // ($> == 0 ? '/run' : getcwd . '/build');
    path($home)->make_path;
    my $dir = File::Temp->newdir('keystile-test-XXXXXX', DIR => $home,
        CLEANUP => !$ENV{KEYSTILE_TEST_KEEP});
    chmod 0755, $dir;
    return $dir;
}

1;
