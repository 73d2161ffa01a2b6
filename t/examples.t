# conf-examples/: each is a complete configuration that nginx takes, and a
# request gets through it: to the path it should, with the provider's key once
# and in its header, and without the caller's.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Example;
use Golden;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(b64_encode);
use Provider;
use Verdict;
use Wire;

my $DIRECTORY = path("$FindBin::Bin/../conf-examples");
my $KEY       = 'sk-test-provider-e7a1c5';
my $CALLER    = 'sk-test-caller-91d0b2';
my $OTHER     = 'sk-test-foreign-3c77f8';
my $BODY      = '{"model":"gpt-5-mini","input":"hello"}';
my $authority = Authority->new;

my @BEARER = (Authorization => "Bearer $CALLER");
my @X_KEY  = ('x-api-key' => $CALLER);
my @OWN    = (Authorization => "Bearer $KEY");
my @SLOTS  = (@OWN, 'x-gateway-key' => $CALLER);

# For each example: the name of the provider's host; the header its key goes
# up in; requests that pass, with the target that the provider sees when it is
# another; and requests that do not, with their status.
my %EXAMPLES = (
    'codex.conf' => {
        host   => 'api.openai.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            ['POST', '/v1/responses', \@BEARER],
            ['GET',  '/v1/models?client_version=0.169.0', \@BEARER],
            ['POST', '/v1/responses/compact', \@BEARER],
        ],
        upgrades => '/v1/responses',
        bounces  => [
            [401, 'POST', '/v1/responses', []],
            [401, 'POST', '/v1/responses', [Authorization => "Bearer $OTHER"]],
            [403, 'POST', '/v1/files',     \@BEARER],
            [405, 'GET',  '/v1/responses', \@BEARER],
        ],
    },
    'codex-login.conf' => {
        host   => 'chatgpt.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            map({ [@$_[0, 1], \@BEARER, "/backend-api$_->[1]"] }
                ['POST', '/codex/responses'],
                ['GET',  '/codex/models?client_version=0.169.0'],
                ['POST', '/codex/responses/compact']),
        ],
        upgrades => '/codex/responses',
        bounces  => [
            [401, 'POST', '/codex/responses', []],
            [403, 'GET',  '/codex/models?api-version=1', \@BEARER],
            [403, 'POST', '/codex/files', \@BEARER],
            [404, 'GET',  '/wham/accounts/check', \@BEARER],
        ],
        more => \&check_login,
    },
    'chatgpt-login.conf' => {
        host   => 'chatgpt.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            map({ [@$_[0, 1], \@SLOTS] }
                map { [$_->[0], "/backend-api/codex/$_->[1]"] }
                ['POST', 'responses'],
                ['GET',  'models?client_version=0.169.0'],
                ['POST', 'alpha/search'],
                ['POST', 'images/edits'],
                ['POST', 'analytics-events/events']),
            map({ [@$_[0, 1], \@OWN] }
                map { [$_->[0], "/backend-api/$_->[1]"] }
                ['GET',  'wham/accounts/check'],
                ['GET',  'wham/tasks/list?limit=20'],
                ['GET',  'wham/tasks/t1/turns/u1/sibling_turns'],
                ['GET',  'ps/plugins/installed?limit=200'],
                ['POST', 'ps/mcp'],
                ['POST', 'files/f1/uploaded'],
                ['POST', 'codex/analytics-events/events']),
        ],
        upgrades => '/backend-api/codex/responses',
        headers  => \@SLOTS,
        bounces  => [
            [401, 'POST', '/backend-api/codex/responses', \@OWN],
            [401, 'POST', '/backend-api/codex/responses',
                ['x-gateway-key' => $CALLER]],
            [401, 'GET', '/backend-api/wham/usage', [@BEARER]],
            [403, 'GET', '/backend-api/wham/other', \@SLOTS],
            [403, 'GET', '/backend-api/me',         \@SLOTS],
            map({ [403, 'POST', $_, []] } '/oauthx', '/oauth/token/x',
                '/oauth/token?a=1', '/authority', '/v1/oauth/token'),
            [400, 'POST', '/oauth/../oauth/token', []],
            [405, 'GET', '/oauth/token', []],
        ],
    },
    'metering.conf' => {
        host   => 'api.openai.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            ['POST', '/v1/responses', \@BEARER],
            ['POST', '/v1/responses/compact', \@BEARER],
            ['GET',  '/v1/models?client_version=0.169.0', \@BEARER],
        ],
        upgrades => '/v1/responses',
        bounces  => [
            [401, 'POST', '/v1/responses', [Authorization => "Bearer $OTHER"]],
            [401, 'GET',  '/v1/usage',     []],
            [403, 'GET',  '/metrics',      \@BEARER],
        ],
        more => \&check_figures,
    },
    'recording/recording.conf' => {
        host   => 'api.openai.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            ['POST', '/v1/responses', \@BEARER],
            ['POST', '/v1/responses/compact', \@BEARER],
        ],
        upgrades => '/v1/responses',
        bounces  => [
            [401, 'POST', '/v1/responses', []],
            [403, 'POST', '/v1/files',     \@BEARER],
        ],
        more => \&check_conversation,
    },
    'claude-code.conf' => {
        host   => 'api.anthropic.com',
        line   => "x-api-key: $KEY",
        passes => [
            ['POST', '/v1/messages?beta=true', \@X_KEY],
            ['POST', '/v1/messages?beta=true', \@BEARER],
            ['POST', '/v1/messages', [@BEARER, @X_KEY]],
            ['POST', '/v1/messages',
                [@X_KEY, Authorization => "Bearer $OTHER"]],
            ['POST', '/v1/messages/count_tokens?beta=true', \@X_KEY],
            ['GET',  '/v1/models?limit=1000', \@X_KEY],
            ['GET',  '/v1/models/claude-opus-4-5', \@X_KEY],
        ],
        bounces => [
            [401, 'POST', '/v1/messages', ['x-api-key' => $OTHER]],
            [403, 'POST', '/v1/messages/batches', \@X_KEY],
        ],
    },
    'azure-openai.conf' => {
        host   => 'example-resource.openai.azure.com',
        line   => "api-key: $KEY",
        passes => [
            ['POST', '/v1/chat/completions', \@BEARER,
                '/openai/deployments/gpt-5/chat/completions'
                    . '?api-version=2024-10-21'],
            ['POST', '/v1/responses', \@BEARER,
                '/openai/responses?api-version=2025-04-01-preview'],
            ['GET', '/v1/responses/resp_1?include=a', \@BEARER,
                '/openai/responses/resp_1?include=a'
                    . '&api-version=2025-04-01-preview'],
            ['POST',
                '/openai/deployments/gpt-5/chat/completions?api-version=1',
                ['api-key' => $CALLER]],
        ],
        bounces => [
            [401, 'POST', '/v1/responses', \@X_KEY],
            [403, 'POST', '/v1/responses?api-version=1', \@BEARER],
            [403, 'POST', '/openai/deployments/other/chat/completions',
                \@BEARER],
        ],
    },
    'gemini.conf' => {
        host   => 'generativelanguage.googleapis.com',
        line   => "x-goog-api-key: $KEY",
        passes => [
            map({ [@$_, ['x-goog-api-key' => $CALLER]] }
                ['POST', '/v1beta/models/gemini-2.5-pro:generateContent'],
                ['POST', '/v1beta/models/g:streamGenerateContent?alt=sse'],
                ['POST', '/v1beta/models/g%3AcountTokens'],
                ['GET',  '/v1beta/models?pageSize=5'],
                ['GET',  '/v1beta/models/gemini-2.5-pro']),
        ],
        bounces => [
            [401, 'POST', '/v1beta/models/g:generateContent', []],
            [403, 'POST', "/v1beta/models/g:generateContent?key=$CALLER", []],
            map { [405, 'POST', "/v1beta/models/veo$_",
                ['x-goog-api-key' => $CALLER]] }
                qw(:predictLongRunning %3ApredictLongRunning),
        ],
    },
    'single-key.conf' => {
        host   => 'api.openai.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            ['POST', '/v1/responses', []],
            ['POST', '/v1/responses', [Authorization => "Bearer $OTHER"]],
        ],
        bounces => [
            [403, 'POST', '/v1/responses', [Origin => 'https://a.example']],
            [403, 'GET',  '/v1/models',    []],
            [405, 'GET',  '/v1/responses', []],
        ],
    },
    'existing-site.conf' => {
        host   => 'api.openai.com',
        line   => "Authorization: Bearer $KEY",
        passes => [
            ['POST', '/llm/v1/responses', \@BEARER, '/v1/responses'],
            ['POST', '/llm/v1/chat/completions', \@BEARER,
                '/v1/chat/completions'],
            ['GET', '/llm/v1/models', \@BEARER, '/v1/models'],
        ],
        bounces => [
            [401, 'POST', '/llm/v1/responses', []],
            [403, 'POST', '/llm/v1/files', \@BEARER],
            [404, 'POST', '/v1/responses', \@BEARER],
        ],
    },
);

sub check_login ($nginx, $provider) {
    request($nginx->port, tls => {}, method => 'POST',
        target => '/codex/responses', body => $BODY,
        headers => [@BEARER, 'ChatGPT-Account-ID' => 'acc-own']);
    is_deeply [$provider->last->all('chatgpt-account-id')], ['acc-example'],
        'the account of the login';
    is request($nginx->port, tls => {}, target => '/healthz')->status, 200,
        'health';
    return;
}

sub check_example ($name, $example) {
    my $text     = $DIRECTORY->child($name)->slurp;
    my $provider = Provider->new(tls => $authority->issue($example->{host}));
    my $nginx    = Example->new(authority => $authority, key => $KEY,
        callers => [$CALLER, map { "$OTHER-$_" } 1 .. 9]);
    my @values = (PROVIDER => $provider->address, CA => $authority->cert);
    $nginx->write_files($text);
    $nginx->file('html/index.html', 'the site itself');
    my ($exit, $said) = $nginx->test_config($text, @values);
    is $exit, 0, 'nginx -t';
    unlike $said, qr/\[(?:warn|error|crit|alert|emerg)\]/, 'without a word'
        or return diag $said;
    $nginx->start($text, @values);

    my @tls = $text =~ /listen .* ssl/ ? (tls => {}) : ();
    my $ask = sub ($method, $target, $headers) {
        return request($nginx->port, @tls, method => $method,
            target => $target, $method ne 'POST' ? (headers => $headers)
            : (body => $BODY, headers => [@{$headers // []},
                'Content-Type' => 'application/json']));
    };
    my $verdict = Verdict->new(
        provider => $provider,
        key      => $KEY,
        line     => $example->{line},
        secrets  => [$CALLER, $OTHER]);

    for my $case (@{$example->{passes}}) {
        my ($method, $target, $headers, $upstream) = @$case;
        my $request = $verdict->admitted("$method $target passes",
            $ask->($method, $target, $headers)) or next;
        is $request->target, $upstream // $target, 'with that target';
        is $request->header('host'), $example->{host}, 'that host';
        is $request->connection->server_name, $example->{host}, 'that name';
        is $request->body, $method eq 'POST' ? $BODY : '', 'and its body';
    }
    for my $case (@{$example->{bounces}}) {
        my ($status, @request) = @$case;
        $verdict->refused("@request[0, 1] does not", $ask->(@request), $status);
    }
    check_upgrade($nginx, $provider, $verdict, $example)
        if $example->{upgrades};
    $example->{more}->($nginx, $provider) if $example->{more};
    is $ask->('GET', '/', [])->body, 'the site itself', 'the site is there'
        if $name eq 'existing-site.conf';
    $nginx->stop;
    return;
}

sub check_upgrade ($nginx, $provider, $verdict, $example) {
    my $target = $example->{upgrades};
    $provider->answer(sub ($request) { $request->accept_websocket });
    my $wire = Wire->connect($nginx->port, tls => {});
    $wire->write(compose(target => $target, headers => [
        @{$example->{headers} // \@BEARER},
        Connection              => 'Upgrade',
        Upgrade                 => 'websocket',
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key'     => b64_encode('sixteen bytes ok', '')]));
    $verdict->admitted("a WebSocket at $target", $wire->await_head, 101);
    $wire->close;
    return;
}

# What is counted, where the example shows it: to the caller, the operator and
# in the log; and who may use what.
sub check_figures ($nginx, $provider) {
    my $model = sub ($model) {
        return request($nginx->port, tls => {}, method => 'POST',
            target => '/v1/responses',
            headers => [@BEARER, 'Content-Type' => 'application/json'],
            body => qq({"model":"$model"}))->status;
    };
    $provider->answer(sub ($request) {
        $request->reply(200, undef, response_document(model => 'gpt-5-mini',
            input => 1000, cached => 400, output => 100));
    });
    is $model->('gpt-5-mini'), 200, 'a model that is allowed';
    is $model->('gpt-4o'),     400, 'one that is not';
    $nginx->tolerate(qr/model_not_allowed/);

    my $usage = request($nginx->port, tls => {}, target => '/v1/usage',
        headers => \@BEARER)->json;
    is $usage->{total_tokens}, 1100, 'tokens';
    # By the closest of the prices that are shown.
    cmp_ok abs($usage->{total_cost_usd}
        - (600 * .25 + 400 * .025 + 100 * 2) / 1e6), '<', 1e-9, 'their cost';
    is scalar @{$usage->{limits}}, 3, 'limits';

    my $operator = sub ($target) {
        return request($nginx->port('operator'), target => $target);
    };
    like $operator->('/metrics')->body,
        qr/^keystile_cost_usd_total\{.*"ada".*"gpt-5-mini"\} 0\.00036$/m,
        'metrics';
    like $operator->('/status')->header('content-type'), qr{\Atext/html},
        'a page';
    like path($nginx->dir, 'access.log')->slurp,
        qr/ client=ada .* model=gpt-5-mini input=1000 cached=400 output=100/,
        'and the access log';
    return;
}

# What the page about it asks of jq, of turns that are recorded.
sub check_conversation ($nginx, $provider) {
    my $ask = sub ($session, %members) {
        return request($nginx->port, tls => {}, method => 'POST',
            target => '/v1/responses',
            headers => [@BEARER, 'session-id' => $session],
            body => encode_json({model => 'gpt-5', %members}));
    };
    my @items = ({type => 'reasoning', summary => []},
        {type => 'message', role => 'assistant',
            content => [{type => 'output_text', text => 'Let me look.'}]},
        {type => 'function_call', name => 'ls', arguments => '{"a":1}'});
    my @output = (\@items, [{type => 'message', role => 'assistant',
        content => [{type => 'output_text', text => 'Two files.'}]}]);
    $provider->answer(sub ($request) {
        $request->reply(200, undef, encode_json({object => 'response',
            output => shift @output,
            usage  => {input_tokens => 10, output_tokens => 2}}));
    });
    my @input = ({role => 'user', content => 'What is here?'});
    $ask->('S1', input => \@input);
    push @input, @items, {type => 'function_call_output', output => 'a b'};
    $ask->('S1', input => \@input);
    $provider->answer(sub ($request) { $request->reply(500) });
    $ask->('S2', input => 'Hi');

    my $file = $nginx->dir . '/turns.jsonl';
    Await::await('five lines', sub {
        -e $file && path($file)->slurp =~ tr/\n// == 5 });
    my $page = path($DIRECTORY, 'recording/README.md')->slurp;
    my $jq = sub ($pattern, %values) {
        my ($command) = $page =~ /^    (jq $pattern.*?turns\.jsonl\b[^\n]*)/ms
            or return fail("there is jq $pattern");
        $command =~ s/\b$_\b/$values{$_}/ for keys %values;
        $command =~ s/\bturns\.jsonl\b/$file/;
        $command =~ s/^    //gm;
        my $folder = path($DIRECTORY, 'recording');
        my $said = qx{cd $folder && $command 2>&1};
        is $?, 0, "jq $pattern" or diag $said;
        return $said =~ s/^20\S+Z //gmr;
    };
    is $jq->('-rs --arg id', SESSION => 'S1'), <<'END', 'a conversation';
user: What is here?
assistant: Let me look.
assistant: ls({"a":1})
tool: a b
assistant: Two files.
END
    is $jq->('-rs --arg id', SESSION => 'S2'), "[upstream_status]\n",
        'one without an answer';
    like $jq->(q{-rs 'group_by}), qr/^S1\tada\t2\t20\t4$/m, 'sessions';
    is $jq->(q{-r '.dropped}), "      1 upstream_status\n", 'what is dropped';
    is split(/\n/, $jq->(q{-rs 'sort_by})), 5, 'the slowest';
    return;
}

# Those of composition/ are composition.t's; several-keys, pool_example.t's;
# compose, containers.t's.
my @examples = grep { !m{\A(?:composition/|several-keys|compose\.conf)} }
    map  { $_->to_rel($DIRECTORY)->to_string }
    grep {/\.conf\z/} @{$DIRECTORY->list_tree};
is_deeply [sort @examples], [sort keys %EXAMPLES], 'every example is run';

# A key may be in the query of $request, which nginx's own format has; and at
# the level that an error log has by itself, no warning comes.
for my $file (grep {/[.](?:conf|yaml)\z/} @{$DIRECTORY->list_tree}) {
    my $text = $file->slurp;
    next if $text !~ /keystile_pass/;
    my $name = $file->to_rel($DIRECTORY);
    is_deeply [grep { !/ warn\z/ } $text =~ /^ *(error_log .*);/mg], [],
        "$name: warnings are logged";
    like $text, qr/^error_log /m, 'in a log of its own'
        if $text =~ /^http /m;
    like $text, qr/^ *access_log +\S+  keystile;$/m, "$name: a log of its own";
    unlike $text, qr/\$(?:request|request_uri|args)\b/,
        'which has no query';
    unlike $text, qr/\{\n\s*keystile_health;/, 'and none of health checks';
}
subtest $_ => \&check_example, $_, $EXAMPLES{$_} for sort keys %EXAMPLES;

done_testing;
