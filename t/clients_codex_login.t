# The real Codex CLI with a login behind the gate: Codex has a caller's key, and
# the provider sees the account of an auth.json, which Codex itself can read,
# also after the script of conf-examples/oauth-refresh has renewed it.

use Mojo::Base -strict, -signatures;
use lib qw(t/lib t/clients/lib);
use Child;
use Codex;
use CodexAuth;
use MockProvider;
use Nginx;
use Test::More;
use TokenEndpoint;

use constant CLIENT_KEY => 'sk-test-client-Zp3mKb9sEhD4gUa6';

# It is renewed before anything reads it.
my $nginx    = Nginx->new;
my $old      = auth(expires => time + 60);
my $file     = $nginx->auth_file('codex/auth.json', $old);
my $endpoint = TokenEndpoint->new(login => $old);
is $endpoint->refresh($file)->{status}, 0, 'the login is renewed';
my $tokens = $endpoint->login->{tokens};

my $mock = MockProvider->start(
    credential => $tokens->{access_token},
    watch      => {
        client  => CLIENT_KEY,
        refresh => $tokens->{refresh_token},
    });
$nginx->client_file({clients => [{id => 'ci', keys => [CLIENT_KEY]}]});
$nginx->start(<<'CONF', PROVIDER => $mock->address);
    keystile_credential  chatgpt %%DIR%%/codex/auth.json format=codex-auth;
    keystile_client_keys team    %%DIR%%/clients.json;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ {
            keystile_admit  team;
            keystile_allow  POST /v1/responses;
            keystile_allow  GET  /v1/responses websocket;
            keystile_inject chatgpt;
            keystile_pass   http://%%PROVIDER%%;
        }
    }
CONF

for my $kind (qw(request handshake)) {
    subtest "a turn: the $kind" => sub {
        $mock->forget;
        my $turn = codex(
            base_url   => 'http://127.0.0.1:' . $nginx->port . '/v1',
            key        => CLIENT_KEY,
            websockets => $kind eq 'handshake');
        is $turn->exit, 0, 'Codex is content' or diag $turn->err, $turn->errors;
        is $turn->text, 'Hello from the mock provider.', 'with the answer';
        my @events = $mock->events($kind);
        is scalar @events, 1, 'there is one';
        ok_credential($events[0],
            "authorization: Bearer $tokens->{access_token}", 'it');
        is header($events[0], 'chatgpt-account-id'), $tokens->{account_id},
            'the account';
    };
}

subtest 'Codex reads what the script has written' => sub {
    my $folder = File::Temp->newdir('keystile-codex-XXXXXX', TMPDIR => 1);
    my $child = Child->start(
        command => [Codex::PROGRAM, 'login', 'status'],
        env     => {CODEX_HOME => $nginx->dir . '/codex', HOME => "$folder"});
    $child->finish(30);
    is $child->exit, 0, 'it is content' or diag $child->err;
    like $child->out . $child->err, qr/Logged in using ChatGPT/, 'and says so';
};

$mock->stop;
$nginx->stop;
done_testing;
