# clients.json: what cannot take effect is an error, with file, line and
# column; and no key or hash of one is ever repeated in it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Configuration;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY    = 'sk-test-provider-1dea';
my $CLIENT = 'sk-test-client-in-clear';
my $HASH   = Nginx::hashed($CLIENT);
my $OTHER  = Nginx::hashed('sk-test-other');
my $nginx  = Nginx->new;
$nginx->key_file('openai.key', $KEY);
# Neither the key nor its hash may be said.
configure_with($nginx, $CLIENT);

sub written ($json) {
    return $nginx->file('clients.json', $json);
}

# The client of most cases stands on the third line.
sub client_with (@members) {
    return written(join "\n", '{ "version": 1,', '  "clients": [',
        '    { ' . join(",\n      ", @members) . ' } ] }', '');
}

my @CI = ('"id": "ci"', qq("keys": ["$HASH"]));

sub good ($name, $file, %change) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    passes $name, %change;
    return;
}

sub bad ($name, $line, $pattern, $file) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    fails $name, "clients\\.json:$line:[1-9]\\d*:[^\\n]*(?:$pattern)";
    return;
}

subtest 'right' => sub {
    good 'the least', client_with(@CI);
    good 'everything', client_with(@CI, '"expires": "2030-01-31T00:00:00Z"',
        '"disabled": true', '"from": ["10.0.0.0/8", "::1", "192.0.2.7"]',
        '"allow": ["POST /v1/responses", "GET /v1/responses websocket"]',
        '"models": ["gpt-5*", "o4-mini"]',
        '"limits": [{"requests": 60, "per": "minute"}, {"concurrent": 8}, '
            . '{"tokens": 2000000, "per": "day", "model": "o4-mini"}]'),
        http => 'keystile_zone main 1m; keystile_meter main;';
    good 'two keys', client_with('"id": "a"', qq("keys": ["$HASH","$OTHER"]));
    good 'the members in another order',
        written(qq({"clients":[{"keys":["$HASH"],"id":"a"}],"version":1}));
};

subtest 'not JSON' => sub {
    bad 'nothing',        1, '', written('');
    bad 'no JSON',        1, '', written('clients: []');
    bad 'cut off',        3, '', written("{ \"version\": 1,\n\n\"clients\": [");
    bad 'a comma too many', 2, '',
        written("{ \"version\": 1, \"clients\": [\n ,] }");
    bad 'something after it', 2, '',
        written("{\"version\":1,\"clients\":[]}\n{}");
    bad 'no UTF-8', 1, '', written("{\"version\":1,\"clients\":[],\"\xFF\":1}");
    bad 'an array', 1, '', written('[]');
    bad 'deep nesting', 1, '', written('[' x 100_000);
};

subtest 'the frame' => sub {
    my $clients = qq("clients":[{"id":"ci","keys":["$HASH"]}]);
    bad 'no version', 1, 'version', written("{$clients}");
    bad 'version 2', 2, 'version', written("{\n\"version\":2,$clients}");
    bad 'version "1"', 1, 'version', written(qq({"version":"1",$clients}));
    bad 'no clients', 1, 'clients', written('{"version":1}');
    bad 'an empty list', 1, 'clients', written('{"version":1,"clients":[]}');
    bad 'clients no list', 1, 'clients', written('{"version":1,"clients":{}}');
    bad 'an unknown member', 3, 'client',
        written("{\"version\":1,\n$clients,\n\"client\":[]}");
    bad 'a member twice', 1, 'twice',
        written("{\"version\":1,$clients,$clients}");
    bad 'a client that is none', 2, '',
        written("{\"version\":1,\"clients\":[\n\"ci\"]}");
};

subtest 'a client' => sub {
    my %bad = (
        'no id'               => [3, 'id', $CI[1]],
        'an empty id'         => [3, 'id', '"id": ""', $CI[1]],
        'a long id'           => [3, 'id', '"id": "' . 'a' x 129 . '"', $CI[1]],
        'an id with a space'  => [3, 'id', '"id": "a b"', $CI[1]],
        'an id with a line'   => [3, 'id', '"id": "a\nb"', $CI[1]],
        'an id that is none'  => [3, 'id', '"id": 7', $CI[1]],
        'no keys'             => [3, 'keys', $CI[0]],
        'an empty list'       => [4, 'keys', $CI[0], '"keys": []'],
        'keys no list'        => [4, 'keys', $CI[0], qq("keys": "$HASH")],
        'the key in clear'    => [4, 'sha256:', $CI[0],
            qq("keys": ["$CLIENT"])],
        'a short hash'        => [4, 'sha256:', $CI[0],
            '"keys": ["sha256:abc"]'],
        'another hash'        => [4, 'sha256:', $CI[0],
            '"keys": ["' . $HASH =~ s/sha256/sha512/r . '"]'],
        'no hexadecimal'      => [4, 'sha256:', $CI[0],
            '"keys": ["sha256:' . 'g' x 64 . '"]'],
        'one hash twice'      => [4, '"?ci"?', $CI[0],
            qq("keys": ["$HASH", "$HASH"])],
        'expires no time'     => [5, 'expires', @CI, '"expires": "tomorrow"'],
        'expires on no day'   => [5, 'expires', @CI,
            '"expires": "2027-02-30T00:00:00Z"'],
        'expires a number'    => [5, 'expires', @CI, '"expires": 1900000000'],
        'expires null'        => [5, 'expires', @CI, '"expires": null'],
        'disabled a word'     => [5, 'disabled', @CI, '"disabled": "yes"'],
        'disabled a number'   => [5, 'disabled', @CI, '"disabled": 0'],
        'from an empty list'  => [5, 'from', @CI, '"from": []'],
        'from a name'         => [5, 'from', @CI, '"from": ["localhost"]'],
        'from too long a mask' => [5, 'from', @CI, '"from": ["10.0.0.0/33"]'],
        'from past the mask'  => [5, 'from', @CI, '"from": ["10.0.0.1/8"]'],
        'from no address'     => [5, 'from', @CI, '"from": ["10.0.0"]'],
        'allow an empty list' => [5, 'allow', @CI, '"allow": []'],
        'allow no rule'       => [5, 'allow', @CI, '"allow": ["POST"]'],
        'allow a bad rule'    => [5, 'allow', @CI, '"allow": ["GET v1"]'],
        'allow with a target' => [5, 'allow', @CI, '"allow": ["GET /a to=/b"]'],
        'models an empty list' => [5, 'models', @CI, '"models": []'],
        'models a word'       => [5, 'models', @CI, '"models": "gpt-5"'],
        'models a space'      => [5, 'models', @CI, '"models": ["gpt 5"]'],
        'models twice'        => [5, 'twice', @CI,
            '"models": ["gpt-5", "GPT-5"]'],
        'limits an empty list' => [5, 'limits', @CI, '"limits": []'],
        'an unknown member'   => [5, 'expire', @CI, '"expire": "2027"'],
        'a member twice'      => [5, '', @CI, '"id": "ci"'],
    );
    for my $name (sort keys %bad) {
        my ($line, $pattern, @members) = @{$bad{$name}};
        bad $name, $line, $pattern, client_with(@members);
    }

    my $hash = substr $HASH, 7, 12;
    for my $name ('one hash twice', 'no id', 'keys no list') {
        my (undef, undef, @members) = @{$bad{$name}};
        client_with(@members);
        my (undef, $said) = $nginx->test_config(join ' ',
            map { piece($_) } qw(credential clients));
        unlike $said, qr/$hash/, "$name: the hash is not repeated";
    }
};

subtest 'limits' => sub {
    my %bad = (
        'none'             => ['one of',     '{}'],
        'two in one'       => ['only one',
            '{"requests": 1, "tokens": 1, "per": "day"}'],
        'an unknown one'   => ['total_tokens',
            '{"total_tokens": 1, "per": "day"}'],
        'no period'        => ['per',        '{"requests": 60}'],
        'another period'   => ['per',        '{"requests": 60, "per": "year"}'],
        'per of concurrent' => ['per',       '{"concurrent": 8, "per": "day"}'],
        'of nothing'       => ['whole number', '{"concurrent": 0}'],
        'a fraction'       => ['whole number', '{"tokens": 1.5, "per": "day"}'],
        'a word'           => ['above 0',    '{"usd": "5", "per": "day"}'],
        'a part of a cent' => ['6 decimals', '{"usd": 1e-7, "per": "day"}'],
        'a bad model'      => ['pattern',    '{"concurrent": 8, "model": ""}'],
        'twice'            => ['the same',
            '{"concurrent": 8}, {"concurrent": 9}'],
        'too many'         => ['16',
            join ', ', map { qq({"concurrent": 1, "model": "m$_"}) } 1 .. 17],
    );
    for my $name (sort keys %bad) {
        my ($pattern, $limits) = @{$bad{$name}};
        bad $name, 5, $pattern, client_with(@CI, qq("limits": [$limits]));
    }
    bad 'without effect', 6, 'no effect', client_with(@CI,
        '"models": ["gpt-5*"]', '"limits": [{"concurrent": 8, "model": "o4"}]');
};

subtest 'two clients' => sub {
    my $two = sub ($first, $second) {
        return written("{\"version\":1,\"clients\":[\n$first,\n$second]}");
    };
    my $ci = qq({"id":"ci","keys":["$HASH"]});
    bad 'of one id', 3, '"?ci"?',
        $two->($ci, qq({"id":"ci","keys":["$OTHER"]}));
    bad 'of one key', 3, '', $two->($ci, qq({"id":"b","keys":["$HASH"]}));
    good 'different ones', $two->($ci, qq({"id":"b","keys":["$OTHER"]}));
};

subtest 'the file' => sub {
    fails 'is missing', 'none\.json',
        clients => 'keystile_client_keys team %%DIR%%/none.json;';
    fails 'is a directory', '', clients => 'keystile_client_keys team %%DIR%%;';
    written(qq({"version":1,"clients":[{"id":"ci","keys":[")
        . Nginx::hashed($KEY) . '"]}]}');
    fails 'holds the real key', 'openai[^\n]*ci|ci[^\n]*openai';
};

subtest 'many clients' => sub {
    my $provider = Provider->new;
    my @clients  = map { {id => "c$_", keys => ["sk-test-$_"]} } 1 .. 10_000;
    $nginx->client_file({clients => \@clients});
    $nginx->start(<<'CONF', PROVIDER => $provider->address);
        keystile_credential  openai %%DIR%%/openai.key;
        keystile_client_keys team %%DIR%%/clients.json;
        server {
            listen 127.0.0.1:%%PORT%%;
            location / {
                keystile_admit      team;
                keystile_allow      GET /a;
                keystile_inject     openai;
                keystile_set_header X-Client $keystile_client;
                keystile_pass       http://%%PROVIDER%%;
            }
        }
CONF
    my $verdict = Verdict->new(provider => $provider, key => $KEY);
    for my $number (1, 77, 5_000, 9_999, 10_000) {
        my $request = $verdict->admitted("client $number",
            request($nginx->port, target => '/a',
                headers => ['X-Api-Key' => "sk-test-$number"])) or next;
        is $request->header('x-client'), "c$number", 'by its own id';
    }
    $verdict->refused('none of them', request($nginx->port, target => '/a',
        headers => ['X-Api-Key' => 'sk-test-10001']), 401, 'invalid_api_key');
    $nginx->stop;
};

done_testing;
