#!/usr/bin/perl

# What keystile costs, next to plain proxy_pass with keepalive and one
# proxy_set_header: a worker's CPU time for each request, under wrk, and its
# instructions for each request, under callgrind where valgrind is there.
#
#     t/bench/run.pl [ROUNDS [SECONDS]]
#
# The two take turns, so that both meet the same weather; a figure is the
# median over the rounds. A ratio of 1.00 or less is the aim.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp  ();
use FindBin     ();
use IO::Socket::INET;
use POSIX       qw(_SC_CLK_TCK sysconf);
use Time::HiRes qw(sleep);

my ($rounds, $seconds) = ($ARGV[0] // 5, $ARGV[1] // 3);

my $nginx  = $ENV{KEYSTILE_NGINX} // '/usr/sbin/nginx';
my $module = $ENV{KEYSTILE_MODULE}
    // "$FindBin::RealBin/../../build/nginx/ngx_http_keystile_module.so";

my $KEY        = 'sk-test-provider-bench';
my $CLIENT_KEY = 'sk-test-client-bench';
my $BODY       = '{"model":"gpt-5","input":"' . 'a' x 900 . '"}';

my $dir = File::Temp->newdir('keystile-bench-XXXXXX', TMPDIR => 1);
chmod 0755, $dir;
my @running;
END { local $?; kill QUIT => $_ for @running; waitpid $_, 0 for @running; }

write_file('key', "$KEY\n", 0600);
write_file('clients.json', sprintf '{"version":1,"clients":[{"id":"bench",'
    . '"keys":["sha256:%s"]}]}', sha256_hex($CLIENT_KEY));
write_file('wrk.lua', <<"END");
wrk.method = "POST"
wrk.body = '$BODY'
wrk.headers["Authorization"] = "Bearer $CLIENT_KEY"
wrk.headers["Content-Type"] = "application/json"
END

my %port = map { $_ => free_port() } qw(provider plain keystile);
start('provider', provider());

printf "%-14s %10s %10s %7s\n", 'per request', qw(plain keystile ratio);
report('CPU, us', cpu_per_request());
report('instructions', instructions_per_request())
    if grep { -x "$_/valgrind" } split /:/, $ENV{PATH};

sub report {
    my ($what, %figure) = @_;
    printf "%-14s %10.1f %10.1f %7.2f\n", $what,
        @figure{qw(plain keystile)}, $figure{keystile} / $figure{plain};
    return;
}

# ---- configurations ----

sub provider {
    my $answer = '{"id":"resp_bench","output":"' . 'a' x 970 . '"}';
    return <<"END";
    server {
        listen 127.0.0.1:$port{provider};
        default_type application/json;
        return 200 '$answer';
    }
END
}

sub plain {
    return <<"END";
    upstream provider { server 127.0.0.1:$port{provider}; keepalive 32; }
    server {
        listen 127.0.0.1:$port{plain};
        location /v1/ {
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer $KEY";
            proxy_buffering off;
        }
    }
END
}

sub keystile {
    return <<"END";
    keystile_credential provider $dir/key;
    keystile_client_keys clients $dir/clients.json;
    upstream provider { server 127.0.0.1:$port{provider}; keepalive 32; }
    server {
        listen 127.0.0.1:$port{keystile};
        location /v1/ {
            keystile_admit clients;
            keystile_allow POST /v1/responses;
            keystile_inject provider;
            keystile_pass http://provider;
        }
    }
END
}

# Writes the configuration of one server; returns nginx's arguments.
sub configuration {
    my ($name, $http, $main) = @_;
    my $user = $> == 0          ? 'user www-data;'         : '';
    my $load = $name eq 'keystile' ? "load_module $module;" : '';
    write_file("$name.conf", <<"END");
$load
$user
$main
daemon off;
pid $dir/$name.pid;
error_log $dir/$name.log;
events { worker_connections 512; }
http {
    access_log off;
    underscores_in_headers on;
    keepalive_requests 1000000000;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    $http
}
END
    return ('-c', "$dir/$name.conf");
}

# ---- CPU time, under wrk ----

sub cpu_per_request {
    my %figures;
    my %master = (
        plain    => start('plain',    plain()),
        keystile => start('keystile', keystile()),
    );
    for (1 .. $rounds) {
        for my $name (qw(plain keystile)) {
            my $worker = worker_of($master{$name});
            my $before = cpu_time($worker);
            my $count  = load($port{$name});
            push @{$figures{$name}},
                1e6 * (cpu_time($worker) - $before) / $count;
        }
    }
    stop($_) for values %master;
    return map { $_ => median(@{$figures{$_}}) } keys %figures;
}

# Runs wrk; returns the number of requests that were answered with 200.
sub load {
    my ($port) = @_;
    my $said = `wrk -t 1 -c 16 -d ${seconds}s -s $dir/wrk.lua \\
        http://127.0.0.1:$port/v1/responses 2>&1`;
    die "wrk: $said" if $said =~ /Non-2xx|Socket errors/;
    my ($count) = $said =~ /(\d+) requests in/ or die "wrk: $said";
    return $count;
}

sub worker_of {
    my ($master) = @_;
    open my $file, '<', "/proc/$master/task/$master/children"
        or die "children of $master: $!";
    my ($worker) = split ' ', <$file>;
    return $worker;
}

sub cpu_time {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!";
    my @fields = split ' ', <$file> =~ s/\A.*\) //r;
    return ($fields[11] + $fields[12]) / sysconf(_SC_CLK_TCK);
}

# ---- instructions, under callgrind ----

# Two runs that differ only in the number of requests: starting and stopping
# are the same in both.
sub instructions_per_request {
    my ($few, $many) = (100, 1100);
    my %figure;
    for my $name (qw(plain keystile)) {
        my ($less, $more) = map { instructions($name, $_) } $few, $many;
        $figure{$name} = ($more - $less) / ($many - $few);
    }
    return %figure;
}

sub instructions {
    my ($name, $count) = @_;
    my $pid = start($name, $name eq 'plain' ? plain() : keystile(),
        'master_process off;', qw(valgrind --tool=callgrind --log-file=/dev/null),
        "--callgrind-out-file=$dir/callgrind");
    ask($port{$name}, $count);
    stop($pid);
    open my $file, '<', "$dir/callgrind" or die "callgrind: $!";
    my ($total) = map { /\A(?:summary|totals): (\d+)/ ? $1 : () } <$file>;
    return $total // die 'callgrind has no total';
}

# Sends requests over one connection, one after the other.
sub ask {
    my ($port, $count) = @_;
    my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die "connect: $!";
    for (1 .. $count) {
        print {$socket} "POST /v1/responses HTTP/1.1\r\nHost: bench\r\n",
            "Authorization: Bearer $CLIENT_KEY\r\n",
            "Content-Type: application/json\r\n",
            'Content-Length: ', length $BODY, "\r\n\r\n", $BODY;
        my $head = '';
        $head .= <$socket> // die 'no answer' until $head =~ /\r\n\r\n\z/;
        my ($length) = $head =~ m{\AHTTP/1.1 200 .*\r\nContent-Length: (\d+)}si
            or die "unexpected: $head";
        read($socket, my $body, $length) == $length or die 'a cut answer';
    }
    return;
}

# ---- processes ----

sub start {
    my ($name, $http, $main, @under) = @_;
    my @arguments = configuration($name, $http, $main // '');
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        exec @under, $nginx, @arguments;
        die "$nginx: $!";
    }
    push @running, $pid;
    for (1 .. 300) {
        return $pid if IO::Socket::INET->new("127.0.0.1:$port{$name}");
        die "$name did not start" if waitpid $pid, POSIX::WNOHANG();
        sleep 0.1;
    }
    die "$name does not listen";
}

# Repeats itself, since under valgrind a signal may come too early to end an
# epoll_wait().
sub stop {
    my ($pid) = @_;
    until (waitpid $pid, POSIX::WNOHANG()) {
        kill QUIT => $pid;
        sleep 0.1;
    }
    @running = grep { $_ != $pid } @running;
    return;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "listen: $!";
    return $socket->sockport;
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[@sorted / 2] }

sub write_file {
    my ($name, $content, $mode) = @_;
    my $path = "$dir/$name";
    my ($parent) = $path =~ m{(.*)/};
    system('mkdir', '-p', $parent) == 0 or die "$parent: $!";
    open my $file, '>', $path or die "$path: $!";
    print {$file} $content;
    close $file or die "$path: $!";
    chmod $mode, $path if defined $mode;
    return;
}
