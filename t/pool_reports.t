# What becomes of each credential, as keystile_status and keystile_health tell
# it: by their names in the configuration, and never by their keys.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Pool;
use Provider;
use Wire;

my $provider = Provider->new;
my $nginx    = Nginx->new(log => '$uri $status $keystile_credential');
my $pool     = Pool->new(provider => $provider, nginx => $nginx);
$pool->location('pool',  3, 'keystile_next_credential http_401 http_403 '
    . 'http_429 cooldown=1h;');
$pool->location('alone', 1);
$pool->location('mixed', 2, '', inject => 'passthrough mixed-1 mixed-2');
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_admit any;
    keystile_allow GET,POST /**;
    keystile_zone  main 256k;
    keystile_meter main;
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /healthz { keystile_health; }
        location = /metrics { keystile_status main; }
        location = /status  { keystile_status main format=json; }
CONF
    PROVIDER => $provider->address);

sub get ($target) { return request($nginx->port, target => $target) }

# All that is said of one, as metrics.
sub metrics ($name) {
    my %figure;
    for (split /\n/, get('/metrics')->body) {
        next if !/\Akeystile_credential_(\w+)\{credential="\Q$name\E"
            (?:,reason="(\w+)")?\}\ (\d+)/x;
        $figure{$2 // $1} = $3;
    }
    return \%figure;
}

my $fresh = {requests_total => 0, rejected => 0, forbidden => 0,
    rate_limited => 0, cooldown_seconds => 0};

subtest 'before anything' => sub {
    is_deeply metrics($_), $fresh, $_ for sort keys %{$pool->keys};
    is_deeply get('/healthz')->json, {status => 'ok'}, 'healthy';
};

subtest 'refusals' => sub {
    $pool->fates(pool => [401],
        [403, [], '{"error":{"type":"authentication_error"}}']);
    is $pool->ask('pool')->status, 200, 'the third' for 1 .. 3;
    my $first = metrics('pool-1');
    my $wait  = delete $first->{cooldown_seconds};
    ok $wait > 3590 && $wait <= 3600, 'cools down for an hour';
    is_deeply $first, {requests_total => 1, rejected => 1, forbidden => 0,
        rate_limited => 0}, 'sent once, and rejected';
    is metrics('pool-2')->{forbidden}, 1, 'the second was forbidden';
    is_deeply metrics('pool-3'), {%$fresh, requests_total => 3},
        'the third was sent with each request';

    my $credentials = get('/status')->json->{credentials};
    my ($json) = grep { $_->{name} eq 'pool-2' } @$credentials;
    is $json->{cools_down}, 'forbidden', 'in JSON, why';
    like $json->{back_at}, qr/\A\d{4}-\d\d-\d\dT[\d:]+Z\z/, 'and until when';
    is_deeply $json->{refusals},
        {rejected => 0, forbidden => 1, rate_limited => 0}, 'and how often';
};

subtest 'health' => sub {
    my $r = get('/healthz');
    is $r->status, 200, 'nothing that a restart would mend';
    is $r->json->{status}, 'degraded', 'but worth an alert';
    is_deeply [map { "$_->{name} $_->{status}" } @{$r->json->{credentials}}],
        ['pool-1 cools_down', 'pool-2 cools_down'], 'which';
};

subtest 'the lone one' => sub {
    $pool->fates(alone => [429]);
    $pool->ask('alone') for 1, 2;
    is_deeply metrics('alone-1'),
        {%$fresh, requests_total => 2, rate_limited => 2}, 'is counted too';
};

subtest 'the own credential of a caller' => sub {
    $pool->fates('mixed');
    request($nginx->port, target => '/mixed/a',
        headers => [Authorization => 'Bearer own.token.test']);
    is_deeply metrics('mixed-1'), $fresh, 'is none of these';
};

subtest 'turns' => sub {
    my $r = get('/metrics')->body;
    my ($requests) = $r =~ /^keystile_requests_total\{.*\} (\d+)$/m;
    is $requests, 6, 'a request that went out again is one';
};

subtest 'no keys' => sub {
    my $all = join '', map { get($_)->body }
        '/metrics', '/status', '/healthz', '/status?format=html';
    is_deeply [grep { index($all, $_) >= 0 } values %{$pool->keys}], [],
        'anywhere';
};

$nginx->stop;
done_testing;
