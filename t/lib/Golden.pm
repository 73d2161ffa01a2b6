# Golden: replies of providers, as they are on the wire, with what they cost.
#
#     for my $reply (golden_replies()) { ... }
#     $provider->answer(sub ($request) { $request->reply(200,
#         ['Content-Type' => 'text/event-stream'],
#         response_events(input => 12, output => 3)) });
#     $far->send_frame($_) for response_messages(input => 12, output => 3);
#     is_deeply $growth, {requests => 1, figures(input => 12, output => 3)};
#
# A golden reply has a name, the path it belongs to, its model, its type, its
# body, and its figures, by the names of the status; `missing` where the usage
# cannot be seen.
#
# A turn is described by input, cached (of it), written (of it), output and
# reasoning (of it), all in tokens, and model (gpt-5.1), id (resp_1), end
# (completed) or usage => 0, for a reply that does not tell.

package Golden;

use Mojo::Base -strict, -signatures;
use Exporter   qw(import);
use Mojo::JSON qw(encode_json);

our @EXPORT = qw(figures golden_replies response_document response_events
    response_messages);

my %NAMES = (
    input     => 'input_tokens',
    cached    => 'cached_input_tokens',
    written   => 'cache_written_input_tokens',
    output    => 'output_tokens',
    reasoning => 'reasoning_output_tokens',
);

# What a turn adds to the status, but for what is zero.
sub figures (%turn) {
    return map { $NAMES{$_} => $turn{$_} } grep { $turn{$_} } keys %NAMES;
}

# The reply to a request that asked for no stream.
sub response_document (%turn) {
    return encode_json(_response(%turn));
}

# The same as a stream.
sub response_events (%turn) {
    return join '', map {
        my ($type) = /"type":"([\w.]+)"/;
        "event: $type\ndata: $_\n\n";
    } response_messages(%turn);
}

# The same on a socket: the texts of the messages, the last of them final.
sub response_messages (%turn) {
    my $end  = $turn{end} // 'completed';
    my %open = (%{_response(%turn)}, status => 'in_progress', usage => undef,
        output => []);
    return map { _message(@$_) } (
        ['response.created',     {response => \%open}],
        ['response.output_text.delta',
            {delta => 'Hi "usage":{"input_tokens":7}'}],
        ["response.$end", {response => _response(%turn)}]);
}

sub golden_replies () {
    my %responses = (path => '/v1/responses', model => 'gpt-5.1');
    my %chat = (path => '/v1/chat/completions', model => 'gpt-4o');
    my %messages = (path => '/v1/messages', model => 'claude-opus-4-5');
    my %gemini = (path => '/v1beta/models/gemini-3-pro', by_path => 1,
        model => 'gemini-3-pro');
    my %turn = (input => 1200, cached => 1024, output => 340,
        reasoning => 300);
    my %some = (input => 19, cached => 4, output => 10, reasoning => 6);
    my %with_cache = (input => 1125, cached => 1000, written => 100,
        output => 18);
    my %thinking = (input => 12, cached => 2, output => 51, reasoning => 40);
    return (
        {%responses, _events('responses, events', response_events(%turn)),
            figures => {figures(%turn)}},
        {%responses, _json('responses, JSON', response_document(%turn)),
            figures => {figures(%turn)}},
        {%responses, _events('responses, incomplete',
            response_events(%turn, end => 'incomplete')),
            figures => {figures(%turn)}},
        {%responses, _events('responses, completed without usage',
            response_events(usage => 0)), missing => 1},
        {%responses, _untyped('responses, events without a type',
            response_events(%turn)), figures => {figures(%turn)}},
        {%chat, _events('chat, events', _chat_events(1)),
            figures => {figures(%some)}},
        {%chat, _events('chat, usage not asked for', _chat_events(0)),
            missing => 1},
        {%chat, _json('chat, JSON', _chat_document()),
            figures => {figures(%some)}},
        {%messages, _events('messages, events', _message_events()),
            figures => {figures(%with_cache)}},
        {%messages, _json('messages, JSON', _message_document()),
            figures => {figures(%with_cache)}},
        {%gemini, _events('gemini, events', _gemini_events()),
            figures => {figures(%thinking)}},
        {%gemini, _json('gemini, JSON', _gemini_document()),
            figures => {figures(%thinking)}},
        {%responses, _json('no JSON', '<html>"usage":{"input_tokens":1}'),
            missing => 1},
    );
}

sub _response (%turn) {
    my %usage = (
        input_tokens         => $turn{input} // 0,
        input_tokens_details => {
            cached_tokens => $turn{cached} // 0,
            $turn{written} ? (cache_write_tokens => $turn{written}) : (),
        },
        output_tokens         => $turn{output} // 0,
        output_tokens_details => {reasoning_tokens => $turn{reasoning} // 0},
        total_tokens => ($turn{input} // 0) + ($turn{output} // 0),
    );
    return {
        id     => $turn{id} // 'resp_1',
        object => 'response',
        status => $turn{end}   // 'completed',
        model  => $turn{model} // 'gpt-5.1',
        error  => ($turn{end} // '') eq 'failed'
            ? {code => 'server_error', message => 'no'} : undef,
        output => [{type => 'message', usage => {input_tokens => 5}}],
        usage  => ($turn{usage} // 1) ? \%usage : undef,
    };
}

sub _message ($type, $members) {
    my $json = encode_json($members);
    return $json =~ s/\A\{/{"type":"$type",/r;
}

sub _events ($name, $body) {
    return (name => $name, type => 'text/event-stream', body => $body);
}

sub _json ($name, $body) {
    return (name => $name, type => 'application/json', body => $body);
}

sub _untyped ($name, $body) { return (name => $name, body => $body) }

sub _chat_usage () {
    return {
        prompt_tokens             => 19,
        completion_tokens         => 10,
        total_tokens              => 29,
        prompt_tokens_details     => {cached_tokens => 4},
        completion_tokens_details => {reasoning_tokens => 6},
    };
}

sub _chat_events ($with_usage) {
    my @chunks = (
        {choices => [{index => 0, delta => {role => 'assistant'}}]},
        {choices => [{index => 0, delta => {content => '"usage":{'}}]},
        {choices => [{index => 0, delta => {}, finish_reason => 'stop'}]},
        $with_usage ? {choices => [], usage => _chat_usage()} : (),
    );
    return join '', (map {
        my $json = encode_json({object => 'chat.completion.chunk',
            model => 'gpt-4o', %$_});
        "data: $json\n\n";
    } @chunks), "data: [DONE]\n\n";
}

sub _chat_document () {
    return encode_json({
        object  => 'chat.completion',
        model   => 'gpt-4o',
        choices => [{message => {content => '{"usage":{}}'}}],
        usage   => _chat_usage(),
    });
}

sub _message_usage ($output) {
    return {
        input_tokens                => 25,
        cache_creation_input_tokens => 100,
        cache_read_input_tokens     => 1000,
        output_tokens               => $output,
    };
}

# Its deltas repeat the sum so far.
sub _message_events () {
    my @events = (
        {type => 'message_start', message => {type => 'message',
            model => 'claude-opus-4-5', usage => _message_usage(1)}},
        {type => 'content_block_delta', index => 0,
            delta => {type => 'text_delta', text => 'Hi'}},
        {type => 'message_delta', delta => {}, usage => {output_tokens => 15}},
        {type => 'message_delta', delta => {stop_reason => 'end_turn'},
            usage => {output_tokens => 18}},
        {type => 'message_stop'},
    );
    return join '', map {
        "event: $_->{type}\ndata: " . encode_json($_) . "\n\n";
    } @events;
}

sub _message_document () {
    return encode_json({type => 'message', model => 'claude-opus-4-5',
        content => [{type => 'text', text => 'Hi'}],
        usage => _message_usage(18)});
}

sub _gemini_parts () {
    return map { {modelVersion => 'gemini-3-pro', usageMetadata => $_} } (
        {promptTokenCount => 7, totalTokenCount => 7},
        {promptTokenCount => 7, cachedContentTokenCount => 2,
            candidatesTokenCount => 11, thoughtsTokenCount => 40,
            toolUsePromptTokenCount => 5, totalTokenCount => 63});
}

sub _gemini_events () {
    return join '',
        map { 'data: ' . encode_json($_) . "\r\n\r\n" } _gemini_parts();
}

sub _gemini_document () { return encode_json((_gemini_parts())[1]) }

1;
