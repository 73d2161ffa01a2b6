# Clients of HTTP/2, over TLS: judged and served like those of HTTP/1.1, and
# what they sent is forgotten without harm to the connection they share.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/clients/lib";
use Test::More;
use Authority;
use Child;
use Mojo::JSON qw(decode_json encode_json);
use Nginx;
use Provider;
use Verdict;

plan skip_all => 'no node'
    if system('node -e 0 >/dev/null 2>&1') != 0;
plan skip_all => 'this nginx has no HTTP/2'
    if !Nginx->new->is_built_with('http_v2_module');

# Sends requests on one connection, each when the one before it is through, or
# all at once; prints their answers.
my $CLIENT_OF_HTTP2 = <<'JS';
import http2 from 'node:http2';
const [port, together, requests] = process.argv.slice(2);
const session = http2.connect(`https://localhost:${port}`,
    {family: 4, rejectUnauthorized: false});
session.on('error', () => {});

const ask = ({headers, sensitive, parts}) => new Promise((resolve) => {
    const answer = {headers: {}, body: ''};
    const stream = session.request(
        {...headers, [http2.sensitiveHeaders]: sensitive ?? []},
        {endStream: !parts});
    stream.on('response', (headers) => { answer.headers = headers; });
    stream.setEncoding('latin1');
    stream.on('data', (bytes) => { answer.body += bytes; });
    stream.on('error', (error) => { answer.error = error.code; });
    stream.on('close', () => resolve(answer));
    for (const part of parts ?? []) stream.write(part);
    if (parts) stream.end();
});

const answers = [];
for (const request of JSON.parse(requests)) {
    const answer = ask(request);
    answers.push(together === '1' ? answer : await answer);
}
console.log(JSON.stringify(await Promise.all(answers)));
session.close();
JS

my $KEY       = 'sk-test-provider-h2-51d0';
my $CLIENT    = 'sk-test-client-h2-' . 'c0ffee' x 6;
my $AGENT     = 'sk-test-agent-h2-08bb';
my $authority = Authority->new;
my $leaf      = $authority->issue('localhost');
my $provider  = Provider->new;
my $nginx     = Nginx->new(
    log => '$keystile_request_id $server_protocol $keystile_client $status');
my $script    = $nginx->file('client.mjs', $CLIENT_OF_HTTP2);
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [
    {id => 'ci', keys => [$CLIENT]}, {id => 'agent', keys => [$AGENT]}]});
$nginx->start(<<'CONF',
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_allow       GET,POST,HEAD /*/responses query=a;
    keystile_inject      openai;
    keystile_key_headers authorization x-api-key x-agent-key;

    server {
        listen 127.0.0.1:%%PORT%% ssl http2;
        ssl_certificate     %%CERT%%;
        ssl_certificate_key %%KEY%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /small/ {
            client_max_body_size 10;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF
    PROVIDER => $provider->address,
    CERT     => $leaf->{cert},
    KEY      => $leaf->{key});
my ($worker) = $nginx->worker_pids;

# The answers to requests on one connection.
sub answers ($together, @requests) {
    $provider->forget;
    my $child = Child->start(command => ['node', $script, $nginx->port,
        $together, encode_json(\@requests)]);
    $child->finish;
    is $child->exit, 0, 'the client ends well' or diag $child->err;
    return @{decode_json($child->out)};
}

sub headers (%headers) {
    return {':path' => '/v1/responses', %headers};
}

# The provider's requests, each good.
sub arrived ($count) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $verdict = Verdict->new(provider => $provider, key => $KEY,
        secrets => [$CLIENT, $AGENT]);
    my @requests = @{$provider->requests};
    is scalar @requests, $count, "$count requests arrive";
    is_deeply [map { $verdict->credential_faults($_) } @requests], [],
        'with the credential, and nothing of the client\'s';
    return @requests;
}

sub statuses (@answers) {
    return join ' ', map { $_->{error} // $_->{headers}{':status'} } @answers;
}

# A header that was sent before is only a number into a table that the
# connection keeps: it must still hold the key.
my @KEYS = (
    {authorization => "Bearer $CLIENT"},
    {'x-api-key'   => $CLIENT},
    {'x-agent-key' => $AGENT},
    {'x-agent-key' => $AGENT, authorization => 'Bearer sk-test-wrong'},
);
for my $together (0, 1) {
    subtest 'one connection, ' . ($together ? 'at once' : 'in turn') => sub {
        for my $key (@KEYS) {
            my @names = sort keys %$key;
            my $request = {headers => headers(%$key)};
            my @answers = answers($together, ($request) x 20);
            is statuses(@answers), join(' ', (200) x 20), "@names";
            arrived(20);

            $request->{sensitive} = \@names;
            is statuses(answers($together, ($request) x 5)),
                join(' ', (200) x 5), 'never in the table';
            arrived(5);
        }
    };
}

subtest 'who is who' => sub {
    my @requests = map { {headers => headers(%$_)} } @KEYS[0, 2, 0],
        {authorization => 'Bearer sk-test-wrong'}, {}, $KEYS[0],
        {':path' => '/v1/other', %{$KEYS[0]}},
        {':path' => '/v1//responses', %{$KEYS[0]}},
        {':path' => '/v1/responses?b=1', %{$KEYS[0]}},
        {':method' => 'DELETE', %{$KEYS[0]}}, $KEYS[2];
    $requests[$_]{headers}{'x-request-id'} = "who-$_" for 0 .. $#requests;
    my @answers = answers(0, @requests);
    is statuses(@answers), '200 200 200 401 401 200 403 400 403 405 200',
        'the answers';
    arrived(5);
    for my $answer (@answers) {
        my $ok = $answer->{headers}{':status'} == 200;
        like $answer->{headers}{'x-request-id'}, qr/\A[\w.-]+\z/, 'has an id';
        my $body = decode_json($answer->{body});
        ok $ok ? $body->{ok} : $body->{error}{code}, 'has its body';
    }
    my @lines = map { $nginx->logged_as(qr/\Awho-$_ /) } 0 .. $#requests;
    is_deeply [map {s/\A\S+ //r} @lines], [map { "HTTP/2.0 $_" }
            'ci 200', 'agent 200', 'ci 200', '- 401', '- 401', 'ci 200',
            '- 403', '- 400', '- 403', '- 405', 'agent 200'], 'the log';
};

subtest 'bodies' => sub {
    my @parts = ('{"input":"', 'x' x 50_000, '"}');
    my $body  = join '', @parts;
    for my $place (qw(v1 unbuffered)) {
        my %to = (':path' => "/$place/responses", ':method' => 'POST');
        my @requests = (
            {parts => \@parts, headers => headers(%to, %{$KEYS[0]})},
            {parts => \@parts, headers => headers(%to, %{$KEYS[0]},
                'content-length' => length $body)},
            {parts => [], headers => headers(%to, %{$KEYS[0]})},
        );
        is statuses(answers(0, @requests)), '200 200 200', $place;
        my @arrived = arrived(3);
        ok $_->body eq $body, 'whole' for @arrived[0, 1];
        is $arrived[2]->body, '', 'empty';
        is scalar @{[map { $_->all('content-length'),
                    $_->all('transfer-encoding') } @arrived]}, 3,
            'each framed once';
    }
    my ($answer) = answers(0, {parts => \@parts, headers => headers(
            ':path' => '/small/responses', ':method' => 'POST',
            'content-length' => length $body, %{$KEYS[0]})});
    is statuses($answer), 413, 'too large';
    is decode_json($answer->{body})->{error}{code}, 'payload_too_large',
        'with an error of ours';
    arrived(0);
};

subtest 'headers of HTTP/2' => sub {
    my ($answer) = answers(0, {headers => headers(%{$KEYS[0]},
        te => 'trailers', cookie => "a=$CLIENT; b=c", 'x-a' => 'kept',
        'accept-encoding' => 'gzip, deflate',    # of nginx's own memory
        'openai-organization' => $CLIENT, 'x-request-id' => 'of-the-client')});
    is statuses($answer), 200, 'a request';
    my ($request) = arrived(1);
    is $request->version, 'HTTP/1.1', 'goes up as HTTP/1.1';
    is_deeply [grep { $_ ne 'connection' } $request->names],
        [qw(accept-encoding authorization host x-a x-request-id)],
        'without those';
    is $request->header('x-request-id'), 'of-the-client', 'with its id';
    is $answer->{headers}{'x-request-id'}, 'of-the-client', 'and back';
};

is_deeply [$nginx->worker_pids], [$worker], 'no worker was replaced';
$nginx->stop;
done_testing;
