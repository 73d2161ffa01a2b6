# Pools in front of every kind of upstream: what nginx knows of its servers
# must neither stop the next credential nor be changed by it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Dns;
use Nginx;
use Pool;
use Provider;
use Wire;

my $authority = Authority->new;
my $leaf      = $authority->issue('api.example.com');
my $provider  = Provider->new;
my $secure    = Provider->new(tls => $leaf);
my $second    = Provider->new;
my $closed    = Provider->new->close;
my $dns       = Dns->new(names => {
    'api.example.com' => ['127.0.0.1'],
    'two.example.com' => ['127.0.0.3', '127.0.0.1'],
});
my $nginx = Nginx->new(log => '$uri $status "$upstream_status"');
my $pool  = Pool->new(provider => $provider, nginx => $nginx);
my %pass  = (
    single   => 'http://single',
    kept     => 'http://kept',
    least    => 'http://least',
    pair     => 'http://pair',
    hashed   => 'http://hashed',
    backup   => 'http://backup',
    tls      => 'https://%%SECURE%%',
    tlskept  => 'https://tlskept',
    resolved => 'https://api.example.com:%%SECURE_PORT%%',
    once     => 'http://pair',
    oncekept => 'http://kept',
    several  => 'https://two.example.com:%%SECURE_PORT%%',
);
$pool->location($_, 4, '', pass => $pass{$_}) for sort keys %pass;
my $ON_FAILURE = 'keystile_next_credential http_401 error timeout;';
# Where the first credential meets silence, the others are still to be in time.
my $TIMEOUT = 'keystile_read_timeout ' . patience(2) . 's;';
$pool->location("failing$_", 3, $ON_FAILURE) for qw(1 3);
$pool->location("failing$_", 3, "$ON_FAILURE $TIMEOUT") for qw(2 4);
$pool->location('onlyerror', 3, "keystile_next_credential error; $TIMEOUT");
$pool->location('never', 3, "keystile_next_upstream off; $ON_FAILURE");
$nginx->start($pool->credentials . <<'CONF' . $pool->locations . '}',
    keystile_admit any;
    keystile_allow GET,POST /**;
    keystile_ssl_name api.example.com;
    keystile_ssl_trusted_certificate %%CA%%;
    resolver %%DNS%% ipv6=off;
    upstream single { server %%PROVIDER%%; }
    upstream kept   { server %%PROVIDER%%; keepalive 4; }
    upstream least  { least_conn; server %%PROVIDER%%; server %%SECOND%%; }
    upstream pair   { server %%PROVIDER%%; server %%SECOND%%; keepalive 4; }
    upstream hashed { hash $uri consistent; server %%PROVIDER%%;
                      server %%SECOND%%; }
    upstream backup { server %%CLOSED%%; server %%PROVIDER%% backup; }
    upstream tlskept { server %%SECURE%%; keepalive 4; }
    server {
        listen 127.0.0.1:%%PORT%%;
CONF
    PROVIDER    => $provider->address,
    SECOND      => $second->address,
    SECURE      => $secure->address,
    SECURE_PORT => $secure->port,
    CLOSED      => $closed->address,
    CA          => $authority->cert,
    DNS         => $dns->address);

# Whichever server it is, it answers by the credential.
sub fates ($name, @fates) {
    $pool->fates($name, @fates);
    $_->forget->answer($provider->answer) for $second, $secure;
    return;
}

sub seen () {
    my %name_of = reverse %{$pool->keys};
    return join ' ', sort map { $name_of{$_->header('authorization')
                =~ s/^Bearer //r} } map { @{$_->requests} }
        $provider, $second, $secure;
}

# What nginx says of a server that it leaves out. One is never there.
my $PORTS  = join '|', map { $_->port } $provider, $second, $secure;
my $FAILED = qr{temporarily disabled .*https?://127\.0\.0\.1:(?:$PORTS)/};

my $BODY = join '', map { chr 33 + $_ % 90 } 1 .. 300_000;
for my $name (grep { !/\Aonce/ } sort keys %pass) {
    subtest $name => sub {
        fates($name => [401], [429], [401]);
        my $r = $pool->ask($name, method => 'POST', body => $BODY);
        is $r->status, 200, 'the fourth credential' or diag $nginx->error_log;
        is $r->json->{by}, "$name-4", 'has the last word';
        is seen(), join(' ', map { "$name-$_" } 1 .. 4), 'one try with each';
        ok !(grep { $_->body ne $BODY } map { @{$_->requests} } $provider,
            $second, $secure), 'the body each time';
        like $nginx->logged_as(qr{\A/$name/}), qr/401, 429, 401, 200"\z/,
            'the log has what the servers said';
        for (1 .. 3) {
            fates($name);
            is $pool->ask($name)->status, 200, 'no server is left out';
        }
        unlike $nginx->error_log, qr/no live upstreams|$FAILED/,
            'none is held to have failed';
    };
}

# What may have been processed is not sent a third time.
for my $name (qw(once oncekept)) {
    subtest "a failure after a refusal: $name" => sub {
        fates($name => [401], sub ($r) { $r->connection->close });
        my $r = $pool->ask($name, method => 'POST', body => '{}');
        is $r->status, 502, 'is a failure';
        is seen(), "$name-1 $name-2", 'and the end of it';
    };
}

subtest 'kept connections' => sub {
    my $before = $provider->connections;
    fates('kept');
    $pool->ask('kept') for 1 .. 3;
    cmp_ok $provider->connections - $before, '<=', 1, 'are still used';
};

# [what the first credential meets, method, statuses, credentials]
my @FAILURES = (
    ['failing1', 'GET',  sub ($r) { $r->connection->close }, 200, '1 2'],
    ['failing2', 'GET',  sub ($r) { },                       200, '1 2'],
    ['failing3', 'POST', sub ($r) { $r->connection->close }, 502, '1'],
    ['failing4', 'POST', sub ($r) { },                       504, '1'],
    ['onlyerror', 'GET', sub ($r) { },                       504, '1'],
    ['never',    'GET',  sub ($r) { $r->connection->close }, 502, '1'],
);
for my $case (@FAILURES) {
    my ($name, $method, $fate, $status, $sent) = @$case;
    subtest "a failure: $name $method" => sub {
        fates($name => $fate);
        my $r = $pool->ask($name, method => $method,
            $method eq 'POST' ? (body => '{}') : ());
        is $r->status, $status, "the answer is $status";
        is seen(), join(' ', map { "$name-$_" } split / /, $sent), 'tries';
        fates($name);
        is $pool->ask($name)->json->{by}, "$name-1", 'it does not cool down';
    };
}

$nginx->stop;
done_testing;
