# The package of build/deb, in a Debian with nginx and nothing else: installed,
# upgraded, removed and purged, while nginx runs and serves.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use CleanRoot;

BEGIN {
    CleanRoot->enter('in-root',
        'ca-certificates libjansson4 libstdc++6 libzstd1');
}

use Test::More;
use Await;
use File::Temp ();
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Provider;
use Wire;

my $KEY     = 'sk-test-package-6b1f';
my $NAME    = 'libnginx-mod-http-keystile';
my $MODULE  = 'ngx_http_keystile_module.so';
my $LINK    = 'etc/nginx/modules-enabled/50-mod-http-keystile.conf';
my $root    = CleanRoot->new;
my ($built) = glob "$FindBin::Bin/../../build/deb/${NAME}_*.deb";
BAIL_OUT('first ./dev deb') if !$built;

my $provider = Provider->new;
my $SITE     = <<"CONF";
keystile_credential  openai  /etc/keystile/openai.key;
keystile_zone        main  1m  state=/var/lib/keystile/main.state;
server {
    listen  127.0.0.1:8080;
    location / {
        keystile_admit   any;
        keystile_allow   POST  /v1/responses;
        keystile_inject  openai;
        keystile_meter   main;
        keystile_record  /var/log/keystile/turns.jsonl;
        keystile_pass    http://@{[$provider->address]};
    }
}
CONF

# ---- what is asked of it ----

sub succeeds ($name, @command) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($exit, $said) = $root->run(@command);
    is $exit, 0, $name or diag $said;
    return $said;
}

sub mode ($name) {
    my $mode = (lstat $root->child($name))[2] // return 'none';
    return sprintf '%04o', $mode & 07777;
}

sub master () { return path($root->child('run/nginx.pid'))->slurp + 0 }

sub maps ($pid) {
    return grep { /\Q$MODULE/ } split /\n/, path("/proc/$pid/maps")->slurp;
}

sub ask () {
    return request(8080, method => 'POST', target => '/v1/responses',
        headers => ['Content-Type' => 'application/json'],
        body    => '{"model":"gpt-5","input":"hello"}');
}

sub serves ($name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = @{$provider->requests};
    is ask()->status, 200, $name;
    is @{$provider->requests}, $before + 1, 'by the provider';
    is $provider->last->header('authorization'), "Bearer $KEY", 'with the key';
    return;
}

# The package with another version, and nothing else of it changed.
sub version ($version) {
    my $tree = File::Temp->newdir;
    my $deb  = $root->child("$version.deb");
    system('dpkg-deb', '-R', $built, "$tree/deb") == 0 or die 'dpkg-deb';
    system('sed', '-i', "s/^Version: .*/Version: $version/",
        "$tree/deb/DEBIAN/control") == 0 or die 'sed';
    system("dpkg-deb --root-owner-group -b $tree/deb $deb >/dev/null") == 0
        or die 'dpkg-deb';
    return "/$version.deb";
}

sub installed () {
    my ($exit, $said) = $root->run('dpkg-query', '-W', '-f', '${Version}',
        $NAME);
    return $said;
}

# ---- its life ----

path($built)->copy_to($root->child('keystile.deb'));
my $newer  = version('9.0');
my $between = version('9.0.1');
my $newest = version('9.1');
my %before = $root->files;
succeeds('nginx starts', qw(invoke-rc.d nginx start));
my $first = master();

subtest 'installed' => sub {
    succeeds('dpkg installs it', qw(dpkg -i /keystile.deb));
    is readlink $root->child($LINK),
        '/usr/share/nginx/modules-available/mod-http-keystile.conf', 'linked';
    is mode($_->[0]), $_->[1], "$_->[0] has mode $_->[1]"
        for ['etc/keystile', '0700'], ['var/lib/keystile', '0700'],
        ['var/log/keystile', '0711'];
    my $doc = "usr/share/doc/$NAME";
    is mode("$doc/examples/$_"), '0755', "$_ can be run"
        for map { "$_/keystile-$_" } qw(agent-check oauth-refresh
        responses-proxy);
    ok -s $root->child("$doc/$_"), $_
        for 'copyright', 'NOTICE', 'README.md.gz', 'examples/codex.conf',
        'examples/oauth-refresh/keystile-oauth-refresh.service',
        'examples/oauth-refresh/keystile-oauth-refresh.timer';
    is master(), $first, 'nginx runs on';
    await 'the reload', sub { maps($first) };
    pass 'which has loaded the module';
    like succeeds('nginx -t', qw(nginx -t)), qr/successful/, 'that it can be';
};

subtest 'used' => sub {
    $root->write('etc/keystile/openai.key', "$KEY\n", 0600);
    $root->write('etc/nginx/conf.d/keystile.conf', $SITE);
    succeeds('a reload', qw(invoke-rc.d nginx reload));
    await 'the listener', sub { eval { Wire->connect(8080)->close; 1 } };
    serves('a request');
    my $record = $root->child('var/log/keystile/turns.jsonl');
    await 'its record', sub { -s $record };
    is decode_json($record->slurp)->{status}, 200, 'its record';
    ok -e $root->child('var/lib/keystile/main.state'), 'its state file';
};

subtest 'upgraded' => sub {
    my $held;
    $provider->answer(sub ($request) {
        $held = $request->begin(200, ['Content-Type' => 'text/event-stream']);
        $held->chunk("data: 1\n\n");
    });
    my $wire = Wire->connect(8080);
    $wire->write(compose(method => 'POST', target => '/v1/responses',
        body => '{"model":"gpt-5","stream":true}'));
    $wire->await_bytes(qr/data: 1/);

    succeeds('dpkg upgrades it', 'dpkg', '-i', $newer);
    is installed(), '9.0', 'the new version';
    isnt master(), $first, 'another master';
    my @maps = maps(master());
    ok scalar @maps, 'with the module';
    ok !(grep { /deleted/ } @maps), 'the new one';
    my $second = master();
    like succeeds('while that goes on, another', 'dpkg', '-i', $between),
        qr/restart nginx to have the new version/, 'says what it needs';
    is master(), $second, 'and nginx is the same';
    $held->chunk("data: 2\n\n");
    $held->last_chunk;
    my $response = $wire->response;
    ok $response->complete, 'what was under way goes on to its end';
    like $response->body, qr/data: 2/, 'whole';
    $provider->answer(Provider->DEFAULT);
    serves('a request after it');
    is $root->child('etc/keystile/openai.key')->slurp, "$KEY\n", 'the same key';
    is $root->child('etc/nginx/conf.d/keystile.conf')->slurp, $SITE,
        'the same configuration';
};

subtest 'upgraded, with a configuration that is wrong' => sub {
    my $master = master();
    my $broken = $root->write('etc/nginx/conf.d/broken.conf', 'oops;');
    like succeeds('dpkg upgrades it', 'dpkg', '-i', $newest),
        qr/nginx -t fails: nginx goes on/, 'and says that nginx was not';
    is installed(), '9.1', 'the new version';
    is master(), $master, 'the same master';
    serves('nginx goes on');
    $broken->remove;
};

subtest 'switched off' => sub {
    $root->child('etc/nginx/conf.d/keystile.conf')->move_to(
        $root->child('keystile.conf'));
    unlink $root->child($LINK) or die "$LINK: $!";
    succeeds('installed again', 'dpkg', '-i', $newest);
    ok !-l $root->child($LINK), 'it stays off';
    symlink '/usr/share/nginx/modules-available/mod-http-keystile.conf',
        $root->child($LINK);
};

subtest 'removed' => sub {
    succeeds('dpkg removes it', 'dpkg', '-r', $NAME);
    ok !-l $root->child($LINK), 'nothing is loaded';
    like succeeds('nginx -t', qw(nginx -t)), qr/successful/, 'nginx can start';
    ok -e $root->child($_), "$_ is left"
        for qw(etc/keystile/openai.key var/lib/keystile/main.state
        var/log/keystile/turns.jsonl);
    succeeds('and back', 'dpkg', '-i', $newest);
    ok -l $root->child($LINK), 'loaded as before';
    $root->child('keystile.conf')->move_to(
        $root->child('etc/nginx/conf.d/keystile.conf'));
    succeeds('a restart', qw(invoke-rc.d nginx restart));
    await 'the listener', sub { eval { Wire->connect(8080)->close; 1 } };
    serves('a request');
    $root->child('etc/nginx/conf.d/keystile.conf')->remove;
};

subtest 'purged, with a disk of its own' => sub {
    my $place = $root->child('var/lib/keystile');
    succeeds('a mount', qw(mount -t tmpfs tmpfs /var/lib/keystile));
    $root->write('var/lib/keystile/main.state', 'a state');
    like succeeds('dpkg purges it', 'dpkg', '-P', $NAME),
        qr/var.lib.keystile.*busy/i, 'and says what stays';
    is_deeply [map { "$_" } @{$place->list_tree}], [], 'empty';
    succeeds('no mount', qw(umount /var/lib/keystile));
    $place->remove_tree;
    succeeds('installed again', 'dpkg', '-i', $newest);
};

subtest 'purged' => sub {
    like succeeds('dpkg purges it', 'dpkg', '-P', $NAME),
        qr{/etc/keystile has files of yours, and stays}, 'it says what stays';
    my %left = $root->files;
    delete @left{keys %before};
    is_deeply [sort keys %left], [qw(etc/keystile etc/keystile/openai.key)],
        'the keys, which are the operator\'s';

    succeeds('installed again', qw(dpkg -i /keystile.deb));
    is mode('etc/keystile'), '0700', 'as the directory was';
    $root->child('etc/keystile/openai.key')->remove;
    unlike succeeds('purged without keys', 'dpkg', '-P', $NAME), qr/keystile:/,
        'without a word';
    is_deeply {$root->files}, \%before, 'and without a trace';
};

done_testing;
