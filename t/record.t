# keystile_record: one line for each turn over HTTP, with what was asked and
# what was answered.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Compress::Raw::Zlib ();
use Golden;
use IO::Compress::Gzip qw(gzip);
use List::Util qw(max);
use Metered;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json false true);
use Recorded;
use Wire;

use constant KEY => Metered::KEY;

my $nginx = Recorded->new(
    clients   => {ci => {}},
    locations => <<'CONF',
        location /off/ {
            keystile_record off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /lean/ {
            keystile_record %%DIR%%/lean.jsonl bodies=off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /own/ {
            keystile_inject passthrough;
            keystile_pass http://%%PROVIDER%%;
        }
        location /oauth/ {
            keystile_inject off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /short/ {
            keystile_record %%DIR%%/turns.jsonl max=1k;
            keystile_pass http://%%PROVIDER%%;
        }
        location /metered/ {
            keystile_meter main;
            keystile_pass http://%%PROVIDER%%;
        }
        location /stream/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /small/ {
            client_body_buffer_size 1k;
            client_max_body_size 32m;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
)->serve;
my $provider = $nginx->provider;

# Where a body is cut, a key may be that is: that much more is left out.
use constant MARGIN => max map { length } KEY, key_of('ci');

my @FIELDS = qw(api client cost credential dropped duration hidden_keys method
    model path request request_bytes request_id response response_bytes
    session_id status stream thread_id time transport truncated ttft
    upstream_request_id usage);
my %USAGE = (input => 'input_tokens', cached => 'cached_input_tokens',
    cache_written => 'cache_written_input_tokens', output => 'output_tokens',
    reasoning => 'reasoning_output_tokens');
my %ASKED = (model => 'gpt-5.1', input => 'Say "hi"', temperature => 0.5);

sub answer ($body, $type = 'application/json', @headers) {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, ['Content-Type' => $type, @headers], $body);
    });
    return;
}

sub answer_events ($body) { return answer($body, 'text/event-stream') }

# The line of a turn with that body, sent as it is.
sub posted ($body, %request) {
    return $nginx->recorded(sub {
        is $nginx->turn('ci', body => $body, %request)->status,
            $request{expected} // 200, 'is answered';
    });
}

sub gzipped ($text) { gzip \$text => \my $out; return $out }

# A frame with one raw block (RFC 8878).
sub zstd_raw ($text) {
    return "\x28\xB5\x2F\xFD\xA0" . pack('V', length $text)
        . substr(pack('V', length($text) << 3 | 1), 0, 3) . $text;
}

for my $reply (golden_replies()) {
    subtest $reply->{name} => sub {
        my @type = $reply->{type} ? ('Content-Type' => $reply->{type}) : ();
        $provider->forget->answer(sub ($request) {
            $request->reply(200, [@type], $reply->{body});
        });
        my $path = $reply->{by_path} ? "$reply->{path}:generateContent"
            : $reply->{path};
        my %json = $reply->{by_path} ? () : (model => $reply->{model});
        my $line = posted(encode_json(\%json), target => $path);
        is $line->{model}, $reply->{model}, 'the model';
        is_deeply $line->{request}, \%json, 'the request';
        my %figures = map { ($line->{usage}{$_} // 0) == 0 ? ()
            : ($USAGE{$_} => $line->{usage}{$_}) } keys %USAGE;
        is_deeply \%figures, $reply->{figures} // {}, 'the usage';
        is $line->{response_bytes}, length $reply->{body}, 'the size';
        is $line->{dropped}, $reply->{name} eq 'no JSON' ? 'reducer_error'
            : undef, 'nothing is dropped';
    };
}

subtest 'the fields' => sub {
    answer(response_document(), 'application/json',
        'x-request-id' => 'req_up');
    my $before = time;
    my $line   = posted(encode_json({%ASKED, stream => true}),
        target  => '/v1/responses?include=a',
        headers => ['x-request-id' => 'mine-1', 'session-id' => 'S1',
            'thread-id' => 'T1', 'Cookie' => 'secret=1']);
    is_deeply [sort keys %$line], \@FIELDS, 'are those that there are';
    like delete $line->{time},
        qr/\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/, 'time';
    like delete $line->{duration}, qr/\A\d+(?:\.\d+)?\z/, 'duration';
    like delete $line->{ttft},     qr/\A\d+(?:\.\d+)?\z/, 'ttft';
    is_deeply $line, {
        request_id  => 'mine-1', upstream_request_id => 'req_up',
        transport   => 'http', method => 'POST', path => '/v1/responses',
        client      => 'ci', credential => 'openai', api => 'responses',
        model       => 'gpt-5.1', stream => true, status => 200,
        session_id  => 'S1', thread_id => 'T1', cost => undef,
        usage => {input => 0, cached => 0, cache_written => undef,
            output => 0, reasoning => 0},
        request_bytes  => length encode_json({%ASKED, stream => true}),
        response_bytes => length response_document(),
        truncated      => [], dropped => undef, hidden_keys => 0,
        request        => {%ASKED, stream => true},
        response       => decode_json(response_document()),
    }, 'the rest';
    my $raw = path($nginx->record_file)->slurp;
    unlike $raw, qr/secret=1|\Q${\key_of('ci')}\E|\Q${\KEY}\E/,
        'no header is there';
    like $raw, qr/"cached_tokens":0/, 'numbers are as they were';
};

subtest 'a request as it was sent' => sub {
    answer(response_document());
    my $body = qq({ "model" :"m",\n "x": [1.50, 1e400, -0, 12345678901234567890],)
        . qq( "s":"\\u00e9\\u0000 \xc3\xa9 </s>", "x":1 });
    posted($body);
    my ($last) = reverse split /\n/, path($nginx->record_file)->slurp;
    my $compact = qq({"model":"m","x":[1.50,1e400,-0,12345678901234567890],)
        . qq("s":"\\u00e9\\u0000 \xc3\xa9 </s>","x":1});
    isnt index($last, qq("request":$compact,)), -1, 'but for white space';
};

subtest 'sessions' => sub {
    answer(response_document());
    my %metadata = (session_id => 'S2', thread_id => 'T2');
    my $line = posted(encode_json({%ASKED, client_metadata => \%metadata}));
    is "$line->{session_id} $line->{thread_id}", 'S2 T2', 'in the body';
    $line = posted('{}', headers => [session_id => 'S3',
        'x-claude-code-agent-id' => 'A3']);
    is "$line->{session_id} $line->{thread_id}", 'S3 A3', 'of older clients';
};

subtest 'requests with codings' => sub {
    answer(response_document());
    my $text = encode_json(\%ASKED);
    my %packed = (gzip => gzipped($text), zstd => zstd_raw($text),
        'zstd, gzip' => gzipped(zstd_raw($text)));
    for my $coding (sort keys %packed) {
        my $line = posted($packed{$coding},
            headers => ['Content-Encoding' => $coding]);
        is_deeply $line->{request}, \%ASKED, "$coding is unpacked";
        is $line->{request_bytes}, length $packed{$coding}, 'the size is not';
        is $provider->last->body, $packed{$coding}, 'nor what went up';
    }
    my $line = posted('x' x 50, headers => ['Content-Encoding' => 'br']);
    is "$line->{dropped} $line->{request}", 'request_decode ' . 'x' x 50,
        'one that is not known';
    $line = posted(gzipped($text) . 'rubbish',
        headers => ['Content-Encoding' => 'gzip']);
    is $line->{dropped}, 'request_decode', 'one that is broken';
    $line = posted('{"model":');
    is "$line->{dropped} $line->{request}", 'request_decode {"model":',
        'what is no JSON is text';
    $line = posted("\xff\x00");
    is_deeply [@$line{qw(dropped request)}],
        ['request_decode', {base64 => '/wA='}], 'or else base64';
    is $line->{response}{id}, 'resp_1', 'with its response';
};

subtest 'replies with codings' => sub {
    my $events = response_events(input => 7);
    answer(gzipped($events), 'text/event-stream', 'Content-Encoding' =>
        'gzip');
    my $line = posted('{}', headers => ['Accept-Encoding' => 'gzip, zstd']);
    is $provider->last->header('accept-encoding'), 'identity',
        'are not asked for';
    is "$line->{response}{id} $line->{usage}{input}", 'resp_1 7',
        'but unpacked';
    answer('nonsense', 'text/event-stream', 'Content-Encoding' => 'br');
    $line = posted('{}');
    is "$line->{dropped} $line->{response}", 'response_decode nonsense',
        'one that is not known';
};

subtest 'a stream in pieces' => sub {
    my $events = response_events(input => 7, output => 8);
    $provider->forget->answer(sub ($request) {
        $request->begin(200);
        $request->chunk($_) for unpack '(a13)*', $events;
        $request->last_chunk;
    });
    my $line = posted('{}');
    is_deeply $line->{response},
        decode_json(response_document(input => 7, output => 8)), 'is joined';
};

subtest 'chatgpt.com, whose last event has no output' => sub {
    my @items = ({type => 'reasoning', id => 'rs_1'},
        {type => 'message', content => [{type => 'output_text',
            text => "\x{263A}"}]});
    my $event = sub ($type, %members) {
        my $json = encode_json({type => "response.$type", %members});
        return "event: response.$type\ndata: $json\n\n";
    };
    answer(join '', $event->('created', response => {id => 'r'}),
        $event->('output_item.done', output_index => 1, item => $items[1]),
        $event->('output_item.done', output_index => 0, item => $items[0]),
        $event->('completed', response => {id => 'r', output => [],
            usage => {input_tokens => 1, output_tokens => 2}}));
    my $line = posted('{}');
    is_deeply $line->{response}{output}, \@items, 'is given its items';
    is "$line->{usage}{input} $line->{usage}{output}", '1 2', 'its usage';
};

subtest 'what is no 200' => sub {
    for my $status (201, 302, 400, 401, 403, 429, 500) {
        $provider->forget->answer(sub ($request) {
            $request->reply($status, undef,
                '{"error":{"message":"Incorrect key ' . KEY . '"}}');
        });
        my $answered = $status == 401 ? 503 : $status;
        my $line = posted(encode_json(\%ASKED), expected => $answered);
        is "$line->{status} $line->{dropped}", "$status upstream_status",
            "a $status";
        ok !exists $line->{$_}, "has no $_" for qw(request response);
        is $line->{model}, 'gpt-5.1', 'but its model';
    }
    unlike path($nginx->record_file)->slurp, qr/Incorrect|\Q${\KEY}\E/,
        'nothing of an error is kept';
};

subtest 'what is no turn' => sub {
    answer('{}');
    my $line = posted('{"model":"m"}', target => '/v1/embeddings');
    is $line->{dropped}, 'non_turn_request', 'a path of which we know nothing';
    ok !exists $line->{request}, 'has no bodies';

    answer('{"access_token":"at_test-71c0","refresh_token":"rt_test-20ab"}');
    $line = posted('{"grant_type":"refresh_token","refresh_token":"rt_test-1"}',
        target => '/oauth/token');
    is $line->{dropped}, 'non_turn_request', 'nor is a refresh of a login one';
    unlike path($nginx->record_file)->slurp, qr/[ar]t_test/, 'no token is kept';
    my $count = () = $nginx->lines;
    $nginx->call('ci', target => '/v1/models');
    $nginx->turn('nobody');
    $nginx->turn('ci', target => '/off/v1/responses');
    posted('{}');
    is scalar(my @now = $nginx->lines), $count + 1,
        'GET, refusals and "off" have no line';
    answer('');
    is posted('{}')->{dropped}, 'empty_response', 'nothing at all';
};

subtest 'bodies=off' => sub {
    answer_events(response_events(input => 5, output => 6));
    $nginx->turn('ci', target => '/lean/v1/responses', json => \%ASKED);
    my ($line) = $nginx->lines(1, $nginx->dir . '/lean.jsonl');
    ok !exists $line->{$_}, "has no $_" for qw(request response);
    is "$line->{model} $line->{usage}{output}", 'gpt-5.1 6', 'but the rest';
    is $line->{dropped}, undef, 'and nothing is dropped';
};

subtest 'what is longer than max' => sub {
    answer_events(response_events(input => 5) =~ s/delta":"Hi/$& . 'x' x 999/er);
    my $line = posted(encode_json({%ASKED, more => 'y' x 2000}),
        target => '/short/v1/responses');
    is_deeply $line->{truncated}, ['request', 'response'], 'is cut';
    is length $line->{request}, 1024 - MARGIN, 'the request, to text';
    is $line->{request_bytes}, length encode_json({%ASKED, more => 'y' x 2000}),
        'its size is known';
    ok $line->{response}{partial}, 'the response is a part';
    is $line->{response}{id}, 'resp_1', 'as far as it came';
    is $line->{dropped}, undef, 'nothing is dropped';
    $line = posted(gzipped('{"a":"' . 'z' x 5000 . '"}'),
        target  => '/short/v1/responses',
        headers => ['Content-Encoding' => 'gzip']);
    is length $line->{request}, 1024 - MARGIN, 'what unpacks to more, too';
    is_deeply $line->{truncated}, ['request', 'response'], 'which it says';
};

subtest 'bodies in files' => sub {
    answer(response_document());
    my %large = (%ASKED, more => 'y' x 3_000_000);
    my $line = posted(encode_json(\%large), target => '/small/v1/responses');
    is_deeply $line->{request}, \%large, 'are read from there';
    $large{more} = 'y' x 6_000_000;
    $line = posted(encode_json(\%large), target => '/small/v1/responses');
    is_deeply [$line->{truncated}, length $line->{request}],
        [['request'], 4 * 1024 * 1024 - MARGIN], 'up to 4m';
    is $line->{request_bytes}, length encode_json(\%large), 'with their size';
};

subtest 'uploads that are not buffered' => sub {
    answer(response_document());
    my $body = encode_json({%ASKED, more => 'y' x 200_000});
    my $line = posted($body, target => '/stream/v1/responses');
    is_deeply $line->{request}, decode_json($body), 'with a length';
    my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
        unpack '(a7001)*', $body;
    $line = posted("${chunked}0\r\n\r\n", target => '/stream/v1/responses',
        headers => ['Transfer-Encoding' => 'chunked']);
    is_deeply $line->{request}, decode_json($body), 'and in chunks';
    is $provider->last->body, $body, 'which go up';
};

subtest 'keys in bodies' => sub {
    my $key = key_of('ci');
    answer_events(response_events() =~ s/resp_1/resp_${\KEY}/gr);
    my $line = posted(encode_json({%ASKED, tool => "KEY=$key!$key"}));
    is $line->{request}{tool},
        'KEY=' . '*' x length($key) . '!' . '*' x length($key),
        'the caller\'s is hidden';
    is $line->{response}{id}, 'resp_' . '*' x length KEY, 'the provider\'s';
    is $line->{hidden_keys}, 3, 'which is said';
    unlike path($nginx->record_file)->slurp, qr/\Q$key\E|\Q${\KEY}\E/,
        'neither is in the file';
};

subtest 'the own credential of a caller' => sub {
    my $own = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0In0.c2lnbmF0dXJl';
    answer(response_document());
    my %request = (method => 'POST', target => '/own/v1/responses',
        body    => encode_json({%ASKED, tool => "TOKEN=$own"}),
        headers => [Authorization => "Bearer $own",
            'x-api-key' => key_of('ci')]);
    my $line = $nginx->recorded(sub { request($nginx->port, %request) });
    is $provider->last->header('authorization'), "Bearer $own", 'goes up';
    is $line->{credential}, 'passthrough', 'has its name in the record';
    unlike path($nginx->record_file)->slurp, qr/\Q$own\E/, 'and no more';
};

subtest 'with a meter' => sub {
    answer_events(response_events(input => 100, output => 10));
    my $line = posted(encode_json(\%ASKED), target =>
        '/metered/v1/responses');
    is "$line->{usage}{input} $line->{usage}{output}", '100 10', 'the usage';
    cmp_ok abs($line->{cost} - (100 * 1.25 + 10 * 10) / 1e6), '<', 1e-12,
        'and the cost';
    posted('{', target => '/metered/v1/responses') for 1, 2;
    my $metrics = sub { request($nginx->port,
        target => '/status?format=prometheus')->body };
    await 'the counters', sub { $metrics->() =~ /"request_decode"\} 2$/m };
    like $metrics->(),
        qr/^keystile_records_total\{zone="main",dropped=""\} 1$/m,
        'and what became of turns is counted';
};

$nginx->stop;
done_testing;
