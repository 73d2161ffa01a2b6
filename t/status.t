# keystile_status: the figures of a zone, as Prometheus text, JSON and HTML;
# the same in each, and with no more than what an operator may see.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Configuration;
use Golden;
use Metered;
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(decode encode);
use Mojo::DOM;
use Wire;

my $nginx = Metered->new(
    clients => {
        ci     => {limits => [{requests => 5, per => 'day'},
            {tokens => 1_000_000, per => 'month', model => 'gpt-5*'},
            {usd => 2, per => 'week'}, {concurrent => 4}]},
        'a@b-c.d_e' => {allow => ['POST /v1/responses']},
    },
    locations => <<'CONF',
        location = /metrics { access_log off; keystile_status main; }
        location = /page { access_log off; keystile_status main format=html; }
        location /parts/ {
            ssi          on;
            default_type text/html;
            access_log   off;
            root         %%DIR%%;
        }
        location /any/ {
            keystile_admit any;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
)->serve;
$nginx->file('parts/page.shtml',
    "before <!--#include virtual=\"/metrics\" --> after\n");
my $provider = $nginx->provider;
my %TURN = (input => 1000, cached => 400, output => 100, reasoning => 30);

sub get ($target, %request) {
    return request($nginx->port, target => $target, %request);
}

# The samples of a Prometheus text: "name{labels}" => value. Croaks over what
# is none.
sub samples ($text) {
    my (%samples, %types, %helps, @faults);
    for my $line (split /\n/, $text) {
        if ($line =~ /\A# (HELP|TYPE) (\S+) (.+)\z/) {
            my $seen = $1 eq 'TYPE' ? \%types : \%helps;
            push @faults, "twice: $line" if exists $seen->{$2};
            $seen->{$2} = $3;
        }
        elsif ($line =~ /\A([a-zA-Z_:][a-zA-Z0-9_:]*)
            (\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})?[ ]
            ([-+]?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|Inf|NaN))\z/xi) {
            my ($name, $labels, $value) = ($1, $2 // '', $3);
            push @faults, "twice: $line" if exists $samples{$name . $labels};
            $samples{$name . $labels} = $value;
            my $family = $name =~ s/_(?:bucket|sum|count)\z//r;
            push @faults, "no type: $line"
                if !exists $types{$name} && !exists $types{$family};
        }
        elsif ($line !~ /\A(?:#.*)?\z/) {
            push @faults, "no sample: $line";
        }
    }
    push @faults, map { "no help: $_" } grep { !$helps{$_} } keys %types;
    push @faults, map { "$_: $types{$_}" }
        grep { $types{$_} !~ /\A(?:counter|gauge|histogram)\z/ } keys %types;
    is join("\n", @faults), '', 'it is what Prometheus reads';
    return (\%samples, \%types);
}

subtest 'nothing yet' => sub {
    my $status = $nginx->status;
    is $status->{totals}{requests}, 0, 'no requests';
    is ref $status->{clients}, 'ARRAY', 'clients';
    my $r = get('/metrics');
    is $r->status, 200, 'Prometheus';
    samples($r->body);
};

# Some of everything.
$provider->answer(sub ($request) {
    $request->reply(200, undef, response_document(%TURN));
});
$nginx->turn('ci') for 1 .. 2;
$nginx->turn('a@b-c.d_e');
$nginx->turn(undef, target => '/any/responses');
for my $case ([ci => 'o4-mini'], map { ['a@b-c.d_e' => $_] }
    '<script>"\\', '<script>alert(1)</script>', 'x' x 5000, "a\nb",
    "tab\tquote\"", 'caf' . chr 0xE9) {
    my ($id, $model) = @$case;
    $provider->answer(sub ($request) {
        $request->reply(200, undef,
            response_document(%TURN, model => $model));
    });
    $nginx->turn($id, json => {model => $model});
}
$provider->answer(sub ($request) { $request->reply(200, undef, '{}') });
$nginx->turn('a@b-c.d_e');
$nginx->turn(undef);
$nginx->call('a@b-c.d_e', target => '/v1/models');
$provider->answer(sub ($request) { $request->reply(500) });
$nginx->turn('ci') for 1 .. 2;
is $nginx->turn('ci')->status, 429, 'some of everything';
my $status = $nginx->idle;

subtest 'JSON' => sub {
    my $r = get('/status');
    is $r->header('content-type'), 'application/json', 'type';
    like $r->header('cache-control') // '', qr/no-store/, 'not to be kept';
    my $ci = $nginx->client_of($status, 'ci');
    is $ci->{set}, 'team', 'the set';
    is $ci->{open}, 0, 'nothing is open';
    is_deeply {map { $_ => $ci->{totals}{$_} } Metered::FIGURES},
        {requests => 5, usage_missing => 0, input_tokens => 3000,
            cached_input_tokens => 1200, cache_written_input_tokens => 0,
            output_tokens => 300, reasoning_output_tokens => 90}, 'totals';
    my %models = map { $_->{model} => $_->{totals} // $_ } @{$ci->{models}};
    is_deeply [sort keys %models], [qw(gpt-5.1 o4-mini)], 'models';
    is $models{'o4-mini'}{input_tokens}, 1000, 'with their own';
    my $refused = sub ($id) {
        my %refused = %{$nginx->client_of($status, $id)->{refusals}};
        return {map { $refused{$_} ? ($_ => $refused{$_}) : () }
            keys %refused};
    };
    is_deeply $refused->('ci'), {usage_limit_reached => 1}, 'refusals';
    is_deeply $refused->('a@b-c.d_e'), {client_not_allowed => 1},
        'of another';
    is_deeply $refused->(undef), {missing_key => 1}, 'of nobody';
    is scalar @{$ci->{limits}}, 4, 'limits';
    is_deeply [map { $_->{reserved_value} } @{$ci->{limits}}], [(0) x 4],
        'nothing is reserved';
    my $nobody = $nginx->client_of($status, undef);
    is(($nobody->{set} // '') . ($nobody->{id} // ''), '',
        'callers without a key');
    is $nobody->{totals}{requests}, 1, 'have theirs';
    my %sums;
    for my $client (@{$status->{clients}}) {
        $sums{$_} += $client->{totals}{$_} for Metered::FIGURES;
    }
    is_deeply {map { $_ => $status->{totals}{$_} } Metered::FIGURES}, \%sums,
        'the totals are their sum';
};

subtest 'Prometheus' => sub {
    my $r = get('/metrics');
    like $r->header('content-type'), qr{\Atext/plain; version=0\.0\.4},
        'type';
    my ($samples, $types) = samples($r->body);
    my @counters = grep { $types->{$_} eq 'counter' } keys %$types;
    is_deeply [grep { !/_total\z/ } @counters], [], 'counters end in _total';
    is_deeply [grep { !/\A(?:keystile|gen_ai)_/ } keys %$types], [],
        'names of ours, or of OpenTelemetry';
    # Whatever they are called, the figures are there.
    my %sum;
    for my $name (keys %$samples) {
        $sum{$samples->{$name}}++ if $name =~ /"ci"/;
    }
    ok $sum{$_}, "a sample of ci that is $_" for 4, 200, 2000, 1000;
    my @secrets = grep { index($r->body, $_) >= 0 } Metered::KEY,
        map { key_of($_) } qw(ci a@b-c.d_e);
    is @secrets, 0, 'no key';
    for my $family (grep { $types->{$_} eq 'histogram' } keys %$types) {
        my %buckets;
        for my $name (keys %$samples) {
            $name =~ /\A\Q$family\E_bucket\{(.*?),?le="([^"]+)"/ or next;
            $buckets{$1}{$2} = $samples->{$name};
        }
        for my $labels (keys %buckets) {
            my $last = -1;
            my %of   = %{$buckets{$labels}};
            my @up   = sort { ($a =~ /Inf/ ? 9e9 : $a)
                <=> ($b =~ /Inf/ ? 9e9 : $b) } keys %of;
            is_deeply [@of{@up}], [sort { $a <=> $b } values %of],
                "$family: the buckets are cumulative";
            my ($count) = map { $samples->{$_} }
                grep { /\A\Q$family\E_count(?:\{\Q$labels\E,?\})?\z/ }
                keys %$samples;
            is $of{'+Inf'}, $count, 'and their count is the last';
        }
    }
};

subtest 'the query decides' => sub {
    my %types = (json => 'application/json', html => 'text/html',
        prometheus => 'text/plain');
    for my $target (qw(/status /metrics /page)) {
        for my $format (sort keys %types) {
            my $r = get("$target?format=$format");
            is $r->status, 200, "$target as $format";
            like $r->header('content-type'), qr/\A$types{$format}\b/, 'type';
        }
    }
    my $r = get('/metrics?format=xml');
    ok $r->status == 200 || $r->status == 400, 'another: ' . $r->status;
    is get('/metrics', headers => [Accept => 'application/json'])
        ->header('content-type') =~ m{\Atext/plain}, 1, 'not Accept';
};

subtest 'HTML' => sub {
    my $r = get('/page');
    my $html = $r->body;
    like $r->header('content-type'), qr{\Atext/html}, 'type';
    my $dom = Mojo::DOM->new(decode('UTF-8', $html));
    is $dom->at('title')->text, 'keystile', 'a page';
    my $json = decode_json(encode('UTF-8', $dom->at('#status')->text));
    is_deeply $json->{clients}, $status->{clients}, 'with the figures';
    unlike $html, qr/<script>(?:"|\\|alert)/, 'a name is no markup';
    is_deeply [grep { m{\A(?:https?:)?//} }
        map { ($_->{src} // (), $_->{href} // ()) } $dom->find('*')->each], [],
        'and it loads nothing from elsewhere';
    like $r->header('content-security-policy') // '', qr/default-src 'none'/,
        'as its policy says';
};

subtest 'methods' => sub {
    is get('/status', method => 'HEAD')->status, 200, 'HEAD';
    is get('/status', method => 'HEAD')->body, '', 'has no body';
    is get('/status', method => $_)->status, 405, $_
        for qw(POST PUT DELETE OPTIONS);
    is get('/status', method => 'POST', body => 'x' x 100_000)->status, 405,
        'with a body';
    my $wire = Wire->connect($nginx->port);
    is $wire->ask(target => $_, headers => [Connection => 'keep-alive'])
        ->status, 200, 'on one connection' for qw(/status /metrics /page);
};

# The end of a part is not the end of the page.
subtest 'as a part of a page' => sub {
    my $wire = Wire->connect($nginx->port);
    for (1 .. 2) {
        my $r = $wire->ask(target => '/parts/page.shtml',
            headers => [Connection => 'keep-alive']);
        ok $r->complete, 'a whole reply';
        like $r->body, qr/\Abefore.*# TYPE.*after\s*\z/s, 'with all of it';
    }
};

subtest 'asking counts nothing' => sub {
    is_deeply $nginx->idle->{totals}, $status->{totals}, 'the same as before';
};

subtest 'many clients and models' => sub {
    $nginx->clients({map { ("c$_" => {}) } 1 .. 200});
    $nginx->write_files;
    is $nginx->reload, '', 'two hundred clients';
    $provider->forget;
    $nginx->turn("c$_") for 1 .. 200;
    my $now = $nginx->idle;
    my @there = grep { ($_->{id} // '') =~ /\Ac\d/
        && $_->{totals}{requests} == 1 } @{$now->{clients}};
    is scalar @there, 200, 'each is there';
    for my $model (map { "model-$_" } 1 .. 100) {
        $provider->answer(sub ($request) {
            $request->reply(200, undef,
                response_document(%TURN, model => $model));
        });
        $nginx->turn('c1', json => {model => $model});
    }
    my $one = $nginx->client_of($nginx->idle, 'c1');
    is $one->{totals}{requests}, 101, 'a hundred models are counted';
    cmp_ok scalar @{$one->{models}}, '<=', 66, 'but not listed without end';
    ok((grep { ($_->{model} // '') eq 'other' } @{$one->{models}}),
        'some are "other"');
    samples(get('/metrics')->body);
    is get('/page')->status, 200, 'a page of them';
};

$nginx->stop;

subtest 'a zone that is full' => sub {
    my $small = Metered->new(zone => '128k', provider => $provider,
        clients => {map { ("c$_" => {}) } 1 .. 500});
    $small->serve;
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(%TURN));
    });
    is $small->turn("c$_")->status, 200, "client $_"
        for grep { $_ < 3 || $_ > 498 } 1 .. 500;
    my %statuses;
    $statuses{$small->turn("c$_")->status}++ for 1 .. 500;
    is_deeply [keys %statuses], [200], 'traffic goes on';
    my $now = $small->idle;
    cmp_ok scalar @{$now->{clients}}, '<', 500, 'not all have room';
    like $small->error_log, qr/\[error\][^\n]*"main" is full/,
        'the log says so';
    $small->stop;
};

my $plain = Nginx->new;
$plain->key_file('openai.key', 'sk-test-provider-87d0');
configure_with($plain, 'sk-test-provider-87d0');
subtest 'configurations' => sub {
    my $with = sub ($location, $zone = 'keystile_zone main 1m;') {
        return (http => $zone, clients => '', admit => 'keystile_admit any;',
            more => "keystile_meter main; } location = /s { $location");
    };
    passes "format=$_", $with->("keystile_status main format=$_;")
        for qw(prometheus json html);
    passes 'none', $with->('keystile_status main;');
    fails 'another format', 'format',
        $with->('keystile_status main format=xml;');
    fails 'no such zone', 'other', $with->('keystile_status other;');
    fails 'no zone', 'keystile_status', $with->('keystile_status;');
    fails 'two handlers', 'keystile_',
        $with->('keystile_status main; keystile_health;');
};

done_testing;
