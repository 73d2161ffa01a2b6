# Going on to the next credential leaves no copy of either in memory, nor does
# sending on a caller's own.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Memory;
use Mojo::JSON qw(encode_json);
use Nginx;
use Provider;
use Wire;

plan skip_all => 'needs root and a C compiler' if !can_scan();
plan skip_all => 'ASan has its own mlock(), and keeps what is freed'
    if $ENV{KEYSTILE_SANITIZED};

use constant TURNS => 8;

my %secrets   = map { $_ => fresh_key($_) } qw(first second own);
my $authority = Authority->new;
my $plain     = Provider->new;
my $secure = Provider->new(tls => $authority->issue('api.example.com'));
my $nginx  = Nginx->new(workers => 1);
$nginx->key_file("$_.key", $secrets{$_}) for qw(first second);

# A credential that was refused cools down: each turn has names of its own.
my ($credentials, $locations) = ('', '');
my %pass = (plain => 'http://plain', secure => 'https://secure');
for my $kind (keys %pass) {
    for my $turn (1 .. TURNS) {
        $credentials .= "keystile_credential $kind-$turn-$_ %%DIR%%/$_.key;\n"
            for qw(first second);
        $locations .= "location /$kind/$turn/ {
            keystile_inject $kind-$turn-first $kind-$turn-second;
            keystile_pass   $pass{$kind}; }\n";
    }
}
$nginx->start($credentials . <<'CONF' . "$locations }",
    keystile_admit any;
    keystile_allow GET,POST /**;
    keystile_allow GET /*/*/socket websocket;
    keystile_ssl_name api.example.com;
    keystile_ssl_trusted_certificate %%CA%%;
    upstream plain  { server %%PLAIN%%;  keepalive 4; }
    upstream secure { server %%SECURE%%; keepalive 4; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location /own/plain/  { keystile_inject passthrough;
                                keystile_pass http://plain; }
        location /own/secure/ { keystile_inject passthrough;
                                keystile_pass https://secure; }
CONF
    PLAIN  => $plain->address,
    SECURE => $secure->address,
    CA     => $authority->cert);

# The first is refused, in words that repeat it.
for my $provider ($plain, $secure) {
    $provider->answer(sub ($request) {
        my $key = $request->header('authorization') =~ s/^Bearer //r;
        my @refusal = (401, ['X-Key' => $key], "You sent $key");
        if ($key eq $secrets{first} && $request->target =~ /[38]/) {
            my $error = {code => 'invalid_api_key', message => "Bad: $key"};
            return $request->begin(400, ['Content-Type' => 'application/json'])
                ->chunk(encode_json({error => $error}))->last_chunk;
        }
        return $request->reply(@refusal) if $key eq $secrets{first};
        return $request->accept_websocket if $request->wants_upgrade;
        $request->reply(200);
    });
}

# Copies in the memory of master and worker that are not where they belong.
sub copies (%of) {
    settle;
    my $memory = Memory->new(secrets => \%of);
    my @hits = map { $memory->hits($_) } $nginx->master, $nginx->worker_pids;
    return [map { $_->{text} } grep { !is_locked($_) } @hits];
}

subtest 'the next credential' => sub {
    for my $kind (qw(plain secure)) {
        for my $turn (1 .. TURNS - 1) {
            my @body = $turn % 2 ? (method => 'POST', body => 'x' x 50_000) : ();
            my $r = request($nginx->port, target => "/$kind/$turn/a", @body);
            is $r->status, 200, "$kind $turn";
        }
        is scalar @{($kind eq 'plain' ? $plain : $secure)->requests},
            2 * (TURNS - 1), 'each had two tries';
    }
    my $wire = Wire->handshake($nginx->port,
        target => "/plain/@{[TURNS]}/socket");
    is $wire->message->status, 101, 'a WebSocket';
    is_deeply copies(%secrets), [], 'no copies while it is open';
    $wire->close;
    is_deeply copies(%secrets), [], 'nor after that';
};

subtest 'the own credential of a caller' => sub {
    for my $kind (qw(plain secure)) {
        for my $number (1 .. 20) {
            my $r = request($nginx->port, target => "/own/$kind/a",
                headers => [Authorization => "Bearer $secrets{own}"]);
            is $r->status, 200, "$kind $number";
        }
    }
    is_deeply copies(own => $secrets{own}), [], 'is gone with its request';
};

$nginx->stop;
done_testing;
