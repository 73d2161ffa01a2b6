# format=codex-auth: of all that an auth.json holds, the access token is in
# memory, in one place; the refresh token, the id token and what the tokens
# say are nowhere.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Backing;
use CodexAuth;
use Memory;
use Mojo::JSON qw(encode_json);
use Nginx;
use Provider;
use Wire;

plan skip_all => 'needs root and a C compiler' if !can_scan();
plan skip_all => 'ASan has its own mlock(), and keeps what is freed'
    if $ENV{KEYSTILE_SANITIZED};

my $authority = Authority->new;
my $plain     = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('api.example.com'));
my @CONF      = (<<'CONF',
    keystile_credential chatgpt %%DIR%%/auth.json format=codex-auth;
    keystile_admit      any;
    keystile_inject     chatgpt;
    keystile_allow      GET,POST /*/responses;
    upstream tls { server %%SECURE%%; keepalive 4; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location /plain/ { keystile_pass http://%%PLAIN%%; }
        location /tls/ {
            keystile_pass     https://tls;
            keystile_ssl_name api.example.com;
            keystile_ssl_trusted_certificate %%CA%%;
        }
        location = /health { keystile_health; }
    }
CONF
    PLAIN  => $plain->address,
    SECURE => $secure->address,
    CA     => $authority->cert);

# An auth.json, and what of it is looked for: the last part of each token is
# made up, and so is a claim in each, of which no trace but its base64 in the
# access token may be there.
sub fresh_auth () {
    my $auth   = auth();
    my %claim  = map { $_ => fresh_key($_) } qw(id_token access_token);
    my $tokens = $auth->{tokens};
    for my $name (sort keys %claim) {
        my ($end) = $tokens->{$name} =~ /([^.]+)\z/;
        $tokens->{$name} = jwt({jti => $claim{$name}, exp => time + 86_400},
            $end);
    }
    return ($auth, {
        access       => $tokens->{access_token},
        refresh      => $tokens->{refresh_token},
        id           => $tokens->{id_token},
        access_claim => $claim{access_token},
        id_claim     => $claim{id_token},
    });
}

# Where else a piece of the access token may be: in base64, a claim of it.
sub is_of_access ($hit) {
    my %flags = map { $_ => 1 } split ' ', $hit->{flags};
    return $hit->{secret} eq 'access_claim' && $hit->{encoding} =~ /\Abase64/
        && $hit->{perms} eq 'r--p' && $flags{lo} && $flags{dd};
}

sub clean ($nginx, $memory, $name, %expected) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    settle;
    my @faults;
    for my $pid ($nginx->master, $nginx->worker_pids) {
        my @hits = grep { !is_of_access($_) } $memory->hits($pid);
        my @own  = grep { $_->{secret} eq 'access' && is_locked($_) } @hits;
        push @faults, "$pid: " . @own . " copies, not $expected{copies}"
            if @own != $expected{copies};
        push @faults, map { $_->{text} }
            grep { $_->{secret} ne 'access' || !is_locked($_) } @hits;
        push @faults, "$pid: nothing was read" if $memory->scanned < 1_000_000;
    }
    ok !@faults, $name or diag join "\n", @faults;
    return;
}

for my $backing (backings()) {
    my ($auth, $secrets) = fresh_auth();
    my $memory = Memory->new(secrets => $secrets);
    my $nginx  = Nginx->new(binary => $backing->{binary}->());
    my @copies = (copies => $backing->{copies});
    $nginx->auth_file('auth.json', $auth);
    $nginx->start(@CONF);
    note $backing->{name};
    clean($nginx, $memory, "$backing->{name}: after start", @copies);
    for my $target (qw(/plain/responses /tls/responses)) {
        is request($nginx->port, target => $target, method => 'POST',
            body => 'x' x 50_000)->status, 200, $target for 1 .. 20;
    }
    request($nginx->port, target => '/health') for 1 .. 4;
    clean($nginx, $memory, 'after requests', @copies);

    my ($next, $its_secrets) = fresh_auth();
    $nginx->auth_file('auth.json', $next);
    is $nginx->reload, '', 'a reload with other tokens';
    my $its = Memory->new(secrets => $its_secrets);
    clean($nginx, $its, 'those are there', @copies);
    clean($nginx, $memory, 'the old ones are gone', copies => 0);

    my ($bad, $bad_secrets) = fresh_auth();
    for my $fault (encode_json($bad) . '}', encode_json($bad) =~ s/\}\z//r,
        encode_json({%$bad, auth_mode => 'agentIdentity'}),
        encode_json($bad) =~ s/"account_id":"[^"]*"/"account_id":7/r) {
        $nginx->auth_file('auth.json', $bad);
        $nginx->file('auth.json', $fault, 0600);
        isnt $nginx->reload, '', 'a file that is refused';
    }
    clean($nginx, Memory->new(secrets => $bad_secrets),
        'leaves nothing', copies => 0);
    clean($nginx, $its, 'and what was there is', @copies);
    $nginx->tolerate(qr/auth\.json/)->stop;
}

# In front of a master that still has the file, each of them is found.
subtest 'the check can fail' => sub {
    my ($auth, $secrets) = fresh_auth();
    my $memory = Memory->new(secrets => $secrets);
    my $nginx  = Nginx->new(module => 0);
    my $value  = encode_json($auth) =~ s/(["{}])/\\$1/gr;
    my $claims = join ' ', @$secrets{qw(access_claim id_claim)};
    $nginx->start("server { listen 127.0.0.1:%%PORT%%;
        set \$x \"$value $claims\"; }");
    my %found = map { $_->{secret} => 1 } $memory->hits($nginx->master);
    is_deeply [sort keys %found], [sort keys %$secrets], 'all are found';
    $nginx->stop;
};

done_testing;
