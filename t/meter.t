# What answers cost is read as they pass, whatever their form and their
# framing, and not a byte of them changes.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use IO::Compress::Gzip qw(gzip);
use Metered;
use Mojo::JSON qw(encode_json);
use Provider;
use Wire;

my $other = Provider->new;
my $nginx = Metered->new(
    clients   => {ci => {}, spare => {},
        narrow => {allow => ['POST /v1/responses']}},
    more      => <<'CONF',
        upstream two { server %%GONE%%; server %%PROVIDER%%; }
CONF
    locations => <<'CONF',
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /off/ {
            keystile_meter off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /plain/ {
            keystile_meter off;
            keystile_inject off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /gone/  { keystile_pass http://%%GONE%%; }
        location /retry/ { keystile_pass http://two; }
        location /brief/ {
            keystile_read_timeout 100ms;
            keystile_pass http://%%PROVIDER%%;
        }
        location /halting/ {
            keystile_read_timeout %%TIMEOUT%%;
            keystile_pass http://%%PROVIDER%%;
        }
        location /page/ {
            keystile_read_timeout 100ms;
            error_page 502 504 = @fallback;
            keystile_pass http://%%PROVIDER%%;
        }
        location @fallback {
            keystile_pass http://%%OTHER%%;
        }
        location /any/ {
            keystile_admit any;
            keystile_pass http://%%PROVIDER%%;
        }
        location /placeholder/ {
            keystile_admit placeholder sk-none;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
);
my $gone = Provider->new->close;
$nginx->serve(GONE => $gone->address, OTHER => $other->address,
    TIMEOUT => patience(2) . 's');    # longer than an answer takes to begin
my $provider = $nginx->provider;
my $lines    = 0;

# The provider answers with that body, framed and cut in that way.
sub answers ($body, $type = undef, %how) {
    my @headers = (defined $type ? ('Content-Type' => $type) : (),
        @{$how{headers} // []});
    $provider->forget->answer(sub ($request) {
        return $request->reply(200, \@headers, $body,
            framing => $how{framing}) if ($how{framing} // '') ne 'chunked';
        $request->begin(200, \@headers);
        my $size = $how{size} // 1000;
        $request->chunk($_) for unpack "(a$size)*", $body;
        $request->last_chunk;
    });
    return;
}

# A turn whose answer is good: its growth of the client's figures.
sub turn_of ($body, %request) {
    return $nginx->growth('ci', sub {
        my $r = $nginx->turn('ci', %request);
        $lines++;
        ok $r->complete && $r->body eq $body, 'the answer, byte for byte';
    });
}

sub growth_of ($reply) {
    return {requests => 1,
        $reply->{missing} ? (usage_missing => 1) : %{$reply->{figures}}};
}

my %FRAMINGS = (
    'a length'             => {framing => 'length'},
    'the end'              => {framing => 'close'},
    'chunks'               => {framing => 'chunked'},
    'chunks of 7 bytes'    => {framing => 'chunked', size => 7},
);
for my $reply (golden_replies()) {
    subtest $reply->{name} => sub {
        for my $framing (sort keys %FRAMINGS) {
            answers($reply->{body}, $reply->{type}, %{$FRAMINGS{$framing}});
            my $json = $reply->{by_path} ? {contents => []}
                : {model => $reply->{model}};
            my $growth = turn_of($reply->{body}, target => $reply->{path},
                json => $json);
            my $expected = growth_of($reply);
            is_deeply $growth, $expected, $framing or diag explain $growth;
            my $line = $nginx->logged($lines);
            is $line->{model}, $reply->{model}, 'the model in the log';
            my %named = %{$reply->{figures} // {}};
            my @tokens = map { $named{$_} // 0 } qw(input_tokens
                cached_input_tokens output_tokens reasoning_output_tokens);
            is_deeply [map { $_ || 0 } split m{/}, $line->{tokens}, -1],
                \@tokens, 'and the tokens';
        }
    };
}

subtest 'by model' => sub {
    my ($client) = $nginx->client_of($nginx->idle, 'ci');
    my %sums;
    for my $of (@{$client->{models}}) {
        ok exists $of->{model}, 'a name';
        $sums{$_} += ($of->{totals} // $of)->{$_} for Metered::FIGURES;
    }
    my %totals = map { $_ => $client->{totals}{$_} } Metered::FIGURES;
    is_deeply \%sums, \%totals, 'sums up to the client\'s';
    is_deeply [sort map { $_->{model} } @{$client->{models}}],
        [sort qw(gpt-5.1 gpt-4o claude-opus-4-5 gemini-3-pro)], 'all of them';
};

subtest 'variables' => sub {
    my %turn = (input => 1000, cached => 200, output => 50, reasoning => 20);
    answers(response_events(%turn), 'text/event-stream');
    turn_of(response_events(%turn));
    my $line = $nginx->logged($lines);
    is $line->{tokens}, '1000/200/50/20', 'tokens';
    like $line->{ttft}, qr/\A\d+\.\d{3}\z/, 'time to first token';
    cmp_ok abs($line->{cost} - (800 * 1.25 + 200 * .125 + 50 * 10) / 1e6),
        '<', 1e-9, "the cost: $line->{cost}";
    like $line->{cost}, qr/\A\d+(?:\.\d+)?\z/, 'in decimal';

    $provider->forget;
    $lines++;
    $nginx->call('ci', target => '/v1/models');
    $line = $nginx->logged($lines);
    is join('|', @$line{qw(model tokens cost)}), '|///|',
        'of a request that is no turn';
    $lines++;
    $nginx->turn('ci', target => '/off/responses');
    $line = $nginx->logged($lines);
    is join('|', @$line{qw(tokens cost)}), '///|', 'without a meter';
};

subtest 'the cost' => sub {
    my %cases = (
        'gpt-5.1'     => (1000 * 1.25 + 500 * 0.125 + 100 * 10) / 1e6,
        'gpt-5-codex' => (1000 * 1.25 + 500 * 0.125 + 100 * 10) / 1e6,
        'GPT-5'       => (1000 * 1.25 + 500 * 0.125 + 100 * 10) / 1e6,
        'o4-mini'     => (1500 * 1 + 100 * 2) / 1e6,
    );
    for my $model (sort keys %cases) {
        my $body = response_document(input => 1500, cached => 500,
            output => 100, model => $model);
        answers($body, 'application/json');
        my $before = $nginx->totals('ci')->{cost_usd};
        turn_of($body, json => {model => $model});
        cmp_ok abs($nginx->totals('ci')->{cost_usd} - $before
            - $cases{$model}), '<', 1e-9, $model;
    }
};

subtest 'headers that would hide the usage' => sub {
    my %cases = (
        'gzip'             => ['identity', 'gzip'],
        'zstd, br;q=0.5'   => ['identity', 'zstd, br;q=0.5'],
        'identity'         => ['identity', 'identity'],
        ''                 => ['identity', ''],
    );
    my $sent = sub ($place, @headers) {
        $provider->forget;
        $lines++;
        $nginx->turn('ci', target => "/$place/responses",
            headers => \@headers);
        return join ',', map { "<$_>" }
            $provider->last->all('accept-encoding');
    };
    for my $value (sort keys %cases) {
        my @line = ('Accept-Encoding' => $value);
        is $sent->(v1 => @line), "<$cases{$value}[0]>", "'$value', metered";
        is $sent->(off => @line), "<$cases{$value}[0]>",
            'with a credential, whose refusals are read';
        is $sent->(plain => @line), "<$cases{$value}[1]>", 'with neither';
    }
    is $sent->(v1 => 'Accept-Encoding' => 'gzip', 'Accept-Encoding' => 'br'),
        '<identity>', 'two lines, metered';
    is $sent->($_), '', "absent stays absent: $_" for qw(v1 off plain);
};

subtest 'a reply that is compressed all the same' => sub {
    my $plain = response_document(input => 10, output => 5);
    gzip(\$plain => \my $body);
    answers($body, 'application/json',
        headers => ['Content-Encoding' => 'gzip']);
    is_deeply turn_of($body), {requests => 1, usage_missing => 1},
        'passes, and its usage is missing';
};

subtest 'what is a turn' => sub {
    my %turn = (input => 10, output => 5);
    my $body = response_document(%turn);
    answers($body, 'application/json');
    my %get = (method => 'GET', body => undef);
    is_deeply turn_of($body, %get, target => '/v1/responses/resp_1'),
        {requests => 1}, 'GET repeats the usage of an earlier one';
    is_deeply turn_of($body, %get, target => '/v1/responses/resp_1',
        body => '{"model":"gpt-5.1"}'), {requests => 1}, 'with a body too';
    is_deeply turn_of($body, json => {input => []}),
        {requests => 1, figures(%turn)}, 'POST without a model';
    is_deeply turn_of($body, body => 'no JSON'),
        {requests => 1, figures(%turn)}, 'POST of something else';
    is_deeply turn_of($body, body => undef),
        {requests => 1, figures(%turn)}, 'POST of nothing';
    answers('{"object":"file"}', 'application/json');
    is_deeply turn_of('{"object":"file"}', target => '/v1/files',
        body => 'x' x 100_000)->{usage_missing}, undef,
        'an upload has no usage that could be missing';
    $provider->forget;
    is_deeply $nginx->growth('ci', sub {
        $nginx->call('ci', method => 'HEAD', target => '/v1/models');
        $lines++;
    }), {requests => 1}, 'HEAD';
    answers($body, 'application/json');
    is_deeply turn_of($body, target => '/off/responses'), {},
        'nothing where the meter is off';
};

subtest 'errors of the provider' => sub {
    my $error = encode_json({error => {message => 'no', type => 'server_error'},
        usage => {input_tokens => 1, output_tokens => 1}});
    for my $status (400, 403, 404, 429, 500, 503) {
        $provider->forget->answer(sub ($request) {
            $request->reply($status, ['Content-Type' => 'application/json'],
                $error);
        });
        $lines++;
        is_deeply $nginx->growth('ci', sub {
            is $nginx->turn('ci')->status, $status, "a $status";
        }), {requests => 1}, 'costs nothing, and counts';
    }
    my $failed = response_events(usage => 0, end => 'failed');
    answers($failed, 'text/event-stream');
    is_deeply turn_of($failed), {requests => 1},
        'a failed response without usage';
    $failed = response_events(input => 9, output => 2, end => 'failed');
    answers($failed, 'text/event-stream');
    is_deeply turn_of($failed),
        {requests => 1, figures(input => 9, output => 2)},
        'one with usage costs';
};

subtest 'the credential is refused' => sub {
    $provider->forget->answer(sub ($request) { $request->reply(401) });
    $lines++;
    is_deeply $nginx->growth('ci', sub {
        is $nginx->turn('ci')->status, 503, 'our own answer';
    }), {requests => 1}, 'costs nothing';
    $nginx->tolerate(qr/credential "openai"/);
};

subtest 'the provider is not there' => sub {
    $lines++;
    is_deeply $nginx->growth('ci', sub {
        is $nginx->turn('ci', target => '/gone/responses')->status, 502,
            'a 502';
    }), {}, 'nothing reached it';
};

subtest 'another server of the group' => sub {
    my %turn = (input => 3, output => 4);
    answers(response_document(%turn), 'application/json');
    for (1 .. 4) {
        my $growth = turn_of(response_document(%turn),
            target => '/retry/responses');
        is_deeply $growth, {requests => 1, figures(%turn)}, 'counts once';
    }
};

subtest 'cut off by the provider' => sub {
    my $events = response_events(input => 8, output => 1);
    my ($first) = $events =~ /\A(.*?\n\n)/s;
    my %cuts = (
        'before the usage'  => [$first, {requests => 1, usage_missing => 1}],
        'behind the usage'  => [$events,
            {requests => 1, figures(input => 8, output => 1)}],
        'before a body'     => ['', {requests => 1, usage_missing => 1}],
    );
    for my $name (sort keys %cuts) {
        my ($body, $growth) = @{$cuts{$name}};
        $provider->forget->answer(sub ($request) {
            $request->begin(200, ['Content-Type' => 'text/event-stream']);
            $request->chunk($body) if $body ne '';
            $request->connection->close;
        });
        $lines++;
        is_deeply $nginx->growth('ci', sub {
            ok !$nginx->turn('ci')->complete, "$name: is incomplete";
        }), $growth, 'and counts once';
    }
};

subtest 'timeouts' => sub {
    $provider->forget->hold;
    $lines++;
    is_deeply $nginx->growth('ci', sub {
        is $nginx->turn('ci', target => '/brief/responses')->status, 504,
            'before an answer';
    }), {requests => 1, usage_missing => 1}, 'costs what nobody knows';
    $provider->forget->answer(sub ($request) {
        $request->begin(200);
        $request->chunk('data: {"type":"response.created"}');
    });
    $lines++;
    is_deeply $nginx->growth('ci', sub {
        ok !$nginx->turn('ci', target => '/halting/responses')->complete,
            'amid an answer';
    }), {requests => 1, usage_missing => 1}, 'its usage is missing';
};

subtest 'an error page that asks another provider' => sub {
    my %turn = (input => 6, output => 2);
    $other->answer(sub ($request) {
        $request->reply(200, undef, response_document(%turn));
    });
    $provider->forget->hold;
    $lines++;
    my $growth = $nginx->growth('ci', sub {
        my $r = $nginx->turn('ci', target => '/page/responses');
        is $r->status, 200, 'an answer';
    });
    is $growth->{input_tokens}, 6, 'what came is counted, once';
    is $growth->{output_tokens}, 2, 'all of it';
    cmp_ok $growth->{requests}, '<=', 2, 'and no more requests than were sent';
};

subtest 'an upload that is not buffered' => sub {
    my %turn = (input => 5, output => 1);
    answers(response_document(%turn), 'application/json');
    is_deeply turn_of(response_document(%turn),
        target => '/unbuffered/responses', json => {model => 'gpt-5.1',
            input => 'x' x 1_000_000}),
        {requests => 1, figures(%turn)}, 'counts';
    is $nginx->logged($lines)->{model}, 'gpt-5.1', 'and its model is known';
};

subtest 'a connection with many turns' => sub {
    my %turn = (input => 2, output => 3);
    answers(response_document(%turn), 'application/json');
    my @keep = (Connection => 'keep-alive');
    my $growth = $nginx->growth('ci', sub {
        my $wire = Wire->connect($nginx->port);
        for (1 .. 20) {
            $wire->ask(method => 'POST', target => '/v1/responses',
                headers => [bearer('ci'), @keep],
                body => '{"model":"gpt-5.1"}');
            $lines++;
        }
    });
    is_deeply $growth, {requests => 20, input_tokens => 40,
        output_tokens => 60}, 'each is counted';
};

subtest 'callers without a key' => sub {
    my %turn = (input => 7, output => 1);
    answers(response_document(%turn), 'application/json');
    my %callers = (any => [],
        placeholder => [Authorization => 'Bearer sk-none']);
    for my $place (sort keys %callers) {
        $lines++;
        is_deeply $nginx->growth(undef, sub {
            is $nginx->turn(undef, target => "/$place/responses",
                headers => $callers{$place})->status, 200, $place;
        }), {requests => 1, figures(%turn)}, 'are counted together';
    }
    my $client = $nginx->client_of($nginx->idle, undef);
    is $client->{set} // '', '', 'they are of no set';
    is_deeply $nginx->growth('spare', sub { }), {}, 'and of no client';
};

subtest 'refusals' => sub {
    is_deeply $nginx->refusals('narrow', sub {
        $nginx->call('narrow', target => '/v1/models');
    }), {client_not_allowed => 1}, 'of a client';
    # Whose request it is, is only looked at when someone might send it.
    is_deeply $nginx->refusals('narrow', sub {
        $nginx->call('narrow', method => 'DELETE', target => '/v1/models');
    }), {}, 'of nobody yet';
    is_deeply $nginx->refusals(undef, sub {
        $nginx->turn(undef);
        $nginx->turn(undef, method => 'DELETE');
        $nginx->turn(undef, headers => ['X-Api-Key' => 'sk-test-unknown'])
            for 1 .. 2;
    }), {missing_key => 1, invalid_key => 2, method_not_allowed => 1},
        'of nobody';
    is_deeply $nginx->growth(undef, sub { $nginx->turn(undef) }), {},
        'are no requests';
};

subtest 'an old and a new worker' => sub {
    my %turn = (input => 11, output => 12);
    $provider->forget->hold;
    my $before = $nginx->totals('ci');
    my $wire   = $nginx->start_turn('ci');
    my $request = $provider->next_request;
    is $nginx->client_of($nginx->status, 'ci')->{open}, 1, 'one is open';
    is $nginx->reload, '', 'a reload';
    is $nginx->client_of($nginx->status, 'ci')->{open}, 1, 'it still is';
    is_deeply $nginx->client_of($nginx->status, 'ci')->{totals}{input_tokens},
        $before->{input_tokens}, 'the figures are those of before';
    $request->reply(200, undef, response_document(%turn));
    is $wire->response->status, 200, 'the answer comes';
    $wire->close;
    is $nginx->totals('ci')->{input_tokens}, $before->{input_tokens} + 11,
        'and is counted';
};

$nginx->stop;
done_testing;
