# The image, run as conf-examples/compose.yaml and kubernetes.yaml have it run:
# on a read-only root file system, with few capabilities, and its key a secret.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use CleanRoot;

BEGIN { CleanRoot->enter('in-image') }

use Test::More;
use Authority;
use Await;
use Containers;
use Digest::SHA qw(sha256_hex);
use File::Temp  ();
use Mojo::File  qw(path);
use Mojo::JSON  qw(decode_json encode_json);
use Mojo::Util  qw(scope_guard);
use POSIX       qw(WNOHANG);
use Provider;
use Wire;

my $KEY      = 'sk-test-image-4d20';
my $CALLER   = 'sk-test-caller-77ae';
my $CLIENTS  = encode_json({version => 1, clients =>
    [{id => 'ada', keys => ['sha256:' . sha256_hex($CALLER)]}]});

my $root      = CleanRoot->new;
my $image     = decode_json(path($ENV{KEYSTILE_IMAGE})->slurp)->{Docker};
my $config    = $image->{config};
my $authority = Authority->new;
my $provider = Provider->new(tls => $authority->issue('api.openai.com'));

# ---- the image itself ----

subtest 'what is in it' => sub {
    is $config->{StopSignal}, 'SIGQUIT', 'stopped with QUIT';
    ok !$config->{User}, 'the master is root';
    is_deeply $config->{Env},
        ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        'nothing in the environment';
    my ($exit, $packages) = $root->run(qw(dpkg-query -W -f ${Package}\n));
    my %there = map { $_ => 1 } split /\n/, $packages;
    ok $there{$_}, "with $_" for qw(nginx libnginx-mod-http-keystile);
    is_deeply [grep { /\A(?:gcc|g\+\+|cpp|clang|binutils|make|.*-dev)\b/ }
        sort keys %there], ['gcc-12-base'], 'no compiler';
    ok !-e $root->child($_), "no $_"
        for qw(keystile usr/sbin/policy-rc.d etc/nginx/sites-enabled/default
        usr/bin/cc usr/bin/make);
    is_deeply [glob $root->child('var/lib/apt/lists/*')], [], 'no lists';
    is_deeply [path($root->child('etc/nginx/nginx.conf'))->slurp
        =~ /^error_log .* (\S+);/mg], ['warn'], 'warnings are logged';
    is_deeply [map { glob $root->child("$_/{*,.[!.]*}") }
        qw(etc/keystile run/secrets etc/nginx/conf.d)], [],
        'no key, and no configuration of one';
};

# ---- as an engine would run it ----

sub mount_tmpfs ($path, $mode) {
    return system('mount', '-t', 'tmpfs', '-o', "mode=$mode", 'tmpfs',
        $root->child($path)) == 0;
}

# A secret: a file, or as Kubernetes has it, a link to one of this moment's.
sub secret ($example, $name, $content) {
    my $path = $example->{secrets}{$name};
    return $root->write($path, $content, 0400) if !$example->{linked};
    my $directory = $root->child($path)->dirname;
    $root->write("/etc/keystile/..now/$name", $content, 0400);
    symlink '..now', "$directory/..data";
    symlink "..data/$name", "$directory/$name";
    return;
}

# Mounts what the example mounts, where the image must have a place for it.
sub prepare ($example) {
    ok mount_tmpfs($_, $example->{mode}), "$_ can be mounted"
        for @{$example->{tmpfs}}, path($example->{target})->dirname;
    # As Kubernetes has a secret: sticky.
    ok mount_tmpfs('/etc/keystile', '1777'), 'so can /etc/keystile'
        if $example->{linked};
    secret($example, 'openai.key',   "$KEY\n");
    secret($example, 'clients.json', $CLIENTS);
    my $site = $example->{site};
    ok $site =~ s/server +api\.openai\.com:443;/server @{[$provider->address]};/,
        'the provider, as a test must have it';
    $root->write(path($example->{target})->sibling('ca.pem'),
        path($authority->cert)->slurp);
    my $ca = path($example->{target})->sibling('ca.pem');
    $root->write($example->{target},
        "keystile_ssl_trusted_certificate $ca;\n$site");
    return;
}

# Runs the image's command; its log is in two files.
sub start ($example) {
    my $directory = File::Temp->newdir;
    my %run       = (out => "$directory/out", err => "$directory/err",
        directory => $directory);
    my $keep = join ',', '-all', map { '+' . lc } @{$example->{capabilities}};
    my (%pipe, @cats);
    push @cats, open($pipe{$_}, '|-', "exec cat >$run{$_}") || die "cat: $!"
        for qw(out err);
    # A failure is not to wait for what nginx still has to say.
    $run{end} = scope_guard sub { kill TERM => @cats; %pipe = () };
    $run{pid} = fork // die "fork: $!";
    if (!$run{pid}) {
        open STDOUT, '>&', $pipe{out};
        open STDERR, '>&', $pipe{err};
        exec $root->inside('setpriv', "--bounding-set=$keep",
            "--inh-caps=$keep", '--no-new-privs', @{$config->{Cmd}})
            or POSIX::_exit(127);
    }
    await 'the listener', sub {
        waitpid($run{pid}, WNOHANG) == 0 or die path($run{err})->slurp;
        return eval { Wire->connect($example->{port})->close; 1 };
    };
    return \%run;
}

sub healthy () {
    my (undef, @command) = @{$config->{Healthcheck}{Test}};
    my ($exit) = $root->run(@command);
    return $exit == 0;
}

sub ask ($example, $key) {
    return request($example->{port}, method => 'POST',
        target => '/v1/responses', body => '{"model":"gpt-5"}',
        headers => [Authorization => "Bearer $key"]);
}

sub status_of ($pid) {
    my $text = path("/proc/$pid/status")->slurp;
    return {map { /^(\w+):\s+(.*)/ ? ($1 => $2) : () } split /\n/, $text};
}

sub workers ($master) {
    return split ' ', path("/proc/$master/task/$master/children")->slurp;
}

sub check_processes ($run) {
    my $master = status_of($run->{pid});
    my @workers;
    await 'workers who are www-data', sub {
        @workers = map { status_of($_) } workers($run->{pid});
        return @workers
            && !grep { $_->{Uid} !~ /\A33\s+33\s+33\s+33\z/ } @workers;
    };
    is $master->{NoNewPrivs}, 1, 'no new privileges';
    like $master->{Uid}, qr/\A0\s/, 'the master is root';
    is_deeply [grep { hex $_->{CapEff} } @workers], [],
        'the workers are not, and can do nothing';
    return;
}

for my $name (qw(compose.yaml kubernetes.yaml)) {
    subtest $name => sub {
        my $example = container_example($name);
        is $example->{image}, 'keystile', 'the image';
        ok $config->{ExposedPorts}{"$example->{port}/tcp"}, 'its port';
        prepare($example);
        ok !healthy(), 'not healthy before it runs';
        my $run = start($example);
        check_processes($run);
        ok !eval { $root->write('/written', ''); 1 }, 'the root is read-only';
        ok healthy(), 'healthy';
        is request($example->{port}, target => $_)->status, 200, "$_ says so"
            for @{$example->{probes} // []};

        $provider->answer(Provider->DEFAULT);
        is ask($example, $CALLER)->status, 200, 'a request';
        is $provider->last->header('authorization'), "Bearer $KEY",
            'with the key of the secret';
        my $before = $provider->connections;
        is ask($example, 'sk-test-foreign')->status, 401, 'not any request';
        is $provider->connections, $before, 'the provider hears nothing of it';
        await 'the access log',
            sub { path($run->{out})->slurp =~ m{POST /v1/responses.* 200 } };
        await 'the error log',
            sub { path($run->{err})->slurp =~ /refused the request/ };
        pass 'logs are on standard output and error';

        my $held;
        $provider->answer(sub ($request) {
            $held = $request->begin(200,
                ['Content-Type' => 'text/event-stream']);
            $held->chunk("data: 1\n\n");
        });
        my $wire = Wire->connect($example->{port});
        $wire->write(compose(method => 'POST', target => '/v1/responses',
            body    => '{"model":"gpt-5","stream":true}',
            headers => [Authorization => "Bearer $CALLER"]));
        $wire->await_bytes(qr/data: 1/);
        kill $config->{StopSignal} =~ s/SIG//r, $run->{pid};
        await 'no listener',
            sub { !eval { Wire->connect($example->{port})->close; 1 } };
        $held->chunk("data: 2\n\n");
        $held->last_chunk;
        like $wire->response->body, qr/data: 2/, 'stopped, a stream ends whole';
        await 'the end', sub { waitpid($run->{pid}, WNOHANG) != 0 };
        is $?, 0, 'and nginx without a fault';
        ok !healthy(), 'not healthy then';
        my $logs = join '', map { path($run->{$_})->slurp } qw(out err);
        unlike $logs, qr/\[(?:alert|crit|emerg)\]/, 'no alert' or diag $logs;
        ok index($logs, $KEY) < 0 && index($logs, $CALLER) < 0,
            'no key in the logs';
        system('umount', $root->child($_)) for @{$example->{tmpfs}},
            path($example->{target})->dirname,
            $example->{linked} ? '/etc/keystile' : ();
    };
}

done_testing;
