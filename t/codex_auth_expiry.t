# format=codex-auth: that a token expires is known beforehand, and said in the
# log, by keystile_health and by keystile_status. What has expired is sent all
# the same.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use CodexAuth;
use Nginx;
use Provider;
use Wire;

my $provider = Provider->new;
my $nginx    = Nginx->new(workers => 2);
my @CONF     = (<<'CONF', PROVIDER => $provider->address);
    keystile_credential chatgpt %%DIR%%/auth.json  format=codex-auth;
    keystile_credential "a b"   %%DIR%%/other.json format=codex-auth;
    keystile_credential opaque  %%DIR%%/opaque.json format=codex-auth;
    keystile_credential openai  %%DIR%%/openai.key;
    %%ZONE%%
    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ {
            keystile_admit  any;
            keystile_allow  GET /v1/models;
            keystile_inject chatgpt;
            keystile_pass   http://%%PROVIDER%%;
        }
        location = /healthz { keystile_health; }
        %%STATUS%%
    }
CONF
my @ZONE = (ZONE => 'keystile_zone main 1m;', STATUS => <<'CONF');
        location = /metrics { keystile_status main; }
        location = /status  { keystile_status main format=json; }
        location = /page    { keystile_status main format=html; }
CONF

sub files ($chatgpt, $other) {
    $nginx->auth_file('auth.json',  auth(expires => $chatgpt));
    $nginx->auth_file('other.json', auth(expires => $other));
    return;
}

# What keystile_health says: its status, and when which credential expires.
sub health () {
    my $r = request($nginx->port, target => '/healthz');
    return [$r->status, $r->json->{status},
        {map { $_->{name} => $_->{expires} } @{$r->json->{credentials}}}];
}

# Lines about the expiry of a credential, since then.
sub said ($credential, $from) {
    my @lines = split /\n/, substr $nginx->error_log, $from;
    return [map {/\[(\w+)\]/} grep { /credential "\Q$credential\E"/ } @lines];
}

# Has nginx read files before the time that they are about comes: on a slow
# machine with more time to go, then. Returns that time, and where the error log
# ended before.
sub read_ahead ($write_files) {
    for (my $ahead = 4;; $ahead *= 2) {
        my $from = length $nginx->error_log;
        my $then = time + $ahead;
        $write_files->($then);
        is $nginx->reload, '', "a reload, $ahead seconds ahead";
        return ($then, $from) if time < $then;
    }
}

sub await_line ($what, $pattern, $then) {
    await $what, sub { $nginx->error_log =~ $pattern }, $then - time + 30;
    return;
}

$nginx->key_file('openai.key', 'sk-test-provider-3b1f');
$nginx->auth_file('opaque.json', auth(opaque => 1));
my $later = time + 86_400;
files($later, $later);
$nginx->start(@CONF, ZONE => '', STATUS => '');
my ($then) = read_ahead(sub ($then) { files($later, $then + 3600) });
my $soon = $then + 3600;

subtest 'nothing to be said' => sub {
    is_deeply health(),
        [200, 'ok', {chatgpt => timestamp($later), 'a b' => timestamp($soon)}],
        'healthy, and when that ends';
    is_deeply said('chatgpt', 0), [], 'not a word';
    is_deeply said('opaque',  0), [], 'nor of what is not known';
};

subtest 'an hour before' => sub {
    my $time = timestamp($soon);
    await_line('a warning', qr/"a b" expires at $time/, $then);
    like $nginx->error_log,
        qr/\[warn\][^\n]*credential "a b" expires at $time, in less than/,
        'which says when';
    is health()->[0], 200, 'still healthy';
};

# Into the last hour.
$nginx->configure($CONF[0], @ZONE);
my ($now, $from) = read_ahead(sub ($then) { files($then, time + 1800) });

subtest 'when it expires' => sub {
    my $time = timestamp($now);
    await_line('an error', qr/has expired at $time/, $now);
    is_deeply said('chatgpt', $from), [qw(warn error)],
        'it is said once when it is read, and once when it happens';
    is_deeply said('a b', $from), ['warn'], 'what is only soon: once';
    like $nginx->error_log,
        qr/\[error\][^\n]*credential "chatgpt" has expired at $time/, 'when';
    is health()->[$_], [200, 'degraded']->[$_], 'unhealthy' for 0, 1;
    is health()->[2]{chatgpt}, $time, 'since then';
    is request($nginx->port, target => '/v1/models')->status, 200,
        'the provider is to judge';
};

subtest 'keystile_status' => sub {
    my $metrics = request($nginx->port, target => '/metrics')->body;
    my $name = 'keystile_credential_expiry_timestamp_seconds';
    like $metrics, qr/^# TYPE $name gauge$/m, 'a gauge';
    like $metrics, qr/^\Q$name\E\{credential="chatgpt"\} $now$/m, 'its value';
    like $metrics, qr/^\Q$name\E\{credential="a b"\} \d{10}$/m, 'of another';
    unlike $metrics, qr/^$name\{credential="(?:opaque|openai)"/m,
        'only where known';
    my $credentials
        = request($nginx->port, target => '/status')->json->{credentials};
    is_deeply [map { $_->{name} } grep { $_->{expires} } @$credentials],
        ['chatgpt', 'a b'], 'JSON';
    is $credentials->[0]{expires}, timestamp($now), 'has the time';
    like request($nginx->port, target => '/page')->body,
        qr/"credentials":\[\{"name":"chatgpt",/, 'and so has the page';
};

subtest 'a new token' => sub {
    my $from = length $nginx->error_log;
    files($later, $later);
    is $nginx->reload, '', 'read by a reload';
    is health()->[1], 'ok', 'heals it';
    is_deeply said($_, $from), [], 'without a word' for 'chatgpt', 'a b';
};

subtest 'expired when it is read' => sub {
    my $from = length $nginx->error_log;
    files(time - 60, $later);
    is $nginx->reload, '', 'no reload fails over it';
    await 'an error', sub { @{said('chatgpt', $from)} >= 2 };
    is_deeply said('chatgpt', $from), [qw(warn error)], 'it is said';
    is health()->[1], 'degraded', 'and seen';
};

$nginx->stop;
done_testing;
