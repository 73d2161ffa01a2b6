# Requests: what a caller may send, before any mutation. Agents tell a model
# all that they see, their own key among it.
#
#     my $asked = a_request(key => $KEY, mark => 'fz17z');
#
# A request has parts (see Parts); a place, the first segment of its path, which
# is a location of the Site; a kind, a method, and a body where one is known.
# `who` are the lines that say who calls. The mark is in X-Mark and in its body.

package Requests;

use Mojo::Base -strict, -signatures;
use Dice;
use Exporter   qw(import);
use Mojo::JSON qw(encode_json);
use Mutator;
use Parts;

our @EXPORT = qw(a_request);

my %TARGETS = (
    open   => [qw(/open/responses /open/a/b/c /open/responses?a=b&c=%20d)],
    strict => [qw(/strict/responses)],
    v1     => [qw(/v1/responses /v1/responses /v1/chat/completions
        /v1/messages /v1/beta/models/gemini-3-pro:generateContent
        /v1/models?client_version=1.2 /v1/responses/compact)],
    pool   => [qw(/pool/responses /pool/responses?a=1 /pool/models)],
    kept   => [qw(/kept/responses /kept/one/two /kept/files/abc)],
    moved  => [qw(/moved/responses)],
    own    => [qw(/own/responses)],
    off    => [qw(/off/oauth/token)],
    packed => [qw(/packed/responses)],
    pages  => [qw(/usage /status /status?format=json /status?format=html
        /status?format=x /health)],
);
my @PLACES = (qw(v1) x 4, qw(pool) x 3, qw(kept kept open open packed moved
    own off strict pages));

# Ways to say who calls. What is not a key of a caller's is no key.
my @WAYS = (
    (sub ($key) { "Authorization: Bearer $key" }) x 8,
    sub ($key) { "authorization:bearer $key" },
    (sub ($key) { "x-api-key: $key" }) x 2,
    sub ($key) { ("Authorization: Basic eDp5", "x-api-key: $key") },
    sub ($key) { ("Authorization: Bearer $key", "api-key: sk-test-other") },
    sub ($key) { "X_Api_Key: $key" },
    sub ($key) { 'Authorization: Bearer sk-test-nobodys' },
    sub ($key) { () },
);
my @OWN = ('Authorization: Bearer sk-test-own-login-41d7',
    'Authorization: AgentAssertion sk-test-own-login-41d7');

# Lines that clients of these interfaces send.
my @EXTRAS = (
    'User-Agent: codex_cli_rs/0.50.0', 'Accept: */*',
    'Accept: text/event-stream', 'Accept-Encoding: gzip, deflate, br, zstd',
    'Connection: keep-alive', 'Connection: close', 'originator: codex_cli_rs',
    'session_id: 0199-fuzz', 'conversation-id: 0199-fuzz', 'Cookie: a=b',
    'anthropic-version: 2023-06-01', 'anthropic-beta: a,b',
    'openai-beta: responses=v1', 'OpenAI-Organization: org-other',
    'X-Request-Id: my-own.id_1', 'x-codex-turn-metadata: {"a":1}',
    'Content-Type: application/json',
);

my %KINDS = (
    get      => \&_get,
    post     => \&_post,
    chunked  => \&_chunked,
    expect   => \&_expect,
    piped    => \&_piped,
    old      => \&_old,
    socket   => \&_socket,
    h2       => \&_h2,
    upgrade  => \&_upgrade,
);
my @KINDS = (qw(post) x 6, qw(get chunked chunked expect piped old upgrade),
    qw(socket) x 4, qw(h2 h2));

sub a_request (%about) {
    my $place  = $about{place} // pick(@PLACES);
    my $target = pick(@{$TARGETS{$place}});
    my $kind   = $place eq 'pages' || $target =~ /models\b[^:]*\z/ ? 'get'
        : $about{kind} // pick(@KINDS);
    my %asked = (
        place    => $place,
        kind     => $kind,
        mark     => $about{mark},
        key      => $about{key},
        target   => $kind eq 'socket' && $place ne 'off'
            ? "/$place/responses" : $target,
        who      => [map { line($_, kept => 1) } _who($place, $about{key})],
        extras   => [map { line($_) } (shuffled(@EXTRAS))[0 .. below(5) - 1]],
        mark_line => line("X-Mark: $about{mark}"),
    );
    $KINDS{$kind}->(\%asked);
    return \%asked;
}

sub _who ($place, $key) {
    return pick(@OWN) if $place eq 'own' && one_in(2);
    return 'Authorization: Bearer sk-placeholder-of-agents'
        if $place eq 'strict' && !one_in(4);
    return pick(@WAYS)->($key);
}

# The head up to the lines of the body.
sub _head ($asked, $method, @lines) {
    return (start("$method $asked->{target} HTTP/1.1"), line('Host: localhost'),
        $asked->{mark_line}, shuffled(@{$asked->{who}}, @{$asked->{extras}}),
        (map { line($_) } @lines));
}

sub _get ($asked) {
    $asked->{method} = one_in(6) ? 'HEAD' : 'GET';
    $asked->{parts} = [_head($asked, $asked->{method}), the_end()];
    return;
}

sub _post ($asked) {
    my $text = _body($asked);
    $asked->{method} = 'POST';
    $asked->{body}   = $text;
    my $coding = one_in(5) ? pick(qw(gzip deflate bare zstd)) : '';
    if ($coding) {
        my $name = $coding eq 'bare' ? 'deflate' : $coding;
        $asked->{body}  = undef;
        $asked->{parts} = [_head($asked, 'POST', "Content-Encoding: $name"),
            lengths(), the_end(), packed($coding, $text)];
        return;
    }
    $asked->{parts} = [_head($asked, 'POST'), lengths(), the_end(),
        body($text)];
    return;
}

sub _chunked ($asked) {
    my $text = _body($asked);
    $asked->{method} = 'POST';
    $asked->{body}   = $text;
    $asked->{parts} = [_head($asked, 'POST', 'Transfer-Encoding: chunked'),
        the_end(), _chunks($text),
        last_chunk(one_in(6) ? "X-Trailer: $asked->{mark}\r\n" : '')];
    return;
}

sub _chunks ($text) {
    my $size = pick(1, 7, 100, 4096, 100_000);
    $size = 7 if $size == 1 && length $text > 300;
    $size = 100 if $size == 7 && length $text > 3000;
    return map { chunk($_) } $text =~ /.{1,$size}/gs if $size <= 32766;
    return chunk($text);
}

sub _expect ($asked) {
    _post($asked);
    my @parts = @{$asked->{parts}};
    my ($end) = grep { $parts[$_]{kind} eq 'end' } 0 .. $#parts;
    splice @parts, $end + 1, 0, wait_for_peer();
    splice @parts, 1, 0, line('Expect: 100-continue');
    $asked->{parts} = \@parts;
    return;
}

# Two or three, of which nobody waits for an answer.
sub _piped ($asked) {
    my @all;
    for (1 .. pick(2, 2, 3)) {
        pick(\&_get, \&_post, \&_chunked)->($asked);
        push @all, grep { $_->{bytes} !~ /\AConnection: close/ }
            @{$asked->{parts}};
    }
    $asked->{parts} = \@all;
    return;
}

sub _old ($asked) {
    pick(\&_get, \&_post)->($asked);
    $asked->{parts}[0]{bytes} =~ s/1\.1\z/1.0/;
    return;
}

# A protocol that nobody here speaks.
sub _upgrade ($asked) {
    _post($asked);
    splice @{$asked->{parts}}, 1, 0, line('Upgrade: h2c'),
        line('Connection: Upgrade, HTTP2-Settings'),
        line('HTTP2-Settings: AAMAAABkAAQAAP__');
    return;
}

sub _socket ($asked) {
    $asked->{method} = 'GET';
    my @turns = map { _turn($asked) } 1 .. pick(1, 1, 2, 5);
    $asked->{parts} = [
        _head($asked, 'GET', 'Connection: Upgrade', 'Upgrade: websocket',
            'Sec-WebSocket-Version: 13',
            'Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==',
            one_in(3) ? 'Sec-WebSocket-Extensions: permessage-deflate' : (),
            one_in(3)
            ? 'Sec-WebSocket-Protocol: realtime, '
                . 'openai-insecure-api-key.sk-test-other' : ()),
        the_end(),
        one_in(4) ? () : wait_for_peer(),
        @turns,
        one_in(3) ? frame("\x03\xE8", op => 8, mask => _mask()) : (),
    ];
    return;
}

sub _mask () { return pack 'N', below(2**32) }

# A message, in one frame or several, with a ping amid them.
sub _turn ($asked) {
    my $text = one_in(8) ? '{"type":"response.cancel"}'
        : _json($asked, type => 'response.create',
        one_in(6) ? (generate => \0) : ());
    my @pieces = one_in(3) ? $text =~ /.{1,40}/gs : ($text);
    my @frames;
    for my $i (0 .. $#pieces) {
        push @frames, frame('ping', op => 9, mask => _mask())
            if $i && one_in(5);
        push @frames, frame($pieces[$i], op => $i ? 0 : 1,
            fin => $i == $#pieces ? 1 : 0, mask => _mask());
    }
    return (@frames, one_in(3) ? wait_for_peer() : ());
}

# One to three requests on a connection of HTTP/2, whose fields may be odd.
sub _h2 ($asked) {
    my @parts = (body("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), h2_frame(4, ''));
    for my $i (1 .. pick(1, 1, 1, 2, 3)) {
        my $stream  = 2 * $i - 1;
        my $has_body = !one_in(4);
        my @fields  = _h2_head($asked, $has_body);
        my $fields  = h2_fields(@fields);
        $asked->{fields} .= join '', map { "$_->[0]: $_->[1]\n" } @fields;
        my $cut     = one_in(6) ? below(length $fields) : length $fields;
        push @parts, h2_frame(1, substr($fields, 0, $cut), stream => $stream,
            flags => ($has_body ? 0 : 1) | ($cut < length $fields ? 0 : 4));
        push @parts, h2_frame(9, substr($fields, $cut), stream => $stream,
            flags => 4) if $cut < length $fields;
        push @parts, _h2_body($asked, $stream) if $has_body;
        push @parts, h2_frame(3, pack('N', 8), stream => $stream)
            if one_in(12);
    }
    @$asked{qw(method parts)} = ('POST', \@parts);
    return;
}

sub _h2_head ($asked, $has_body) {
    my @fields = map { [$_->[0] =~ tr/A-Z/a-z/r, $_->[1]] }
        map { [split /:\s*/, $_->{bytes}, 2] }
        grep { $_->{bytes} !~ /\A(?:Connection|Transfer)/ }
        $asked->{mark_line}, @{$asked->{who}}, @{$asked->{extras}};
    if (one_in(3)) {
        my $field = pick(@fields);
        my $side  = below(2);
        $field->[$side] = change_bytes($field->[$side] // '');
    }
    push @fields, [pick(qw(connection te transfer-encoding upgrade host
        content-length :path :method x_api_key)), pick('trailers', 'chunked',
        'authorization', 'websocket', '5', '/v1/responses', '')] if one_in(3);
    my @pseudo = ([':method', $has_body ? 'POST' : pick(qw(GET GET HEAD))],
        [':scheme', 'http'], [':authority', 'localhost'],
        [':path', $asked->{target}]);
    return (@pseudo, map { [$_->[0], $_->[1] // ''] } @fields);
}

sub _h2_body ($asked, $stream) {
    my @pieces = _body($asked) =~ /.{1,5000}/gs;
    return map {
        h2_frame(0, $pieces[$_], stream => $stream,
            flags => $_ == $#pieces ? 1 : 0)
    } 0 .. $#pieces if @pieces;
    return h2_frame(0, '', stream => $stream, flags => 1);
}

# ---- bodies ----

my @MODELS = (qw(gpt-5.1) x 4, qw(gpt-5-mini o3 claude-opus-4-5
    gemini-3-pro), 'g' x 70);

sub _json ($asked, %more) {
    my $json = encode_json({
        model  => pick(@MODELS),
        input  => "$asked->{mark} " . (one_in(8) ? $asked->{key} : '')
            . _filler(),
        stream => pick(\1, \0),
        stream_options => {include_usage => \1},
        %more,
    });
    return $json;
}

sub _filler () {
    my $size = pick(0, 10, 10, 300, 5000, one_in(5) ? 60_000 : 1500);
    return substr 'Lorem ipsum "dolor" \\ sit {amet} ' x (1 + $size / 30), 0,
        $size;
}

sub _body ($asked) {
    return '' if one_in(30);
    return "grant_type=refresh_token&mark=$asked->{mark}"
        if $asked->{place} eq 'off' || one_in(30);
    return _json($asked);
}

1;
