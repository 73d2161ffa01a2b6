# Who may pass: every way of presenting a client key, and what comes of it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY  = 'sk-test-provider-4f1c';
my %KEYS = (
    first    => 'sk-test-client-first',
    second   => 'sk-test-client-second',
    old      => 'sk-test-client-rotated-old',
    new      => 'sk-test-client-rotated-new',
    expired  => 'sk-test-client-expired',
    later    => 'sk-test-client-later',
    disabled => 'sk-test-client-disabled',
    guest    => 'sk-test-client-guest',
    near     => 'sk-test-client-near',
    reader   => 'sk-test-client-reader',
    unknown  => 'sk-test-client-unknown',
);

sub client ($id, @more) { return {id => $id, keys => [$KEYS{$id}], @more} }

my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', "$KEY\n");
$nginx->client_file({clients => [
    client('first'),
    client('second'),
    {id => 'rotated', keys => [@KEYS{qw(old new)}]},
    client('expired',  expires  => '2020-01-31T00:00:00Z'),
    client('later',    expires  => '2099-01-31T00:00:00Z'),
    client('disabled', disabled => \1),
    client('near',     from     => ['127.0.0.2', '10.0.0.0/8']),
    client('reader',   allow    => ['GET /narrow/responses']),
]}, 'team.json');
$nginx->client_file({clients => [client('guest')]}, 'guests.json');
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/team.json;
    keystile_client_keys guests %%DIR%%/guests.json;
    keystile_inject      openai;
    keystile_allow       GET,HEAD,POST /*/responses;
    keystile_set_header  X-Client $keystile_client;

    server {
        listen 127.0.0.1:%%PORT%%;

        location /team/ {
            keystile_admit team;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /narrow/ {
            keystile_admit team;
            keystile_allow GET,POST /narrow/responses;
            keystile_allow GET      /narrow/models;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /both/ {
            keystile_admit team guests;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /ordered/ {
            keystile_admit       team;
            keystile_key_headers x-agent-key authorization;
            keystile_pass        http://%%PROVIDER%%;
        }
        location /bearer/ {
            keystile_admit team;
            keystile_allow GET /bearer/responses identity=bearer;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /socket/ {
            keystile_admit team;
            keystile_allow GET /socket/responses websocket;
            keystile_pass  http://%%PROVIDER%%;
        }
    }
CONF

my $verdict = Verdict->new(
    provider => $provider,
    key      => $KEY,
    secrets  => [values %KEYS]);

sub call ($location, $headers, %more) {
    return request($nginx->port,
        target => "/$location/responses", headers => $headers, %more);
}

# Admitted, and as that client.
sub passes ($name, $client, $response) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $request = $verdict->admitted($name, $response) or return;
    is $request->header('x-client') // '', $client, "$name: as '$client'";
    return;
}

sub bounces ($name, $response, @refusal) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $verdict->refused($name, $response, @refusal);
    return;
}

my $MISSING
    = qr/\AMissing API key in Authorization header or x-api-key header\z/;
my %SAYS = (
    missing  => $MISSING,
    unknown  => qr/\AInvalid API key\z/,
    disabled => qr/\AInvalid API key\z/,
    expired  => qr/expired/,
);

# Each form of one header, with what it amounts to.
my %BEARER = (
    absent          => [undef, 'missing'],
    Basic           => ['Basic c2stdGVzdDpjbGllbnQ=', 'missing'],
    empty           => ['', 'missing'],
    'scheme only'   => ['Bearer', 'missing'],
    'no key'        => ['Bearer ', 'missing'],
    'no scheme'     => [$KEYS{first}, 'missing'],
    'glued scheme'  => ["Bearer$KEYS{first}", 'missing'],
    unknown         => ["Bearer $KEYS{unknown}", 'unknown'],
    expired         => ["Bearer $KEYS{expired}", 'expired'],
    disabled        => ["Bearer $KEYS{disabled}", 'disabled'],
    valid           => ["Bearer $KEYS{first}", 'first'],
    'lower case'    => ["bearer $KEYS{first}", 'first'],
    'mixed case'    => ["bEaReR $KEYS{first}", 'first'],
    'more spaces'   => ["  Bearer   $KEYS{first}  ", 'first'],
    'a tab'         => ["Bearer\t$KEYS{first}", 'first'],
);
my %X_API_KEY = (
    absent          => [undef, 'missing'],
    empty           => ['', 'missing'],
    unknown         => [$KEYS{unknown}, 'unknown'],
    expired         => [$KEYS{expired}, 'expired'],
    disabled        => [$KEYS{disabled}, 'disabled'],
    valid           => [$KEYS{second}, 'second'],
    'more spaces'   => ["   $KEYS{second} ", 'second'],
);

subtest 'Authorization and x-api-key' => sub {
    for my $bearer (sort keys %BEARER) {
        for my $x_api_key (sort keys %X_API_KEY) {
            my ($authorization, $first)  = @{$BEARER{$bearer}};
            my ($other,         $second) = @{$X_API_KEY{$x_api_key}};
            my $outcome = $first eq 'first' ? $first
                : $second ne 'missing'      ? $second
                :                             $first;
            my $name = "Authorization $bearer, x-api-key $x_api_key";
            my $r    = call('team', [
                defined $authorization ? (Authorization => $authorization) : (),
                defined $other         ? ('X-Api-Key'   => $other)         : (),
            ]);
            $outcome =~ /\A(?:first|second)\z/
                ? passes($name, $outcome, $r)
                : bounces($name, $r, 401, 'invalid_api_key', $SAYS{$outcome});
        }
    }
};

subtest 'one header twice, or misspelt' => sub {
    my @bearer = (Authorization => "Bearer $KEYS{first}");
    my @key    = ('X-Api-Key' => $KEYS{second});
    bounces 'x-api-key twice', call('team', [@key, @key]),
        400, 'duplicate_key_header';
    bounces 'x-api-key twice, in two cases',
        call('team', [@key, 'x-API-key' => $KEYS{unknown}]),
        400, 'duplicate_key_header';
    bounces 'x-api-key twice next to a valid bearer',
        call('team', [@bearer, @key, @key]), 400, 'duplicate_key_header';
    $verdict->refused('Authorization twice: nginx itself refuses',
        call('team', [@bearer, Authorization => "Bearer $KEYS{second}"]), 400);
    bounces 'x_api_key is not x-api-key',
        call('team', [x_api_key => $KEYS{second}]),
        401, 'invalid_api_key', $MISSING;
    passes 'x_api_key is dropped next to x-api-key', 'second',
        call('team', [x_api_key => $KEYS{first}, @key]);
    passes 'other credentials are dropped', 'first', call('team',
        [@bearer, 'Api-Key' => $KEYS{unknown}, 'X-Api_Key' => $KEYS{old}]);
    bounces 'a key with a space', call('team', ['X-Api-Key' => 'sk-a sk-b']),
        401, 'invalid_api_key';
    bounces 'a key in two parts',
        call('team', [Authorization => "Bearer $KEYS{first} $KEYS{first}"]),
        401, 'invalid_api_key';
};

subtest 'what a client entry says' => sub {
    my $as = sub ($key) { ['X-Api-Key' => $KEYS{$key}] };
    passes 'the old key of two', 'rotated', call('team', $as->('old'));
    passes 'the new key of two', 'rotated', call('team', $as->('new'));
    passes 'a key that expires later', 'later', call('team', $as->('later'));
    passes 'from an address in the list', 'near',
        call('team', $as->('near'), from => '127.0.0.2');
    bounces 'from another', call('team', $as->('near')),
        403, 'address_not_allowed';
    passes 'a rule of its own list', 'reader', call('narrow', $as->('reader'));
    bounces 'a rule of the location only',
        call('narrow', $as->('reader'), method => 'POST', body => '{}'),
        403, 'client_not_allowed';
    bounces 'another path of the location',
        request($nginx->port,
            target => '/narrow/models', headers => $as->('reader')),
        403, 'client_not_allowed';
    passes 'a client without a list', 'first',
        call('narrow', $as->('first'), method => 'POST', body => '{}');
};

subtest 'key headers of the location' => sub {
    my @agent  = ('X-Agent-Key' => $KEYS{second});
    my @bearer = (Authorization => "Bearer $KEYS{first}");
    passes 'the first of the list decides', 'second',
        call('ordered', [@bearer, @agent]);
    passes 'a bad one leaves it to the next', 'first',
        call('ordered', [@bearer, 'X-Agent-Key' => $KEYS{unknown}]);
    bounces 'the last bad one gives the error',
        call('ordered', ['X-Agent-Key' => $KEYS{unknown},
            Authorization => "Bearer $KEYS{expired}"]),
        401, 'invalid_api_key', qr/expired/;
    bounces 'a header that is not in the list',
        call('ordered', ['X-Api-Key' => $KEYS{first}]), 401, 'invalid_api_key',
        qr/\AMissing API key in x-agent-key header or Authorization header\z/;
    passes 'and is dropped', 'first',
        call('ordered', [@bearer, 'X-Api-Key' => $KEYS{second}]);
    passes 'no spelling of a key header goes up', 'first',
        call('ordered', [@bearer, x_agent_key => $KEYS{second}]);
};

subtest 'identity=bearer' => sub {
    passes 'a bearer', 'first',
        call('bearer', [Authorization => "Bearer $KEYS{first}"]);
    bounces 'an x-api-key', call('bearer', ['X-Api-Key' => $KEYS{first}]),
        401, 'invalid_api_key', qr/\AMissing API key in Authorization header\z/;
    bounces 'a bad bearer and a good x-api-key',
        call('bearer', [Authorization => "Bearer $KEYS{expired}",
            'X-Api-Key' => $KEYS{first}]),
        401, 'invalid_api_key', qr/expired/;
};

subtest 'several sets' => sub {
    passes 'the first set', 'first',
        call('both', ['X-Api-Key' => $KEYS{first}]);
    passes 'the second set', 'guest',
        call('both', ['X-Api-Key' => $KEYS{guest}]);
    bounces 'a set that is not admitted here',
        call('team', ['X-Api-Key' => $KEYS{guest}]), 401, 'invalid_api_key';
};

subtest 'HEAD and WebSocket are no way round' => sub {
    passes 'HEAD with x-api-key', 'second',
        call('team', ['X-Api-Key' => $KEYS{second}], method => 'HEAD');
    bounces 'HEAD without', call('team', [], method => 'HEAD'),
        401, 'invalid_api_key';
    my $handshake = sub (@headers) {
        return Wire->handshake($nginx->port,
            target => '/socket/responses', headers => [@headers])->message;
    };
    bounces 'a handshake without a key', $handshake->(),
        401, 'invalid_api_key', $MISSING;
    bounces 'a handshake with a bad key',
        $handshake->('X-Api-Key' => $KEYS{disabled}), 401, 'invalid_api_key';
    $provider->answer(sub ($request) { $request->accept_websocket });
    my $request = $verdict->admitted('a handshake with a key',
        $handshake->('X-Api-Key' => $KEYS{second}), 101);
    is $request->header('x-client'), 'second', 'as that client';
    $provider->answer(sub ($request) { $request->reply(200) });
};

subtest 'each request of a connection for itself' => sub {
    my $wire = Wire->connect($nginx->port);
    my $ask  = sub (@headers) {
        return $wire->ask(target => '/team/responses', method => 'POST',
            headers => [Connection => 'keep-alive', @headers],
            body => "GET /team/responses HTTP/1.1\r\nHost: a\r\n\r\n");
    };
    passes 'the first', 'first', $ask->('X-Api-Key' => $KEYS{first});
    bounces 'one without a key', $ask->(), 401, 'invalid_api_key', $MISSING;
    passes 'another client', 'second',
        $ask->(Authorization => "Bearer $KEYS{second}");
    bounces 'a bad key', $ask->('X-Api-Key' => $KEYS{expired}),
        401, 'invalid_api_key', $SAYS{expired};
    passes 'the first again', 'first', $ask->('X-Api-Key' => $KEYS{first});
    $wire->close;
};

# nginx itself logs both lines of a doubled Authorization.
my @lines = grep { !/client sent duplicate header line/ }
    split /\n/, $nginx->log_without_headers;
for my $name (sort keys %KEYS) {
    is scalar(grep { index($_, $KEYS{$name}) >= 0 } @lines), 0,
        "the $name key is not in the error log";
}

$nginx->stop;
done_testing;
