# Servers: the nginx processes that are measured, each with its own
# configuration, and what they read.
#
#     prepare(@SERVERS);                    # all that they will need
#     my $master = start($name, $port, $workers, @under);
#     for my $pid (workers($master)) { ... }
#     stop($master);
#
# A name is "plain", or "on" or "off" (metering) with a number of clients:
# on-100000. With no workers there is one process, which @under (valgrind) may
# run. All go to a provider at $PROVIDER. Files are in $DIR, and gone at the
# end.

package Servers;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Exporter    qw(import);
use File::Temp  ();
use FindBin     ();
use IO::Socket::INET;
use POSIX       qw(WNOHANG);
use Time::HiRes qw(sleep);

our @EXPORT = qw($DIR $FREE $LIMITED $PROVIDER free_port prepare start stop
    workers);

# Keys of clients: one without limits, one with.
our $FREE    = 'sk-test-client-bench-free';
our $LIMITED = 'sk-test-client-bench-held';

our $DIR      = File::Temp->newdir('keystile-bench-XXXXXX', TMPDIR => 1);
our $PROVIDER = free_port();

my $nginx  = $ENV{KEYSTILE_NGINX} // '/usr/sbin/nginx';
my $module = $ENV{KEYSTILE_MODULE}
    // "$FindBin::RealBin/../../build/nginx/ngx_http_keystile_module.so";

chmod 0755, $DIR;
my @running;
END { local $?; kill QUIT => $_ for @running; waitpid $_, 0 for @running; }

# ---- configurations ----

sub prepare {
    my (@servers) = @_;
    my $compiler = $ENV{CXX} // 'c++';
    system($compiler, qw(-std=c++20 -O2 -o), "$DIR/traffic",
        "$FindBin::RealBin/traffic.cpp") == 0 or die "$compiler: $?";
    write_file('key', "sk-test-provider-bench\n", 0600);
    write_file('prices.json', '{"version":1,"models":[{"model":"gpt-5*",'
        . '"input":1.25,"cached_input":0.125,"output":10},'
        . '{"model":"*","input":1,"output":2}]}');
    write_file("clients-$_.json", clients(split /-/))
        for grep { $_ ne 'plain' } @servers;
    return;
}

# Those who call, and others. Limits, which need metering, are never reached.
sub clients {
    my ($meter, $count) = @_;
    my $limits = join ',', '{"requests":1000000000,"per":"minute"}',
        '{"tokens":1000000000000,"per":"day"}',
        '{"usd":1000000,"per":"month"}', '{"concurrent":100000}';
    my @clients = map { client("other-$_", "sk-test-client-other-$_") }
        3 .. $count;
    splice @clients, @clients / 2, 0, client('free', $FREE),
        client('limited', $LIMITED,
            $meter eq 'on' ? qq(,"limits":[$limits]) : '');
    return '{"version":1,"clients":[' . join(",\n", @clients) . ']}';
}

sub client {
    my ($id, $key, $more) = @_;
    return sprintf '{"id":"%s","keys":["sha256:%s"]%s}', $id,
        sha256_hex($key), $more // '';
}

sub plain {
    return <<'END';
        location /v1/ {
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer sk-test-provider-bench";
            proxy_buffering off;
        }
        location /v1/socket {
            proxy_pass http://provider/v1/responses;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Authorization "Bearer sk-test-provider-bench";
        }
END
}

# In http{}, and in server{}.
sub files {
    my ($name) = @_;
    return <<"END";
    keystile_credential provider $DIR/key;
    keystile_client_keys clients $DIR/clients-$name.json;
    keystile_prices $DIR/prices.json;
    keystile_zone main 64m;
END
}

sub keystile {
    my ($meter) = @_;
    my $metering = $meter eq 'on' ? 'keystile_meter main;' : '';
    return <<"END";
        location /v1/ {
            keystile_admit clients;
            keystile_allow POST /v1/responses;
            keystile_allow GET /v1/socket websocket to=/v1/responses;
            keystile_inject provider;
            $metering
            keystile_pass http://provider;
        }
END
}

# Returns nginx's arguments; no workers: one process, for callgrind.
sub configuration {
    my ($name, $port, $workers) = @_;
    my ($meter) = split /-/, $name;
    my $plain   = $name eq 'plain';
    my $load    = $plain   ? ''                : "load_module $module;";
    my $user    = $> == 0  ? 'user www-data;'  : '';
    my $process = $workers ? "worker_processes $workers;"
        : 'master_process off;';
    my $http   = $plain ? '' : files($name);
    my $server = $plain ? plain() : keystile($meter);
    write_file("$name-$port.conf", <<"END");
$load
$user
$process
daemon off;
worker_rlimit_nofile 4096;
pid $DIR/$name-$port.pid;
error_log $DIR/$name-$port.log;
events { worker_connections 2048; }
http {
    access_log off;
    underscores_in_headers on;
    keepalive_requests 1000000000;
    client_body_temp_path $DIR/body;
    proxy_temp_path $DIR/proxy;
    upstream provider { server 127.0.0.1:$PROVIDER; keepalive 32; }
$http
    server {
        listen 127.0.0.1:$port;
$server
    }
}
END
    return ('-c', "$DIR/$name-$port.conf");
}

# ---- processes ----

sub start {
    my ($name, $port, $workers, @under) = @_;
    my @arguments = configuration($name, $port, $workers);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        exec @under, $nginx, @arguments;
        die "$nginx: $!";
    }
    push @running, $pid;
    for (1 .. 600) {
        return $pid if workers($pid) == $workers
            && IO::Socket::INET->new("127.0.0.1:$port");
        die "$name did not start" if waitpid $pid, WNOHANG;
        sleep 0.05;
    }
    die "$name does not listen";
}

sub workers {
    my ($master) = @_;
    open my $file, '<', "/proc/$master/task/$master/children"
        or die "children of $master: $!";
    my @workers = split ' ', <$file> // '';
    return @workers;
}

# Repeats itself, since under valgrind a signal may come too early to end an
# epoll_wait().
sub stop {
    my ($pid) = @_;
    until (waitpid $pid, WNOHANG) {
        kill QUIT => $pid;
        sleep 0.05;
    }
    @running = grep { $_ != $pid } @running;
    return;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "listen: $!";
    return $socket->sockport;
}

sub write_file {
    my ($name, $content, $mode) = @_;
    my $path = "$DIR/$name";
    open my $file, '>', $path or die "$path: $!";
    print {$file} $content;
    close $file or die "$path: $!";
    chmod $mode, $path if defined $mode;
    return;
}

1;
