# Variables, and all the roads inside nginx that lead into a location of ours:
# redirects, error pages, subrequests. One decision for each request.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-d41d';
my $provider = Provider->new;
my $other    = Provider->new;
my $closed   = Provider->new->close;
# Not even at the level of debug may the key be logged.
my $nginx = Nginx->new(log_level => 'debug', log => join '|',
    qw($request_uri $status $keystile_client $keystile_decision
    $keystile_key_header $keystile_credential $http_authorization));
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [
    {id => 'ci',   keys => ['sk-test-ci']},
    {id => 'dev',  keys => ['sk-test-dev']},
    {id => 'away', keys => ['sk-test-away'], from => ['10.0.0.0/8']},
]});
$nginx->start(<<'CONF',
    keystile_credential  real %%DIR%%/openai.key;
    keystile_client_keys team %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_inject      real;
    keystile_allow       GET,POST /*/responses;
    keystile_set_header  X-Client $keystile_client;
    limit_req_zone       $keystile_client zone=clients:1m rate=1r/m;
    limit_req_status     429;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /plain/ { return 204; }

        location /limited/ {
            limit_req     zone=clients;
            keystile_pass http://%%PROVIDER%%;
        }

        location /fallback/ {
            error_page    502 = @second;
            keystile_pass http://%%CLOSED%%;
        }
        location /refused/ {
            error_page    401 403 = @open;
            keystile_pass http://%%PROVIDER%%;
        }
        location /agent/ {
            keystile_key_headers x-agent-key;
            error_page    502 = @second;
            keystile_pass http://%%CLOSED%%;
        }
        location @second { keystile_pass http://%%PROVIDER%%; }
        location @open {
            keystile_admit any;
            keystile_pass  http://%%PROVIDER%%;
        }

        location /rewritten/ { rewrite ^/rewritten/(.*)$ /v1/$1 last; }
        location /moved/     { rewrite ^/moved/(.*)$ /private/$1 last; }
        location /private/   {
            keystile_allow GET /private/keys;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /tried/ {
            keystile_allow GET /v1/secret;
            try_files /nowhere /private/keys;
        }
        location /jump/ { proxy_pass http://%%OTHER%%; }

        location /satisfied/ {
            satisfy any;
            allow   all;
            keystile_pass http://%%PROVIDER%%;
        }

        location /asked/    {
            auth_request /v1/responses;
            proxy_pass   http://%%OTHER%%;
        }
        location /mirrored/ {
            mirror     /v1/responses;
            proxy_pass http://%%OTHER%%;
        }
        location /page/ {
            ssi        on;
            ssi_types  *;
            proxy_pass http://%%OTHER%%;
        }
        location /watched/ {
            mirror        /copy;
            auth_request  /copy;
            keystile_pass http://%%PROVIDER%%;
        }
        location = /copy { internal; proxy_pass http://%%OTHER%%; }
    }

    server {
        listen 127.0.0.1:%%PORT_EARLY%%;
        set $who $keystile_client;
        if ($who = dev) { return 418; }
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
    }
CONF
    PROVIDER => $provider->address,
    OTHER    => $other->address,
    CLOSED   => $closed->address);

my $verdict = Verdict->new(
    provider => $provider,
    key      => $KEY,
    secrets  => ['sk-test-ci', 'sk-test-dev', 'sk-test-away']);

my @CI  = (Authorization => 'Bearer sk-test-ci');
my @DEV = ('X-Api-Key'   => 'sk-test-dev');

my $logged = 0;

sub call ($target, $headers = [@CI], %more) {
    return request($nginx->port,
        target => $target, headers => $headers, %more);
}

# The fields of the next line of the access log.
sub next_line () {
    my @lines  = $nginx->access_log(++$logged);
    my @fields = split /\|/, $lines[$logged - 1], -1;
    return lc "@fields[1 .. 5]";
}

subtest 'in the access log' => sub {
    my @cases = (
        ['/v1/responses', \@CI, '200 ci admitted authorization real'],
        ['/v1/responses', \@DEV, '200 dev admitted x-api-key real'],
        ['/v1/responses', [], qr/\A401 - invalid_api_key - -\z/],
        ['/v1/responses', ['X-Api-Key' => 'sk-no'],
            qr/\A401 - invalid_api_key /],
        ['/v1/nothing', \@CI, qr/\A403 \S+ path_not_allowed /],
        ['/v1/%2e', \@CI, qr/\A400 \S+ bad_request_target /],
        ['/v1/responses', ['X-Api-Key' => 'sk-test-away'],
            qr/\A403 \S+ address_not_allowed /],
        ['/plain/', \@CI, '204 - - - -'],
    );
    for my $case (@cases) {
        my ($target, $headers, $expected) = @$case;
        call($target, $headers);
        my $line = next_line();
        ref $expected
            ? like($line, $expected, $line)
            : is($line, $expected, $expected);
    }
    $verdict = Verdict->new(%$verdict{qw(provider key secrets)});
};

subtest 'as the key of limit_req' => sub {
    $verdict->admitted('the first of a client', call('/limited/responses'));
    my $r = call('/limited/responses');
    $verdict->refused('its second', $r, 429);
    is $r->json->{error}{code}, 'rate_limit_exceeded', 'is one of our errors';
    my $request = $verdict->admitted('the first of another client',
        call('/limited/responses', \@DEV));
    is $request->header('x-client'), 'dev', 'as that client';
    $verdict->refused('an unknown key', call('/limited/responses',
            ['X-Api-Key' => 'sk-no'], method => 'POST'), 401,
        'invalid_api_key') for 1, 2;
    my @refusals = grep { !/\[debug\]/ && /"POST \/limited\/responses/ }
        split /\n/, $nginx->error_log;
    is scalar @refusals, 2, 'each refusal is logged once';
    next_line() for 1 .. 5;
};

subtest 'read before the location is known' => sub {
    my $request = $verdict->admitted('and the request goes on', request(
        $nginx->port('_EARLY'), target => '/v1/responses', headers => \@CI));
    is $request->header('x-client'), 'ci', 'as its client';
    is next_line(), '200 ci admitted authorization real', 'and in the log';
    $verdict->refused('or is refused', request(
        $nginx->port('_EARLY'), target => '/v1/responses'),
        401, 'invalid_api_key');
    next_line();
};

subtest 'error pages' => sub {
    my $request = $verdict->admitted('a fallback location',
        call('/fallback/responses', \@DEV));
    is $request->header('x-client'), 'dev', 'has the same client';
    is next_line(), '200 dev admitted x-api-key real', 'and so has the log';
    $request = $verdict->admitted('a fallback with other key headers',
        call('/agent/responses', ['X-Agent-Key' => 'sk-test-ci']));
    is $request && $request->header('x-client'), 'ci', 'has the same client';
    is next_line(), '200 ci admitted x-agent-key real', 'and so has the log';
    $verdict->refused('a refusal stands', call('/refused/responses', []),
        401, 'invalid_api_key');
    is next_line(), '401 - invalid_api_key - -', 'in the log too';
    $verdict->refused('another refusal', call('/refused/nothing'),
        403, 'path_not_allowed');
    next_line();
};

subtest 'redirects inside nginx' => sub {
    my $request = $verdict->admitted('a rewritten request',
        call('/rewritten/responses'));
    is $request->target, '/rewritten/responses', 'is what was sent';
    $verdict->refused('what was sent is what the rules see',
        call('/moved/keys'), 403, 'path_not_allowed');
    $verdict->refused('try_files', call('/tried/keys'),
        403, 'path_not_allowed');
    $other->script("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /private/keys\r\n"
            . "Content-Length: 0\r\n\r\n");
    $verdict->refused('X-Accel-Redirect of another location',
        call('/jump/keys'), 403, 'path_not_allowed');
    $verdict->refused('satisfy any', call('/satisfied/responses', []),
        401, 'invalid_api_key');
    next_line() for 1 .. 5;
};

subtest 'subrequests into a location of ours' => sub {
    $verdict->refused('auth_request', call('/asked/responses'), 403);
    is scalar @{$other->requests}, 1, 'the main request goes nowhere';

    my $r = call('/mirrored/responses');
    $verdict->refused('mirror', $r, 200);

    $other->script("HTTP/1.1 200 OK\r\nContent-Length: 52\r\n\r\n"
            . 'a <!--#include virtual="/v1/responses?b=1" --> page ');
    $r = call('/page/responses');
    $verdict->refused('SSI', $r, 200);
    unlike $r->body, qr/"ok"/, 'nothing of the provider is in it';
    next_line() for 1 .. 3;
};

subtest 'subrequests out of one' => sub {
    $other->forget;
    $verdict->admitted('a location with a mirror and auth_request',
        call('/watched/responses', [@DEV]));
    await 'both copies', sub { @{$other->requests} == 2 };
    is scalar(grep { index($_->received, $KEY) >= 0 } @{$other->streams}), 0,
        'the credential is not in them';
};

unlike join('', $nginx->access_log), qr/\Q$KEY\E/, 'no variable holds the key';
$nginx->stop;
done_testing;
