# When no credential of a pool can be sent: the client is told when to come
# back, in the words that fit the reason, and the provider is not asked.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Mojo::Date;
use Nginx;
use Pool;
use Provider;
use Wire;

my $provider = Provider->new;
my $nginx    = Nginx->new(log => '$uri $status $keystile_decision');
my $pool     = Pool->new(provider => $provider, nginx => $nginx);
my $MINUTE   = 'keystile_next_credential http_401 http_403 http_429 '
    . 'cooldown=45s;';
$pool->location($_, 2, $MINUTE)
    for qw(rejected soon later mixed date codex weekly neither far anthropic);
$pool->location('alone', 1);
$pool->location('lone',  1, 'keystile_next_credential http_401 cooldown=45s;');
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_admit any;
    keystile_allow GET,POST /**;
    keystile_allow GET /** websocket;
    server {
        listen 127.0.0.1:%%PORT%%;
CONF
    PROVIDER => $provider->address);

# The reply to a request after which no credential is left, and to the next.
# [status, type, code, least and most seconds of Retry-After]
sub outage ($name, $fates, $first, $then, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $pool->fates($name, @$fates);
    told("$name: the last to be tried", $pool->ask($name, %request), @$first);
    is $pool->sent, join(' ', map { "$name-$_" } 1 .. @$fates), 'all tried';
    my $before = $provider->connections;
    my $r      = $pool->ask($name, %request);
    told("$name: the next request", $r, @$then);
    is $provider->connections, $before, 'does not reach the provider';
    return $r;
}

sub told ($what, $r, $status, $type, $code, $least, $most) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $r->status, $status, "$what: the status";
    my $error = $r->json->{error};
    is "$error->{type} $error->{code}", "$type $code", 'type and code';
    ok length $r->header('x-request-id'), 'has an id';
    my $wait = $r->header('retry-after') // -1;
    ok $wait >= $least && $wait <= $most, "back in $least to $most seconds"
        or diag $wait;
    return;
}

my @NONE    = (503, 'api_error', 'credential_unavailable');
my @LIMITED = (429, 'rate_limit_error', 'rate_limit_exceeded');
my @USED_UP = (429, 'usage_limit_reached', 'usage_limit_reached');
my @REJECTED = (503, 'api_error', 'upstream_credential_rejected');

subtest 'all rejected' => sub {
    outage(rejected => [[401], [401]], [@REJECTED, 40, 45], [@NONE, 40, 45]);
    like $nginx->error_log, qr/does not accept credential "rejected-$_"/,
        "the log names rejected-$_" for 1, 2;
    my ($line) = ($nginx->access_log(2))[-1];
    is $line, '/rejected/a 503 credential_unavailable', 'and the decision';
};

subtest 'all at a rate limit, soon over' => sub {
    my $r = outage(
        soon => [[429, ['Retry-After' => 50]], [429, ['Retry-After' => 20]]],
        [@LIMITED, 15, 20], [@LIMITED, 15, 20]);
    is $r->header('x-should-retry'), undef, 'a retry helps';
};

subtest 'all at a usage limit' => sub {
    my $r = outage(
        later => [[429, ['Retry-After' => 7200]], [429, ['Retry-After' => 900]]],
        [@USED_UP, 890, 900], [@USED_UP, 890, 900]);
    is $r->header('x-should-retry'), 'false', 'no retry for now';
    my $reset = $r->json->{error}{resets_at};
    ok $reset > time + 880 && $reset <= time + 901, 'Codex is told until when';
};

subtest 'the first to be back says why' => sub {
    outage(mixed => [[401], [429, ['Retry-After' => 3000]]],
        [@NONE, 40, 45], [@NONE, 40, 45]);
};

subtest 'until when' => sub {
    outage(date => [[429, ['Retry-After' => Mojo::Date->new(time + 600)]],
            [429, ['Retry-After' => Mojo::Date->new(time + 700)]]],
        [@USED_UP, 590, 600], [@USED_UP, 590, 600]);
    my @primary = ('x-codex-primary-used-percent' => '100.0',
        'x-codex-primary-reset-at' => time + 300,
        'x-codex-secondary-used-percent' => '40',
        'x-codex-secondary-reset-at' => time + 90_000);
    outage(codex => [[429, \@primary], [429, \@primary]],
        [@USED_UP, 290, 300], [@USED_UP, 290, 300]);
    $primary[5] = 100;
    outage(weekly => [[429, \@primary], [429, \@primary]],
        [@USED_UP, 89_900, 90_000], [@USED_UP, 89_900, 90_000]);
    outage(neither => [[429], [429, ['Retry-After' => 'soon']]],
        [@LIMITED, 40, 45], [@LIMITED, 40, 45]);
    my $month = 31 * 24 * 3600;
    outage(far => [([429, ['Retry-After' => '99999999999']]) x 2],
        [@USED_UP, $month - 5, $month], [@USED_UP, $month - 5, $month]);
};

subtest 'in the shape of the caller' => sub {
    $pool->fates(anthropic => [401], [401]);
    my @version = (headers => ['anthropic-version' => '2023-06-01']);
    $pool->ask('anthropic', @version) for 1, 2;
    my $r = $pool->ask('anthropic', @version);
    is $r->json->{type}, 'error', 'of Anthropic';
    is $r->json->{error}{type}, 'api_error', 'with its type';
};

subtest 'a handshake' => sub {
    my $before = $provider->connections;
    my $wire   = Wire->handshake($nginx->port, target => '/later/a');
    is $wire->message->status, 429, 'is refused likewise';
    is $provider->connections, $before, 'without the provider';
};

subtest 'a lone credential' => sub {
    for my $status (401, 429, 401) {
        $pool->fates(alone => [$status]);
        my $r = $pool->ask('alone');
        is $r->status, $status == 401 ? 503 : 429, "is sent, whatever: $status";
        is $pool->sent, 'alone-1', 'each time';
    }
    outage(lone => [[401]], [@REJECTED, 40, 45], [@NONE, 40, 45]);
};

$nginx->stop;
done_testing;
