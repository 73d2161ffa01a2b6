# Nobody but root gets at the memory of a process that holds a credential:
# not another process of the workers' user, however early it tries, and not by
# way of a core file.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Backing;
use Compiled;
use Memory;
use Mojo::File qw(path);
use Nginx;
use Provider;
use Thief;
use Upgrade;
use Verdict;
use Wire;

plan skip_all => 'needs a C compiler' if !compiled('memory_thief');
plan skip_all => 'ASan has its own mlock() and its own end of a crash'
    if $ENV{KEYSTILE_SANITIZED};

my $CONF = <<'CONF';
    keystile_credential openai %%DIR%%/openai.key;
    keystile_harden     %%HARDEN%%;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            keystile_admit  any;
            keystile_allow  GET /a;
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
    }
CONF
my $provider = Provider->new;
my $KEY      = fresh_key('hardened');

sub nginx (%more) {
    my $nginx = Nginx->new(%more);
    $nginx->key_file('openai.key', $KEY);
    return $nginx;
}

sub start ($nginx, $harden = 'on') {
    return $nginx->start($CONF,
        HARDEN   => $harden,
        PROVIDER => $provider->address);
}

sub serves ($nginx, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Verdict->new(provider => $provider, key => $KEY)
        ->admitted($name, request($nginx->port, target => '/a'));
    return;
}

# A field of /proc/PID/status.
sub status ($pid, $field) {
    my ($value) = path("/proc/$pid/status")->slurp =~ /^$field:\s*(.*?)\s*$/m;
    return $value;
}

# The workers, once they are ready: they call themselves so just before the
# first event.
sub workers ($nginx) {
    my @pids = $nginx->worker_pids;
    for my $pid (@pids) {
        await 'a worker', sub {
            path("/proc/$pid/cmdline")->slurp =~ /nginx: worker process/;
        };
    }
    return @pids;
}

# Whether another process of its user could attach to it: what belongs to root
# in /proc is that of a process that is not dumpable.
sub is_dumpable ($pid) { return (stat "/proc/$pid/mem")[4] != 0 }

sub core_limit ($pid) {
    my ($limit) = path("/proc/$pid/limits")->slurp
        =~ /^Max core file size\s+(\S+\s+\S+)/m;
    return $limit;
}

sub hardened ($nginx, $name, @masters) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $pid (@masters ? @masters : $nginx->master) {
        is status($pid, 'NoNewPrivs'), 1, "$name: master, no new privileges";
        like core_limit($pid), qr/\A0\s+0\z/, 'no core files';
        ok !is_dumpable($pid), 'not dumpable' if $> != 0;
    }
    for my $pid (workers($nginx)) {
        is status($pid, 'NoNewPrivs'), 1, "$name: worker, no new privileges";
        is status($pid, 'Seccomp'),    2, 'a seccomp filter';
        like core_limit($pid), qr/\A0\s+0\z/, 'no core files';
        ok !is_dumpable($pid), 'not dumpable';
    }
    return;
}

# Kills a worker; returns once there is another, and what it is.
sub respawn ($nginx, $signal = 'KILL') {
    my ($old) = $nginx->worker_pids;
    kill $signal => $old;
    return await 'another worker', sub {
        my ($new) = $nginx->worker_pids;
        return $new != $old && $new;
    };
}

# No process ends before the thief has had its chance, whenever that comes.
sub tried ($thief, @pids) {
    for my $pid (@pids) {
        await "the thief to try $pid", sub { $thief->has_tried($pid) };
    }
    return;
}

sub nothing_stolen ($name, %got) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is join(' ', map { "$_ $got{$_}" } qw(mem vm seize attach keys)),
        'mem 0 vm 0 seize 0 attach 0 keys 0',
        "$name: nothing in $got{tries} tries at $got{seen} processes";
    return;
}

# As long as one of its user can start and end workers. Without root, master
# and workers are of one user: the thief then comes when the master is there.
subtest 'a thief of the same user' => sub {
    my $nginx = start(nginx());
    my $thief = Thief->new(key => $KEY, ancestor => $nginx->master)->start;
    tried($thief, $nginx->worker_pids);
    for (1 .. 50) {
        is $nginx->reload, '', "reload $_";
        tried($thief, $nginx->worker_pids);
    }
    for (1 .. 20) {
        respawn($nginx);
        tried($thief, $nginx->worker_pids);
    }
    my %got = $thief->stop;
    cmp_ok $got{seen}, '>=', 1 + 50 + 20, 'it has seen them all';
    nothing_stolen('50 reloads and 20 respawns', %got);
    serves($nginx, 'it works');
    hardened($nginx, 'after them');
    $nginx->tolerate(qr/exited on signal 9/)->stop;

    if ($> == 0) {
        $thief = Thief->new(key => $KEY, ancestor => $$)->start;
        for (1 .. 10) {
            my $new = start(nginx());
            tried($thief, $new->master, $new->worker_pids);
            $new->stop;
        }
        %got = $thief->stop;
        cmp_ok $got{seen}, '>=', 10 * 2, 'it has seen them all';
        nothing_stolen('10 cold starts', %got);
    }

    for my $backing (backings()) {
        my $off   = nginx(binary => $backing->{binary}->());
        start($off, 'off');
        $thief = Thief->new(key => $KEY, ancestor => $off->master)->start;
        like $off->error_log, qr/\[warn\][^\n]*keystile_harden/,
            "$backing->{name}, off: said at start";
        SKIP: {
            skip 'Yama protects every process', 1 if !Thief::is_free();
            is $off->reload, '', "reload $_" for 1 .. 3;
            serves($off, 'it works');
            tried($thief, $off->worker_pids);
            my %off = $thief->stop;
            cmp_ok $off{$_}, '>', 0, "the thief succeeds: $_"
                for qw(mem vm seize);
            is !!$off{keys}, !!$backing->{copies},
                'and has the key, if the kernel lets it be read at all';
        }
        $off->stop;
    }
};

# Whether a process of nginx that crashes leaves a core file, and what of.
sub crash ($nginx) {
    my $cores = $nginx->dir . '/cores';
    my ($old) = $nginx->worker_pids;
    respawn($nginx, 'SEGV');
    await 'the end of it', sub { !-e "/proc/$old" };
    my ($core) = glob "$cores/*";
    return $core;
}

sub crasher ($harden, %more) {
    my $nginx = nginx(
        binary => wrapped('ulimit -c unlimited; exec "$NGINX" "$@"'), %more);
    mkdir $nginx->dir . '/cores';
    chmod 0777, $nginx->dir . '/cores';
    $nginx->main('worker_rlimit_core 500m; working_directory '
            . $nginx->dir . '/cores;');
    # Root may lack the capability to raise the limit that keystile has set.
    $nginx->tolerate(qr/exited on signal 11|setrlimit\(RLIMIT_CORE/);
    return $nginx if !$harden;
    return start($nginx, $harden);
}

subtest 'core files' => sub {
    plan skip_all => 'needs root' if $> != 0;
    plan skip_all => 'core files go elsewhere on this system'
        if path('/proc/sys/kernel/core_pattern')->slurp !~ /\A[^|\/]/;

    my $plain = crasher(undef, module => 0);
    $plain->start("server { listen 127.0.0.1:%%PORT%%; location / {
        proxy_set_header Authorization 'Bearer $KEY';
        proxy_pass http://127.0.0.1:9; }
        location = /ping { return 204; } }");
    # Until then, a worker may not have gone where its core file is to be. It
    # would write what it sends to its log, at debug.
    is request($plain->port, target => '/ping')->status, 204,
        'a plain nginx answers';
    my $core = crash($plain);
    ok $core, 'it leaves one';
    cmp_ok index(path($core)->slurp, $KEY), '>=', 0, 'with the key in it'
        if $core;
    $plain->stop;

    my $nginx = crasher('on');
    like $nginx->error_log, qr/\[warn\][^\n]*worker_rlimit_core/,
        'worker_rlimit_core: a warning';
    hardened($nginx, 'with worker_rlimit_core');
    is crash($nginx), undef, 'keystile leaves none';
    is $nginx->reload, '', 'after a reload';
    serves($nginx, 'it works');
    is crash($nginx), undef, 'nor then';
    serves($nginx, 'it goes on');
    $nginx->stop;

    my $off = crasher('off', binary => wrapped(
        'ulimit -c unlimited; exec "' . (backings())[0]{binary}->()
            . '" "$@"'));
    serves($off, 'with keystile_harden off');
    $core = crash($off);
    ok $core, 'it leaves one';
    is index(path($core)->slurp, $KEY), -1, 'but the key is not in it'
        if $core;
    $off->stop;
};

subtest 'daemon' => sub {
    for my $daemon (0, 1) {
        my $nginx = start(nginx(daemon => $daemon, workers => 2));
        hardened($nginx, "daemon $daemon");
        my @processes = ($nginx->master, workers($nginx));
        if ((backings())[-1]{name} ne 'memfd_secret') {
            cmp_ok status($_, 'VmLck') + 0, '>', 0, 'locked' for @processes;
        }
        serves($nginx, 'it works');
        is $nginx->reload, '', 'after a reload';
        hardened($nginx, "daemon $daemon, reloaded");
        $nginx->stop;

        # Locks are lost over each fork, and taken again.
        $nginx = start(nginx(
            daemon => $daemon, binary => (backings())[0]{binary}->()));
        like status($_, 'VmLck'), qr/\A[1-9]/, 'mlock: locked'
            for $nginx->master, workers($nginx);
        is $nginx->reload, '', 'mlock: after a reload';
        like status($_, 'VmLck'), qr/\A[1-9]/, 'locked'
            for $nginx->master, workers($nginx);
        $nginx->stop;
    }
};

subtest 'keystile_harden off' => sub {
    my $nginx = start(nginx(), 'off');
    like $nginx->error_log, qr/\[warn\][^\n]*"keystile_harden" is off/,
        'warns at start';
    serves($nginx, 'it works');
    for my $pid (workers($nginx)) {
        is status($pid, 'Seccomp'), 0, 'no seccomp filter';
        ok is_dumpable($pid), 'dumpable';
    }
    $nginx->stop;

    my @values = (PROVIDER => $provider->address);
    my $silent = nginx(log_level => 'error');
    for my $case ([on => 0], [off => 1]) {
        my ($harden, $count) = @$case;
        my ($exit, $said)
            = $silent->test_config($CONF, HARDEN => $harden, @values);
        is $exit, 0, "nginx -t with $harden";
        my $found = () = $said =~ /\[warn\][^\n]*"keystile_harden" is off/g;
        is $found, $count, 'warns as often, whatever the log leaves out';
    }
};

# Without a credential there is nothing to protect: nginx is as it was.
subtest 'without a credential' => sub {
    my $nginx = Nginx->new;
    $nginx->start('server { listen 127.0.0.1:%%PORT%%; }');
    for my $pid ($nginx->master, workers($nginx)) {
        is status($pid, 'NoNewPrivs'), 0, 'new privileges';
        is status($pid, 'Seccomp'),    0, 'no seccomp filter';
    }
    $nginx->stop;
};

# USR2, then QUIT to the old master, as nginx's manual has it.
subtest 'upgrade of the binary' => sub {
    my $nginx = start(nginx(daemon => 1));
    my ($worker) = $nginx->worker_pids;
    my $old   = upgrade($nginx);
    my $new   = $nginx->master;
    isnt $new, $old, 'a new master';
    await 'it serves', sub { status($new, 'Seccomp') };
    hardened($nginx, 'the new one', $new);
    ok !is_dumpable($worker), 'the old worker still is';
    serves($nginx, "both serve ($_)") for 1 .. 10;

    kill QUIT => $old;
    await 'the old master to quit', sub { !kill 0 => $old };
    serves($nginx, 'the new one serves alone');
    is $nginx->reload, '', 'and reloads';
    hardened($nginx, 'reloaded', $new);
    serves($nginx, 'and serves');
    kill QUIT => $new;
    await 'the new master to quit', sub { !kill 0 => $new };
    $nginx->master(undef);
    is join("\n", $nginx->faults), '', 'the error log is clean';
};

# memfd_secret(2) and mlock(2) count against the same limit, for those who are
# not root.
subtest 'no locked memory' => sub {
    for my $backing (backings()) {
        my $nginx = nginx(binary => wrapped(
            "ulimit -l 0; exec '" . $backing->{binary}->() . '\' "$@"'));
        if ($> == 0) {
            start($nginx);
            serves($nginx, "$backing->{name}: root needs no limit");
            is $nginx->reload, '', 'nor after a reload';
            serves($nginx, 'it works');
            if ($backing->{name} eq 'mlock') {
                like status($_, 'VmLck'), qr/\A[1-9]/, 'locked'
                    for $nginx->master, workers($nginx);
            }
            $nginx->stop;
            next;
        }
        my ($exit, $said) = $nginx->test_config($CONF,
            HARDEN => 'on', PROVIDER => $provider->address);
        isnt $exit, 0, "$backing->{name}: the test fails";
        like $said, qr/\[emerg\][^\n]*openai[^\n]*RLIMIT_MEMLOCK/,
            'and says why';
    }
};

done_testing;
