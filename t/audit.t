# The audit line: who asked, what was decided and why, with which credential,
# under which id. A refusal says why, and never what was sent.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Memory;
use Mojo::WebSocket qw(WS_BINARY build_frame);
use Nginx;
use Provider;
use Wire;

my $KEY  = fresh_key('provider');
my %KEYS = map { $_ => fresh_key($_) } qw(ci away old gone unknown);
my $provider = Provider->new;
my $nginx    = Nginx->new(log => join ' ', qw(
    decision=$keystile_decision client=$keystile_client
    key_header=$keystile_key_header credential=$keystile_credential
    rule=$keystile_rule
    id=$keystile_request_id status=$status));
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [
    {id => 'ci',   keys => [$KEYS{ci}]},
    {id => 'away', keys => [$KEYS{away}], from => ['10.0.0.0/8']},
    {id => 'old',  keys => [$KEYS{old}],  expires => '2020-01-31T00:00:00Z'},
    {id => 'gone', keys => [$KEYS{gone}], disabled => \1},
    {id => 'read', keys => [$KEYS{read} = fresh_key('read')],
        allow => ['GET /v1/models']},
]});
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team %%DIR%%/clients.json;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            keystile_admit  team;
            keystile_allow  POST /v1/responses;
            keystile_allow  GET  /v1/models;
            keystile_allow  GET  /v1/socket websocket;
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
    }
CONF

sub bearer ($who) { return [Authorization => "Bearer $KEYS{$who}"] }

# What is sent; the fields of the line; what the error log gives as the reason.
my @table = (
    ['a bearer', {headers => bearer('ci')},
        'admitted ci authorization openai /v1/responses 200'],
    ['an API key', {headers => ['X-Api-Key' => $KEYS{ci}]},
        'admitted ci x-api-key openai /v1/responses 200'],
    ['the second header', {headers =>
        [Authorization => "Bearer $KEYS{unknown}", 'x-api-key' => $KEYS{ci}]},
        'admitted ci x-api-key openai /v1/responses 200'],
    ['no key', {}, 'missing_api_key - - - /v1/responses 401', 'Missing API key'],
    ['an unknown key', {headers => bearer('unknown')},
        'invalid_api_key - - - /v1/responses 401', 'invalid_api_key'],
    ['an expired key', {headers => bearer('old')},
        'invalid_api_key old - - /v1/responses 401', 'expired'],
    ['a disabled client', {headers => bearer('gone')},
        'invalid_api_key gone - - /v1/responses 401', 'invalid_api_key'],
    ['another address', {headers => bearer('away')},
        'address_not_allowed away - - /v1/responses 403', 'address'],
    ['a rule of the client', {headers => bearer('read')},
        'client_not_allowed read - - /v1/responses 403', 'client_not_allowed'],
    ['a path', {headers => bearer('ci'), target => '/v1/files'},
        'path_not_allowed - - - - 403', 'path'],
    ['a method', {headers => bearer('ci'), target => '/v1/models'},
        'method_not_allowed - - - /v1/models 405', 'method'],
    ['a target', {headers => bearer('ci'), target => '/v1//responses'},
        'bad_request_target - - - - 400', 'bad_request_target'],
    ['a key twice',
        {headers => [map { ('X-Api-Key' => $_) } @KEYS{qw(ci away)}]},
        'duplicate_key_header - - - /v1/responses 400', 'duplicate_key_header'],
    ['a refused credential', {headers => bearer('ci'), refuse => 1},
        'admitted ci authorization openai /v1/responses 503', undef],
);

for my $case (@table) {
    my ($name, $request, $expected, $reason) = @$case;
    $provider->answer(sub ($up) {
        $up->reply($request->{refuse} ? 401 : 200);
    });
    my $from   = length $nginx->log_without_headers;
    my $id     = 'audit-' . ($name =~ tr/a-zA-Z/-/cr);
    my $r      = request($nginx->port,
        method  => 'POST',
        target  => $request->{target} // '/v1/responses',
        headers => [@{$request->{headers} // []}, 'X-Request-Id' => $id]);
    my $line   = $nginx->logged_as(qr/ id=\Q$id\E /);
    my ($decision, $client, $key_header, $credential, $rule, $status)
        = split ' ', $expected;
    # Which of its codes a 401 has is for t/admission.t to say.
    my $code = $status == 401 ? '\w+_api_key' : $decision;
    like $line, qr/\Adecision=$code[ ]client=$client[ ]
        key_header=$key_header[ ]credential=$credential[ ]
        rule=\Q$rule\E[ ]id=\Q$id\E[ ]status=$status\z/x, "$name: the line";
    is $r->header('x-request-id'), $id, 'has the id that the client got'
        if $r->status != 400;

    my $said = substr $nginx->log_without_headers, $from;
    my @refusals = $said =~ /^(.*keystile refused the request.*)$/mg;
    if ($reason) {
        is scalar @refusals, 1, 'one line in the error log';
        like $refusals[0] // '', qr/refused the request: $code \([^)]+\)/,
            'which has the code, and why';
        like $refusals[0] // '', qr/\Q$reason\E/i, "$reason";
        like $refusals[0] // '', qr/client id "\Q$client\E"/, 'and who'
            if $client ne '-';
    } else {
        is scalar @refusals, 0, 'no refusal in the error log';
    }
    my $random = sub ($key) { substr $key, -40 };
    ok !(grep { index("$line$said", $random->($_)) >= 0 } $KEY, values %KEYS),
        'and no key anywhere';
}

# The bytes that a client sends with a handshake take the place of its head.
for my $size (0, 500, 6000, 20_000) {
    $provider->forget->answer(sub ($up) { $up->accept_websocket });
    my $early = $size && build_frame(1, 1, 0, 0, 0, WS_BINARY, 'E' x $size);
    my $wire  = Wire->connect($nginx->port);
    $wire->write(compose(target => '/v1/socket', headers => [
        @{bearer('ci')}, Connection => 'Upgrade', Upgrade => 'websocket',
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key'     => 'c2l4dGVlbiBieXRlcyBvaw==',
        'X-Request-Id'          => "socket-$size"]) . ($early || q{}));
    my $up = $provider->next_request;
    await 'the early bytes', sub {
        length $up->connection->received >= length($up->head) + $size;
    };
    is $wire->await_head->status, 101, 'a WebSocket';
    $wire->close;
    is $nginx->logged_as(qr/ id=socket-$size /),
        'decision=admitted client=ci key_header=authorization'
        . " credential=openai rule=/v1/socket id=socket-$size status=101",
        "and its line, after $size early bytes";
}

$nginx->stop;
done_testing;
