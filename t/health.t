# keystile_health: what a load balancer asks.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Backing;
use Compiled;
use Nginx;
use Provider;
use Wire;

my $KEY      = 'sk-test-provider-8d02';
my $provider = Provider->new;
my $nginx    = Nginx->new;
my @CONF     = (<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /healthz { keystile_health; }
        location = /private { deny all; keystile_health; }
        location /nested/ {
            keystile_admit  any;
            keystile_allow  GET /**;
            keystile_inject openai;
            location /nested/health { keystile_health; }
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF
$nginx->key_file('openai.key', $KEY);
$nginx->start(@CONF);

sub healthy ($name, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = request($nginx->port, target => '/healthz', %request);
    is $r->status, 200, $name;
    is $r->header('content-type'), 'application/json', 'content type';
    ok $r->complete, 'complete';
    is $r->body, '', 'no body' if $r->answers eq 'HEAD';
    is_deeply $r->json, {status => 'ok'}, 'body' if $r->answers ne 'HEAD';
    return;
}

subtest 'healthy' => sub {
    healthy('GET');
    healthy('with a query', target => '/healthz?from=balancer');
    healthy('HTTP/1.0', version => 'HTTP/1.0');
    healthy('with a key', headers => [Authorization => 'Bearer sk-test-x']);
    healthy('with a body', body => 'x' x 10_000);
    healthy('within another location', target => '/nested/health');

    my $wire = Wire->connect($nginx->port);
    my @keep = (target => '/healthz', headers => [Connection => 'keep-alive']);
    is $wire->ask(@keep)->status, 200, 'on one connection' for 1 .. 3;
    is $wire->ask(@keep, method => 'HEAD')->status, 200, 'HEAD, there';
    is $wire->ask(@keep)->body, "{\"status\":\"ok\"}\n", 'which has no body';
    is $provider->connections, 0, 'no provider was asked';
};

# A worker locks the credentials anew, and its master is bound by its limit
# where it lacks CAP_IPC_LOCK. It may be lowered while nginx runs.
subtest 'a worker that could not lock a credential' => sub {
    plan skip_all => 'needs a C compiler' if !compiled('deny_memfd_secret');
    plan skip_all => 'ASan has its own mlock()' if $ENV{KEYSTILE_SANITIZED};
    my ($mlock) = grep { $_->{name} eq 'mlock' } backings();
    my $drop    = $> == 0 ? 'setpriv --bounding-set=-ipc_lock' : '';
    my $bound   = Nginx->new(binary =>
        wrapped("exec $drop '" . $mlock->{binary}->() . '\' "$@"'));
    $bound->key_file('openai.key', $KEY);
    $bound->start(@CONF);
    my $ask = sub { request($bound->port, target => '/healthz', @_) };
    is $ask->()->status, 200, 'at first';

    next_worker($bound, '0:');
    my $r = $ask->();
    is $r->status, 503, 'without locked memory';
    is $r->header('content-type'), 'application/json', 'content type';
    is_deeply $r->json, {status => 'degraded'}, 'body';
    is $ask->(method => 'HEAD')->status, 503, 'HEAD';
    my $alert = qr/\[alert\][^\n]*could not be locked in the memory of this/;
    like $bound->error_log, $alert, 'and it is logged';

    next_worker($bound, '65536:');
    $r = $ask->();
    is $r->status, 200, 'with it again';
    is_deeply $r->json, {status => 'ok'}, 'body';
    $bound->tolerate($alert)->stop;
};

# Limits the master's locked memory, and has it start another worker.
sub next_worker ($nginx, $limit) {
    my $master = $nginx->master;
    is system('prlimit', "--memlock=$limit", '--pid', $master), 0,
        "a limit of $limit";
    my ($before) = $nginx->worker_pids;
    kill TERM => $before;
    await 'another worker', sub { ($nginx->worker_pids)[0] != $before };
    return;
}

subtest 'not a question about health' => sub {
    for my $method (qw(POST PUT DELETE OPTIONS)) {
        my $r = request($nginx->port, target => '/healthz', method => $method,
            body => '{}');
        is $r->status, 405, $method;
    }
    is request($nginx->port, target => '/private')->status, 403,
        'access rules hold';
};

subtest 'after a reload' => sub {
    is $nginx->reload, '', 'which succeeds';
    healthy('healthy');
    $nginx->key_file('openai.key', '');
    like $nginx->reload, qr/openai\.key/, 'after one that fails';
    healthy('healthy, with what it had');
    $nginx->tolerate(qr/openai\.key/);
};

subtest 'configurations' => sub {
    my %cases = (
        'location / { keystile_health; }'                        => 0,
        'location / { keystile_health on; }'                     => 1,
        'keystile_health;'                                       => 1,
        'location / { keystile_health; keystile_health; }'       => 1,
        'location / { keystile_health; keystile_admit any; '
            . 'keystile_allow GET /**; keystile_pass http://[::1]; }' => 1,
    );
    for my $location (sort keys %cases) {
        my ($exit, $said) = $nginx->test_config("server { $location }");
        is $exit, $cases{$location}, $location or diag $said;
    }
};

$nginx->stop;
done_testing;
