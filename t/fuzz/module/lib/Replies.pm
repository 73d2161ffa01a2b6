# Replies: what a provider may answer, before any mutation.
#
#     my $reply = a_reply(kind => 'socket', mark => 'fz17z');
#
# A reply has parts (see Parts), a name, how the connection goes on (keep,
# close, reset, silent, or deserts: until something else comes), and whether it
# is sent as soon as the head of a request is there (early). `status` and `body`
# are there where it is plain: what the caller must get. Of one that echoes, the
# first line may not be mutated: it quotes the key that was sent, as
# KEY_THAT_CAME, which only a 401 and a 403 may do, and the status must stay.

package Replies;

use Mojo::Base -strict, -signatures;
use Dice;
use Exporter qw(import);
use Golden;
use Mojo::JSON qw(encode_json);
use Parts;

our @EXPORT = qw(KEY_THAT_CAME a_reply);

use constant KEY_THAT_CAME => '@' x 50;

my @GOLDEN = golden_replies();

my @KINDS = (
    (\&_counted) x 6, (\&_in_chunks) x 6, \&_until_the_end, \&_nothing,
    \&_compressed, \&_compressed, (\&_limited) x 2, (\&_refusing) x 3,
    \&_forbidding,
    \&_failed, \&_moved, \&_interim, \&_large, \&_trailers, \&_upgrading,
    \&_mute,
);

sub a_reply (%about) {
    my %reply = (mark => $about{mark}, end => 'keep');
    my $of = $about{kind} eq 'refusals' ? pick(\&_limited, \&_refusing)
        : $about{kind} eq 'socket' && !one_in(6) ? \&_socket
        :                                          pick(@KINDS);
    $of->(\%reply);
    $reply{early} = 1 if one_in(12);
    return \%reply;
}

sub _head ($reply, $status, @lines) {
    return (start("HTTP/1.1 $status"), line("X-Mark: $reply->{mark}"),
        (map { line($_) } @lines), _extras());
}

my @EXTRAS = (
    'Date: Sun, 22 Nov 2026 10:00:00 GMT', 'Server: far', 'x-request-id: req_1',
    'Connection: keep-alive', 'Set-Cookie: a=b', 'openai-organization: org',
    'x-ratelimit-remaining-requests: 10', 'Keep-Alive: timeout=5',
    'openai-processing-ms: 12', 'Cache-Control: no-cache', 'Vary: Origin',
    'X-Accel-Buffering: no', 'x-codex-primary-used-percent: 10',
    'Connection: x-mark2', 'x-mark2: dropped', 'ETag: "a"', 'Upgrade: h2c',
);

sub _extras () {
    return map { line($_) } (shuffled(@EXTRAS))[0 .. below(4) - 1];
}

# A reply of one of the interfaces, with the mark in it.
sub _golden ($reply) {
    my %golden = %{pick(@GOLDEN)};
    $golden{body} =~ s/Hi/$reply->{mark}/g;
    return %golden;
}

sub _type (%golden) {
    return defined $golden{type} ? "Content-Type: $golden{type}" : ();
}

sub _is ($reply, $name, $status, $body) {
    @$reply{qw(name status body)} = ($name, $status, $body);
    return;
}

sub _counted ($reply) {
    my %golden = _golden($reply);
    _is($reply, 'with a length', 200, $golden{body});
    $reply->{parts} = [_head($reply, '200 OK', _type(%golden)), lengths(),
        the_end(), body($golden{body})];
    return;
}

sub _in_chunks ($reply) {
    my %golden = _golden($reply);
    _is($reply, 'in chunks', 200, $golden{body});
    my @pieces = one_in(2) ? $golden{body} =~ /.*?\n\n|.+\z/gs
        : $golden{body} =~ /.{1,100}/gs;
    $reply->{parts} = [_head($reply, '200 OK', _type(%golden),
            'Transfer-Encoding: chunked'), the_end(),
        (map { chunk($_) } @pieces), last_chunk()];
    return;
}

sub _until_the_end ($reply) {
    my %golden = _golden($reply);
    _is($reply, 'until the end', 200, $golden{body});
    $reply->{end} = 'close';
    $reply->{parts} = [_head($reply, '200 OK', _type(%golden)), the_end(),
        body($golden{body})];
    $reply->{parts}[0]{bytes} =~ s/1\.1/1.0/ if one_in(2);
    return;
}

sub _nothing ($reply) {
    my $status = pick('204 No Content', '304 Not Modified', '200 OK');
    _is($reply, 'nothing', 204, '') if $status =~ /\A204/;
    $reply->{name}  = 'nothing';
    $reply->{parts} = [_head($reply, $status),
        $status =~ /\A204/ ? () : lengths(), the_end()];
    return;
}

sub _compressed ($reply) {
    my %golden = _golden($reply);
    my $coding = pick(qw(gzip gzip gzip deflate zstd));
    $reply->{name} = 'compressed';
    $reply->{parts} = [_head($reply, '200 OK', _type(%golden),
            "Content-Encoding: $coding"), lengths(), the_end(),
        packed($coding, $golden{body})];
    return;
}

sub _limited ($reply) {
    my $body = encode_json({error => {type => 'rate_limit_error',
        code => 'rate_limit_exceeded', message => $reply->{mark}}});
    $reply->{name} = 'a rate limit';
    $reply->{parts} = [_head($reply, '429 Too Many Requests',
            one_in(2) ? 'Retry-After: ' . below(3) : (),
            one_in(4) ? 'x-codex-primary-reset-at: ' . (time + below(3)) : ()),
        lengths(), the_end(), body($body)];
    return;
}

# Quotes the key, whole or in part, anywhere but in the status line.
sub _refusing ($reply) {
    my $status = pick('401 Unauthorized', '403 Forbidden', '403 Forbidden');
    my $key    = KEY_THAT_CAME;
    my $says   = $status =~ /\A403/ && one_in(3)
        ? 'policy_violation' : "Incorrect API key provided: $key";
    my $body = encode_json({error => {message => $says,
        code => pick('invalid_api_key', 'content_policy'),
        padding => 'p' x pick(0, 0, 3000, 5000, 20_000)}});
    $body .= " $key" if one_in(4);
    my @lines = one_in(4) ? "WWW-Authenticate: Bearer $key" : ();
    my @head  = _head($reply, $status, @lines);
    $reply->{name}  = 'a refusal';
    $reply->{echoes} = 1;
    $reply->{parts} = one_in(2)
        ? [@head, lengths(), the_end(), body($body)]
        : one_in(3)
        ? [@head, line('Transfer-Encoding: chunked'), the_end(),
            (map { chunk($_) } $body =~ /.{1,50}/gs),
            last_chunk(one_in(3) ? "X-Key: $key\r\n" : '')]
        : [@head, the_end(), body($body)];
    $reply->{end} = 'close' if !grep { $_->{kind} =~ /length|last/ }
        @{$reply->{parts}};
    return;
}

# Longer than what is read of it before it is passed on, with the key near its
# end, perhaps.
sub _forbidding ($reply) {
    my $body = encode_json({error => {code => 'content_policy',
        message => 'p' x pick(3000, 5000, 20_000, 60_000)}});
    $body .= KEY_THAT_CAME . 'x' x below(30) if one_in(2);
    @$reply{qw(name echoes)} = ('a refusal of another kind', 1);
    $reply->{parts} = one_in(2)
        ? [_head($reply, '403 Forbidden'), lengths(), the_end(), body($body)]
        : [_head($reply, '403 Forbidden', 'Transfer-Encoding: chunked'),
            the_end(), (map { chunk($_) } $body =~ /.{1,1500}/gs),
            last_chunk()];
    return;
}

sub _failed ($reply) {
    my $status = pick('500 Oops', '502 Bad Gateway', '503 Busy', '529 Over',
        '400 Bad', '404 Not Found', '413 Large');
    $reply->{name} = 'a failure';
    $reply->{parts} = [_head($reply, $status, 'Retry-After: 1'), lengths(),
        the_end(), body(qq({"error":{"message":"$reply->{mark}"}}))];
    return;
}

sub _moved ($reply) {
    $reply->{name} = 'a redirect';
    $reply->{parts} = [_head($reply, pick('302 Found', '307 Temporary'),
            'Location: ' . pick('/status', 'http://127.0.0.1:9/', '//a', '')),
        lengths(), the_end(), body('moved')];
    return;
}

sub _interim ($reply) {
    pick(\&_counted, \&_in_chunks)->($reply);
    unshift @{$reply->{parts}}, map {
        (start("HTTP/1.1 $_"), line('Link: </a>'), the_end())
    } (pick('100 Continue', '103 Early Hints', '102 Processing'))
        x pick(1, 2, 50, 101);
    delete $reply->{status} if @{$reply->{parts}} > 300;
    return;
}

sub _large ($reply) {
    my $body = "$reply->{mark} " x pick(700, 3000, 20_000);
    _is($reply, 'large', 200, $body);
    $reply->{parts} = one_in(2)
        ? [_head($reply, '200 OK'), lengths(), the_end(), body($body)]
        : [_head($reply, '200 OK', 'Transfer-Encoding: chunked'), the_end(),
            (map { chunk($_) } $body =~ /.{1,9000}/gs), last_chunk()];
    return;
}

sub _trailers ($reply) {
    _in_chunks($reply);
    $reply->{name} = 'with trailers';
    $reply->{parts}[-1] = last_chunk("X-Trailer: $reply->{mark}\r\n" x
            pick(1, 1, 300));
    delete $reply->{status} if length $reply->{parts}[-1]{bytes} > 1000;
    return;
}

# 101, asked for or not.
sub _upgrading ($reply) {
    $reply->{name} = 'another protocol';
    $reply->{parts} = [_head($reply, '101 Switching Protocols',
            'Connection: Upgrade', pick('Upgrade: websocket', 'Upgrade: h2c')),
        the_end(), body("$reply->{mark} whatever")];
    return;
}

sub _mute ($reply) {
    $reply->{name}  = 'silence';
    $reply->{end}   = pick(qw(silent close reset));
    $reply->{parts} = [body('')];
    return;
}

sub _socket ($reply) {
    my @frames = map { _turn($reply) } 1 .. pick(1, 1, 2, 4);
    $reply->{name}  = 'a socket';
    $reply->{socket} = 1;
    $reply->{parts} = [_head($reply, '101 Switching Protocols',
            'Connection: Upgrade', 'Upgrade: websocket',
            'Sec-WebSocket-Accept: xtnaSy3LVWaGbrQ1YzTMNSyVV1k='),
        the_end(), one_in(4) ? () : wait_for_peer(), @frames,
        one_in(3) ? frame("\x03\xE8", op => 8) : ()];
    $reply->{end} = pick(qw(close silent reset)) if one_in(2);
    return;
}

sub _turn ($reply) {
    my @messages = one_in(5)
        ? '{"type":"error","status":429,"error":{"code":"rate_limit_exceeded"}}'
        : response_messages(input => 1 + below(5000), output => below(900),
        end => pick(qw(completed completed incomplete failed)));
    s/Hi/$reply->{mark}/ for @messages;
    my @frames = map {
        my @pieces = one_in(4) ? /.{1,60}/gs : ($_);
        map {
            frame($pieces[$_], op => $_ ? 0 : 1, fin => $_ == $#pieces ? 1 : 0)
        } 0 .. $#pieces;
    } @messages;
    return ((map { one_in(8) ? ($_, frame('ping', op => 9)) : $_ } @frames),
        one_in(4) ? wait_for_peer() : ());
}

1;
