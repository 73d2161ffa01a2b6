# conf-examples/oauth-refresh with nginx: what the provider sees is the token
# of the last refresh, without a request lost; and a login that is over is seen.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use CodexAuth;
use MIME::Base64 qw(decode_base64url);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Nginx;
use Provider;
use TokenEndpoint;
use Wire;

my $provider = Provider->new;
my $nginx    = Nginx->new;
my $auth     = auth(expires => time + 1000);
my $file     = $nginx->auth_file('codex/auth.json', $auth);
my $endpoint = TokenEndpoint->new(login => $auth);
my @CONF     = (<<'CONF', PROVIDER => $provider->address);
    keystile_credential chatgpt %%DIR%%/codex/auth.json format=codex-auth;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /codex/ {
            keystile_admit  any;
            keystile_allow  GET,POST /codex/responses;
            keystile_inject chatgpt;
            keystile_pass   http://%%PROVIDER%%;
        }
        location = /healthz { keystile_health; }
    }
CONF
$nginx->start(@CONF);

# As README has it, of this nginx.
my $reload = join ' ', 'set -e;', $nginx->binary, '-t -q -p', $nginx->dir,
    '-e', $nginx->dir . '/start.log', '-c', $nginx->dir . '/nginx.conf;',
    'kill -HUP', $nginx->master;

sub renew (@options) {
    my $from = length $nginx->error_log;
    my $run = $endpoint->refresh($file, '--reload', $reload, @options);
    push @{$nginx->{secrets}}, map { split /[.]/ }
        $endpoint->login->{tokens}->@{qw(access_token refresh_token id_token)};
    await 'the new worker', sub {
        my $news = substr $nginx->error_log, $from;
        $news =~ /start worker process/ && $news =~ /gracefully shutting down/;
    } if $run->{status} == 0;
    return $run;
}

# What there is by then expires soon.
sub renew_due (@options) {
    my $auth = decode_json(path($file)->slurp);
    my ($claims, $end) = $auth->{tokens}{access_token} =~ /\.(.*)\.(.*)/;
    $claims = decode_json(decode_base64url($claims));
    $auth->{tokens}{access_token}
        = jwt({%$claims, iat => time - 3000, exp => time + 60}, $end);
    $nginx->auth_file('codex/auth.json', $auth);
    return renew(@options);
}

# The token that goes up.
sub sent () {
    my $r = request($nginx->port, target => '/codex/responses');
    return $r->status if $r->status != 200;
    return $provider->last->header('authorization') =~ s/\ABearer //r;
}

sub healthy () {
    return request($nginx->port, target => '/healthz')->json->{status};
}

subtest 'a token that is renewed' => sub {
    is sent(), $auth->{tokens}{access_token}, 'the first one';
    $provider->forget->hold;
    my $wire = Wire->connect($nginx->port);
    $wire->write(compose(target => '/codex/responses'));
    my $open = $provider->next_request;
    is renew()->{status}, 0, 'is renewed';
    $open->reply(200);
    is $wire->response->status, 200, 'a request that was open ends well';
    $provider->forget;
    is sent(), $endpoint->login->{tokens}{access_token}, 'the next one';
    is $provider->last->header('chatgpt-account-id'), 'acc-0c1d2e3f',
        'and its account';
    is renew_due()->{status}, 0, 'again' for 1 .. 3;
    is sent(), $endpoint->login->{tokens}{access_token}, 'and so on';
};

subtest 'a configuration that is wrong meanwhile' => sub {
    $nginx->configure("$CONF[0] keystile_nonsense;");
    my $before = sent();
    my $run = renew_due();
    is $run->{status}, 1, 'is a fault';
    is sent(), $before, 'nginx goes on with what it has';
    $nginx->configure(@CONF);
    is renew()->{status}, 0, 'once it is right';
    is sent(), $endpoint->login->{tokens}{access_token}, 'it goes on';
};

subtest 'a login that is over' => sub {
    $endpoint->answer(sub ($request) {
        $endpoint->refuse($request, 401, 'refresh_token_invalidated');
    });
    is renew_due()->{status}, 3, 'is said';
    is sent(), $endpoint->login->{tokens}{access_token},
        'the token is used as long as it is good';
    $nginx->auth_file('codex/auth.json', auth(expires => time - 10));
    is $nginx->reload, '', 'once it has expired';
    is healthy(), 'degraded', 'health says so';
    my $next = auth(expires => time + 1000);
    $nginx->auth_file('codex/auth.json', $next);
    $endpoint->login($next)->answer(undef);
    is renew()->{status}, 0, 'a new login is renewed';
    is healthy(), 'ok', 'and all is well';
    is sent(), $endpoint->login->{tokens}{access_token}, 'with its token';
};

$nginx->tolerate(qr/keystile_nonsense/)->stop;
done_testing;
