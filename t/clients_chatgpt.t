# The real Codex CLI with a login of its own, through the nginx of
# conf-examples/chatgpt-login.conf, as its comments tell its caller: turns,
# refreshes of the login, logging in and out, and a key of the gateway's.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Authority;
use Await;
use ChatGPT;
use Codex;
use CodexAuth;
use Example;
use Mojo::File qw(path);
use Test::More;
use Wire;

use constant {
    KEY       => 'sk-test-caller-91d0b2',
    OTHER     => 'sk-test-foreign-3c77f8',
    RESPONSES => '/backend-api/codex/responses',
    ACCOUNTS  => '/backend-api/wham/accounts/check',
};

my $text      = path('conf-examples/chatgpt-login.conf')->slurp;
my $authority = Authority->new;
my $chatgpt   = ChatGPT->new(
    login => auth(),
    tls   => $authority->issue('chatgpt.com', 'auth.openai.com'));
my $nginx = Example->new(authority => $authority, callers => [KEY]);
$nginx->write_files($text);
my $leaf = $authority->issue('127.0.0.1');
$nginx->file('tls/cert.pem', path($leaf->{cert})->slurp);
$nginx->file('tls/key.pem',  path($leaf->{key})->slurp);
$nginx->start($text, CA => $authority->cert,
    PROVIDER => $chatgpt->provider->address);
my $base = 'https://127.0.0.1:' . $nginx->port;

# What the comments say, for this nginx.
my ($said) = map { s/^# {0,5}//gmr } $text =~ /\A((?:#.*\n)+)/;
$said =~ s{https://llm\.example\.com}{$base}g;
my ($toml) = $said =~ /^(model_provider = .*?^env_http_headers .*?\n)/ms;
my ($own_gateway) = $said =~ /^(\[[\w.]+gateway_oauth\]\n.*?)\n\n/ms;
my %env = $said =~ /^(CODEX_\w+_OVERRIDE)=(\S+)$/mg;
my ($log_in) = $said =~ /^codex (login --device-auth .*)$/m;
die "the comments have changed\n" if grep { !defined }
    $toml, $own_gateway, $log_in, @env{map { "CODEX_${_}_TOKEN_URL_OVERRIDE" }
        qw(REFRESH REVOKE)};

# Codex with the login of now, or another.
sub run (%how) {
    $chatgpt->forget;
    my %login = (login => $chatgpt->login);
    return codex(%login, config => $toml, ca => $authority->cert, %how,
        env => {KEYSTILE_KEY => KEY, %env, %{$how{env} // {}}});
}

sub over_http ($config = $toml) {
    return $config =~ s/^(supports_websockets =) true/$1 false/mr;
}

sub ok_turn ($codex) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $codex->exit, 0, 'Codex is content' or diag $codex->err, $codex->errors;
    is $codex->text, 'Hello.', 'the answer is shown';
    is $codex->usage->{output_tokens}, 30, 'and what it used';
    return;
}

# Codex's own credential, as it sent it; nothing of the gateway's, anywhere.
sub ok_up (@requests) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $request (@requests) {
        $request or fail('a request is missing'), next;
        is $request->header('authorization'), $chatgpt->bearer, 'the bearer';
        is $request->header('chatgpt-account-id'),
            $chatgpt->login->{tokens}{account_id}, 'and its account';
    }
    my @all = map { $_->received } @{$chatgpt->provider->streams};
    is_deeply [grep { /sk-test|x-gateway-key/i } @all], [],
        'no key of the gateway';
    return;
}

# The line of the access log, of requests for a turn.
sub logged ($request, $client) {
    return await "a line for $request", sub {
        (grep { /"$request" .* client=$client / } $nginx->access_log)[-1];
    };
}

for my $how ('HTTP', 'WebSocket') {
    subtest "a turn over $how" => sub {
        my $method = $how eq 'HTTP' ? 'POST' : 'GET';
        ok_turn(my $codex = run($how eq 'HTTP' ? (config => over_http) : ()));
        my @turns = $chatgpt->asked($method, RESPONSES);
        is scalar @turns, 1, 'one request';
        my ($check)  = $chatgpt->asked(GET => ACCOUNTS);
        my ($models) = $chatgpt->asked(GET => '/backend-api/codex/models');
        ok_up(@turns, $check, $models);
        is_deeply [grep { /oauth/ } $chatgpt->paths], [], 'no refresh';
        is_deeply $codex->login, $chatgpt->login, 'the login is as it was';
        like logged("$method " . RESPONSES, 'ada'), qr/ credential=passthrough
            \ model=gpt-\S+\ input=120\ output=30\ /x, 'it is counted';
    };
}

subtest 'a compressed body' => sub {
    ok_turn(run(config => over_http =~ s/^name = .*/name = "OpenAI"/mr));
    my ($turn) = $chatgpt->asked(POST => RESPONSES);
    ok_up($turn);
    is $turn->header('content-encoding'), 'zstd', 'Codex compresses';
    like $turn->body, qr/\A\x28\xB5\x2F\xFD/, 'it goes up so';
};

subtest 'a token that is about to expire' => sub {
    my $old = auth(expires => time + 200);
    $chatgpt->login($old);
    ok_turn(my $codex = run());
    my @refreshes = $chatgpt->asked(POST => '/oauth/token');
    is scalar @refreshes, 1, 'is renewed once';
    is $refreshes[0]->json->{refresh_token}, $old->{tokens}{refresh_token},
        'with the refresh token';
    is $refreshes[0]->header('host'), 'auth.openai.com', 'there';
    is $refreshes[0]->header('authorization'), undef, 'and nothing else';
    isnt $codex->login->{tokens}{access_token}, $old->{tokens}{access_token},
        'it is another';
    ok_up(my @turns = $chatgpt->asked(GET => RESPONSES));
    is scalar @turns, 1, 'the turn has the new one';
};

subtest 'a token that the provider refuses' => sub {
    my $old = $chatgpt->login;
    $chatgpt->expire;
    ok_turn(my $codex = run(config => over_http, login => $old));
    my @refreshes = $chatgpt->asked(POST => '/oauth/token');
    is scalar @refreshes, 1, 'is renewed once';
    is $refreshes[0]->json->{refresh_reason}, 'unauthorized_recovery',
        'because of a 401';
    my @turns = $chatgpt->asked(POST => RESPONSES);
    my ($refused) = grep { $_->header('authorization') ne $chatgpt->bearer }
        @turns;
    ok $refused, 'the turn was refused';
    ok scalar(grep { /"POST @{[RESPONSES]}" 401 / } $nginx->access_log),
        'which Codex was told';
    ok_up($turns[-1]);
    is_deeply [grep { $_ eq $chatgpt->bearer }
        map { $_->header('authorization') } @turns], [$chatgpt->bearer],
        'once with the new token';
    is $codex->login->{tokens}{access_token},
        $chatgpt->login->{tokens}{access_token}, 'which Codex has kept';
};

subtest 'logging in with a code' => sub {
    my $codex = run(login => undef, command => [split / /, $log_in]);
    is $codex->exit, 0, 'Codex is content' or diag $codex->err;
    is_deeply [$chatgpt->paths],
        [map { "auth.openai.com POST $_" } '/api/accounts/deviceauth/usercode',
            ('/api/accounts/deviceauth/token') x 2, '/oauth/token'],
        'all of it went through';
    is $codex->login && $codex->login->{tokens}{access_token},
        $chatgpt->login->{tokens}{access_token}, 'it has the login';
};

subtest 'logging out' => sub {
    my $codex = run(command => ['logout']);
    is $codex->exit, 0, 'Codex is content' or diag $codex->err;
    my ($revoked) = $chatgpt->asked(POST => '/oauth/revoke');
    is $revoked && $revoked->json->{token},
        $chatgpt->login->{tokens}{refresh_token}, 'the token is given up';
    is $codex->login, undef, 'and gone';
};

for my $key (OTHER, '') {
    subtest $key ? 'a wrong key' : 'no key' => sub {
        my $config = over_http . "request_max_retries = 0\n"
            . "stream_max_retries = 0\n";
        my $codex = run(config => $config, env => {KEYSTILE_KEY => $key});
        isnt $codex->exit, 0, 'Codex gets nowhere';
        like $codex->errors, $key
            ? qr/401 Unauthorized: Invalid API key/
            : qr/401 Unauthorized: Missing API key in x-gateway-key header/,
            'and is told why';
        is_deeply [grep { m{/codex/} } $chatgpt->paths], [],
            'no turn went up, nor another request of the provider\'s';
    };
}

subtest 'two slots, by hand' => sub {
    $chatgpt->forget;
    my $body = join '', "\x28\xB5\x2F\xFD", map { chr } 0 .. 255;
    my $ask = sub (@headers) {
        return request($nginx->port, tls => {}, method => 'POST',
            target => RESPONSES, body => $body,
            headers => ['Content-Encoding' => 'zstd', @headers]);
    };
    my $connections = $chatgpt->provider->connections;
    my @own = (Authorization => $chatgpt->bearer,
        'ChatGPT-Account-ID' => $chatgpt->login->{tokens}{account_id});
    is $ask->(@own)->status, 401, 'no key';
    is $ask->(@own, 'x-gateway-key' => OTHER)->status, 401, 'a wrong one';
    is $ask->('x-gateway-key' => KEY)->status, 401, 'no login';
    is $ask->('x-gateway-key' => KEY, Authorization => 'Bearer ' . KEY)->status,
        401, 'the key in both';
    is $chatgpt->provider->connections, $connections, 'no connection for them';
    is_deeply [$chatgpt->paths], [], 'nor a request';
    is $ask->(@own, 'x-gateway-key' => KEY)->status, 200, 'both';
    is $chatgpt->provider->last->body, $body, 'with its body as it was';
    ok_up($chatgpt->provider->last);
};

subtest 'gateway_oauth' => sub {
    my $config = $toml =~ s/^env_http_headers.*\n//mr;
    ok_turn(run(config => "$config$own_gateway\n"));
    my @turns = $chatgpt->asked(GET => RESPONSES);
    is scalar @turns, 1, 'one request';
    ok_up(@turns);
};

# Last, as nobody can log in for a while afterwards.
subtest 'too much at the door' => sub {
    $chatgpt->forget;
    my $status;
    for (1 .. 200) {
        $status = request($nginx->port, tls => {}, method => 'POST',
            target => '/oauth/token/x', body => '{}')->status;
        last if $status != 403;
    }
    is $status, 429, 'is told so';
    is_deeply [$chatgpt->paths], [], 'and none of it goes up';
};

$nginx->stop;
done_testing;
