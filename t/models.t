# Models that a client may use: the body must name one of them, once and in
# JSON that can be read, whatever its coding; and goes up as it came.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Configuration;
use IO::Compress::Deflate qw(deflate);
use IO::Compress::Gzip    qw(gzip);
use IPC::Open2;
use Metered;
use Mojo::JSON qw(encode_json);
use Verdict;
use Wire;

# Models need no meter.
my $nginx = Metered->new(
    clients => {
        ci  => {models => ['gpt-5*', 'o4-mini', '*-nano']},
        all => {models => ['*']},
        any => {},
    },
    meter     => '',
    server    => 'client_max_body_size 300k;',
    locations => <<'CONF',
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /metered/ {
            keystile_meter main;
            keystile_pass http://%%PROVIDER%%;
        }
        location /file/ {
            client_body_in_file_only clean;
            keystile_pass http://%%PROVIDER%%;
        }
        location /large/ {
            client_max_body_size 10m;
            keystile_pass http://%%PROVIDER%%;
        }
        location /huge/ {
            client_max_body_size 128m;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
);
$nginx->serve;
my $provider = $nginx->provider;
my $verdict  = Verdict->new(provider => $provider, key => Metered::KEY,
    secrets => [key_of('ci'), key_of('all')]);

sub zstd ($bytes, @options) {
    my $pid = open2(my $out, my $in, 'zstd', '-q', '-c', @options);
    binmode $_ for $out, $in;
    my $child = fork // die "fork: $!";
    if (!$child) {
        print {$in} $bytes;
        close $in;
        POSIX::_exit(0);
    }
    close $in;
    my $encoded = do { local $/; <$out> };
    waitpid $_, 0 for $child, $pid;
    return $encoded;
}

my %ENCODE = (
    identity => sub ($bytes) { $bytes },
    gzip     => sub ($bytes) { gzip(\$bytes => \my $out); $out },
    'x-gzip' => sub ($bytes) { gzip(\$bytes => \my $out); $out },
    deflate  => sub ($bytes) { deflate(\$bytes => \my $out); $out },
    zstd     => sub ($bytes) { zstd($bytes) },
);

# The body in that list of codings, applied in this order.
sub encoded ($codings, $body) {
    $body = $ENCODE{$_}->($body) for map { lc } split /\s*,\s*/, $codings;
    return $body;
}

sub post ($id, $body, %request) {
    my @coding = defined $request{coding}
        ? ('Content-Encoding' => $request{coding}) : ();
    $body = encoded($request{coding}, $body) if defined $request{coding};
    my $r = $nginx->call($id, method => 'POST',
        target => $request{target} // '/v1/responses', body => $body,
        headers => [@coding, @{$request{headers} // []}],
        map { ($_ => $request{$_}) } grep { exists $request{$_} } 'type');
    return ($r, $body);
}

sub passes_up ($name, $id, $body, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($r, $sent) = post($id, $body, %request);
    my $request = $verdict->admitted($name, $r) or return;
    ok(($request->body eq $sent), 'byte for byte') ;
    return $request;
}

sub is_refused ($name, $id, $body, $code, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($r) = post($id, $body, %request);
    return $verdict->refused($name, $r,
        $code eq 'payload_too_large' ? 413 : 400, $code);
}

my $GOOD = encode_json({model => 'gpt-5.1', input => 'Hi'});
my $BAD  = encode_json({model => 'gpt-4o',  input => 'gpt-5.1'});

subtest 'names' => sub {
    for my $model (qw(gpt-5 gpt-5.1-codex o4-mini O4-MINI gpt-4-nano -nano)) {
        passes_up($model, ci => encode_json({model => $model}));
    }
    for my $model (qw(gpt-4o o4-mini-2 o4 xgpt-5 nano)) {
        is_refused($model, ci => encode_json({model => $model}),
            'model_not_allowed');
        passes_up("$model, for whom all are allowed",
            all => encode_json({model => $model}));
    }
    passes_up('a name that is escaped',
        ci => '{"model":"\u0067pt\u002d5"}');
    passes_up('with more around it', ci =>
        qq( \n{"input":[{"model":"gpt-4o"}],"x":{"model":1},)
        . qq("model" :\t"gpt-5"}\n));
    is_refused('one deep in it only', ci => '{"input":{"model":"gpt-5"}}',
        'bad_request_body');
    is_refused('a name that is a part only', ci => '{"models":"gpt-5"}',
        'bad_request_body');
};

# Bodies that do not name one model, once, in JSON.
my %UNREADABLE = (
    'nothing'            => '',
    'no JSON'            => 'model=gpt-5',
    'no object'          => '["model","gpt-5"]',
    'a text'             => '"gpt-5"',
    'no model'           => '{"input":"x"}',
    'a number'           => '{"model":5}',
    'null'               => '{"model":null}',
    'a list'             => '{"model":["gpt-5"]}',
    'an empty name'      => '{"model":""}',
    'two'                => '{"model":"gpt-5","model":"gpt-4o"}',
    'two, the other way' => '{"model":"gpt-4o","model":"gpt-5"}',
    'the same twice'     => '{"model":"gpt-5","model":"gpt-5"}',
    'twice, once escaped' => '{"model":"gpt-5","mod\u0065l":"gpt-4o"}',
    # Names that a decoder which minds no case, like that of Go, takes for it.
    'twice, once Model'  => '{"model":"gpt-5","Model":"gpt-4o"}',
    'twice, once MODEL'  => '{"MODEL":"gpt-4o","model":"gpt-5"}',
    'cut off'            => '{"model":"gpt-5"',
    'two documents'      => '{"model":"gpt-5"}{"model":"gpt-4o"}',
    'something after it' => '{"model":"gpt-5"}x',
    'a NUL in the name'  => '{"model":"gpt-5\u0000"}',
    'an endless name'    => '{"model":"gpt-5' . 'x' x 5000 . '"}',
    'deep nesting'       => '[' x 100_000,
    'a form'             => "--a\r\nContent-Disposition: form-data; "
        . "name=\"model\"\r\n\r\ngpt-5\r\n--a--\r\n",
    # Nearly JSON, of which lenient readers make one thing or another.
    'another model in single quotes' =>
        q({"model":"gpt-5","x":['"'],"model":"gpt-4o","y":['"']}),
    'another in comments' =>
        q({"model":"gpt-5","x":[/*"*/],"model":"gpt-4o","y":[/*"*/]}),
    'what is no value'   => '{"model":"gpt-5","x":[,,@]}',
    'another bracket'    => '{"model":"gpt-5","x":[}}',
    'a last comma'       => '{"model":"gpt-5","x":[1,]}',
    'a control byte'     => qq({"model":"gpt-5","x":"\n"}),
    'an escape of none'  => '{"model":"gpt-5","x":"\\x41"}',
    'not UTF-8'          => qq({"model":"gpt-5","x":"\xC3"}),
    'UTF-8 too long'     => qq({"model":"gpt-5","x":"\xC0\xA2"}),
    'a byte order mark'  => qq(\xEF\xBB\xBF{"model":"gpt-5"}),
    'a number with a 0'  => '{"model":"gpt-5","x":01}',
    'NaN'                => '{"model":"gpt-5","x":[NaN]}',
    'too deep'           => '{"model":"gpt-5","x":' . '[' x 240 . ']' x 240
        . '}',
);
for my $place (qw(v1 unbuffered metered)) {
    subtest "what cannot be read: /$place" => sub {
        for my $name (sort keys %UNREADABLE) {
            for my $id (qw(ci all)) {
                is_refused("$name ($id)", $id => $UNREADABLE{$name},
                    'bad_request_body', target => "/$place/responses");
            }
        }
    };
}

for my $place (qw(v1 unbuffered metered file)) {
    subtest "codings: /$place" => sub {
        my @at = (target => "/$place/responses");
        for my $coding ('identity', 'gzip', 'x-gzip', 'GZIP', 'deflate',
            'zstd', 'gzip, zstd', 'deflate, gzip', 'zstd, identity, gzip') {
            passes_up($coding, ci => $GOOD, @at, coding => $coding);
            is_refused("$coding, another model", ci => $BAD,
                'model_not_allowed', @at, coding => $coding);
        }
        my $request = passes_up('what clients without models send', any =>
            'no JSON', @at, headers => ['Content-Encoding' => 'gzip']);
        is_refused('a coding that nobody knows', ci => $GOOD,
            'bad_request_body', @at, headers => ['Content-Encoding' => $_])
            for 'br', 'gzip;q=1', 'gzip, br', 'aws-chunked';
        is_refused("what is no $_", ci => $GOOD, 'bad_request_body', @at,
            headers => ['Content-Encoding' => $_]) for qw(gzip deflate zstd);
        for my $coding (qw(gzip deflate zstd)) {
            my $body = encoded($coding, $GOOD);
            my @as   = (headers => ['Content-Encoding' => $coding]);
            is_refused("$coding, cut off", ci => substr($body, 0, -3),
                'bad_request_body', @at, @as);
            is_refused("$coding, with more behind", ci => $body . 'x' x 9,
                'bad_request_body', @at, @as);
        }
        is_refused('one that is coded but does not say so',
            ci => encoded(gzip => $GOOD), 'bad_request_body', @at);
        is_refused('two lines of codings that are one too many', ci => $GOOD,
            'bad_request_body', @at, headers => [
                'Content-Encoding' => 'gzip', 'Content-Encoding' => 'zstd']);
        passes_up('a body of 200 KB', ci => encode_json({model => 'gpt-5',
            input => 'x' x 200_000}), @at);
    };
}

# A body may be JSON and a form at once: its type says which it is.
my $BOTH = '{"model":"gpt-5","x":"&model=gpt-4o&prompt=hi&y="}';
my @FORM = ('application/x-www-form-urlencoded');
my @JSON = ('application/json', 'APPLICATION/JSON', 'application/ld+json',
    'application/json; charset=utf-8', 'application/json;charset="UTF-8"',
    "application/json\t; charset=utf-8;");
my @NOT_JSON = (@FORM, '', 'json', 'text/plain', 'application/jsonl',
    'application/json, text/plain', 'multipart/form-data; boundary=x',
    'application/json; charset=utf-7', 'application/json; charset=utf-16',
    'application/json; boundary=x', 'application/json; charset=utf-8; x=y',
    'application/json x', 'application/json; charset');
for my $place (qw(v1 unbuffered metered)) {
    subtest "types: /$place" => sub {
        my @at = (target => "/$place/responses");
        is_refused('none', ci => $BOTH, 'bad_request_body', @at,
            type => undef);
        passes_up('none, where no model is looked for', any => $BOTH, @at,
            type => undef);
        passes_up($_, ci => $BOTH, @at, headers => ['Content-Type' => $_])
            for @JSON;
        is_refused("of $_", ci => $BOTH, 'bad_request_body', @at,
            headers => ['Content-Type' => $_]) for @NOT_JSON;
        is_refused('two', ci => $BOTH, 'bad_request_body', @at, headers => [
            'Content-Type' => 'application/json', 'content-type' => $_])
            for @FORM, 'application/json';
        passes_up('where no model is looked for', any => $BOTH, @at,
            headers => ['Content-Type' => @FORM]);
    };
}

# What says how a body is to be read goes up, as it was understood here.
subtest 'lines that would not go up' => sub {
    my %lines = (
        'Content-Encoding' => 'gzip',
        'Content-Type'     => 'application/json',
    );
    for my $name (sort keys %lines) {
        my $body = $name eq 'Content-Type' ? $GOOD : encoded(gzip => $GOOD);
        my @line = ($name => $lines{$name});
        passes_up($name, ci => $body, headers => [@line,
            Connection => 'close, x-other']);
        is_refused("$name that Connection names ($_)", ci => $body,
            'bad_request_body', headers => [@line, Connection => $_])
            for lc $name, "close, $name", $name =~ tr/-/_/r;
        (my $odd = $name) =~ tr/-/_/;
        is_refused($odd, ci => $body, 'bad_request_body',
            headers => [$odd => $lines{$name}]);
        is_refused("$odd beside it", ci => $body, 'bad_request_body',
            headers => [@line, $odd => $lines{$name}]);
    }
    is_refused('no coding, in an odd name', ci => $GOOD, 'bad_request_body',
        headers => [content_encoding => 'identity']);
};

# As Codex sends it: no size in the frame.
subtest 'zstd as a stream' => sub {
    my $body = zstd($GOOD, '--no-check', '--long=21');
    passes_up('passes', ci => $body, headers => ['Content-Encoding' => 'zstd']);
    my $two = zstd($GOOD) . zstd('  ');
    my ($r) = post('ci', $two, headers => ['Content-Encoding' => 'zstd']);
    ok $r->status == 200 || $r->status == 400, 'two frames: ' . $r->status;
    $verdict->_count;
};

# A name that only shows in the bytes as they are coded is none.
subtest 'raw bytes are not looked at' => sub {
    my $stored = IO::Compress::Gzip->new(\my $out, -Level => 0);
    $stored->print($BAD);
    $stored->close;
    is_refused('stored gzip', ci => $out, 'model_not_allowed',
        headers => ['Content-Encoding' => 'gzip']);
};

# Some hundred bytes that were read as 120 MB of JSON, all in one go, as that
# much was allowed: what is decoded is bounded by what was sent, too.
subtest 'a bomb where much is allowed' => sub {
    my $bomb = '{"x":[[]' . ',[]' x 40_000_000 . '],"model":"gpt-5"}';
    is_refused('thrice packed', ci => $bomb, 'payload_too_large',
        coding => 'gzip, gzip, gzip', target => '/huge/responses');
    passes_up('a body that large', ci => encode_json({model => 'gpt-5',
        input => 'x' x 3_000_000}), target => '/huge/responses');
};

subtest 'bombs' => sub {
    my $bomb = '{"input":"' . 'x' x 20_000_000 . '","model":"gpt-5"}';
    for my $coding (qw(gzip deflate zstd)) {
        is_refused($coding, ci => $bomb, 'payload_too_large',
            coding => $coding);
        is_refused("$coding, without buffering", ci => $bomb,
            'payload_too_large', coding => $coding,
            target => '/unbuffered/responses');
    }
    is_refused('gzip in gzip', ci => $bomb, 'payload_too_large',
        coding => 'gzip, gzip');
    my $some = '{"input":"' . 'x' x 1_000_000 . '","model":"gpt-5"}';
    passes_up('more, where more is allowed', ci => $some, coding => 'zstd',
        target => '/large/responses');
};

subtest 'an upload in pieces' => sub {
    for my $place (qw(v1 unbuffered)) {
        for my $case ([$GOOD, 200], [$BAD, 400]) {
            my ($body, $status) = @$case;
            my $connections = $provider->connections;
            my $wire = Wire->connect($nginx->port)->expect('POST');
            $wire->write("POST /$place/responses HTTP/1.1\r\nHost: a\r\n"
                . 'Authorization: Bearer ' . key_of('ci')
                . "\r\nContent-Type: application/json"
                . "\r\nTransfer-Encoding: chunked\r\n\r\n");
            for my $byte (split //, $body) {
                $wire->write("1\r\n$byte\r\n");
                settle;
            }
            is $provider->connections, $connections,
                "/$place: no connection before the model is known";
            $wire->write("0\r\n\r\n");
            is $wire->response->status, $status, "a $status";
            is $provider->last->body, $body, 'as it came' if $status == 200;
        }
    }
    $verdict->_count;
};

subtest 'methods' => sub {
    my $ask = sub ($method, %request) {
        return $nginx->call('ci', method => $method,
            target => '/v1/responses', %request);
    };
    $verdict->admitted('GET', $ask->('GET'));
    $verdict->admitted('HEAD', $ask->('HEAD'));
    $verdict->refused('GET with a body', $ask->(GET => body => $BAD), 400,
        'model_not_allowed');
    $verdict->admitted('GET with a good one', $ask->(GET => body => $GOOD));
    $verdict->refused('POST without a body', $ask->('POST'), 400,
        'bad_request_body');
    $verdict->refused('POST of length 0', $ask->(POST => body => ''), 400,
        'bad_request_body');
};

subtest 'Expect: 100-continue' => sub {
    my ($r) = post('ci', $GOOD, headers => [Expect => '100-continue']);
    $verdict->admitted('passes', $r);
};

$nginx->stop;

# ---- what cannot take effect is no configuration ----

my $plain = Nginx->new;
$plain->key_file('openai.key', 'sk-test-provider-71cc');
configure_with($plain, 'sk-test-provider-71cc');
subtest 'configurations' => sub {
    my $with = sub (@models) {
        $plain->client_file({clients => [{id => 'ci',
            keys => [key_of('ci')], models => [@models]}]});
    };
    $with->('gpt-5*', 'o4-mini');
    passes 'models without a meter';
    passes 'with one', http => 'keystile_zone main 1m;',
        more => 'keystile_meter main;';
    my %bad = (
        'an empty list'     => [],
        'an empty pattern'  => [''],
        'a space'           => ['gpt 5'],
        'a number'          => [5],
        'one twice'         => ['gpt-5', 'gpt-5'],
        'one that is long'  => ['x' x 65],
        'a list'            => [['gpt-5']],
        'a quote'           => ['gpt"5'],
    );
    for my $name (sort keys %bad) {
        $with->(@{$bad{$name}});
        fails $name, 'clients\\.json:1:\\d+';
    }
};

done_testing;
