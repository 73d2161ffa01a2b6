# Far: a provider, in a process of its own, which answers as it is asked to.
#
#     my $far = Far->new(ledger => $path, seed => 7,
#         ports => [$plain, $tls], identity => $tls);    # see Provider
#     ... server $far->address; ...   # in the clear; and secure(), with TLS
#     $far->start;
#     $far->kill;                     # with all that is open
#     $far->start;                    # on the same ports
#
# What a request wants stands in its query: kind, and id. Kinds are
#
#     whole     a JSON document, of up to `size` bytes
#     stream    events, with pauses between
#     cut       events that break off, by a reset
#     refused   401, and a body that quotes the key that was sent
#     socket    a WebSocket: each turn's text comes back
#     deaf      a WebSocket, of which nothing is read
#
# Of the keys of the pool one or none is refused at a time, with 401 or 429:
# each for TURN seconds, and then none for REST; and not more than one to a
# request, so that there is always another.
#
# The ledger gets a line for each request, and for each turn of a socket:
# `got ID KEY SINCE BYTES`, the number of the key, or `own`, when the caller
# says that it opened its connection, and the size of the body; and `billed ID
# INPUT OUTPUT BYTES` once the figures are on their way; and `refused STATUS`.
# A whole answer says X-Soak-Sum, of its body, and X-Soak-Got, of the
# request's.

package Far;

use Mojo::Base -base, -signatures;
use Await;
use Digest::MD5 qw(md5_hex);
use Golden;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Parameters;
use POSIX ();
use Provider;
use Site;
use Tally;

use constant {GLANCE => 0.01, PAUSE => 0.03, FOREVER => 1e9};
use constant {TURN => 3, REST => 2};
use constant EVENTS => ['Content-Type' => 'text/event-stream'];

my %ANSWERS = (
    whole   => \&_whole,
    stream  => \&_stream,
    cut     => \&_cut,
    refused => \&_refused,
    socket  => \&_socket,
    deaf    => sub ($self, $request, $asked) { $request->accept_websocket },
);

has [qw(ledger seed ports identity pid)];
has sockets => sub { [] };

sub start ($self) {
    my $parent = $$;
    my $pid    = fork // die "fork: $!\n";
    return $self->pid($pid) if $pid;
    @SIG{qw(HUP INT TERM)} = ('DEFAULT') x 3;
    srand $self->seed;
    eval { $self->_serve($parent); 1 } or print STDERR "soak: a provider: $@";
    POSIX::_exit(1);
}

sub address ($self) { return '127.0.0.1:' . $self->ports->[0] }
sub secure  ($self) { return '127.0.0.1:' . $self->ports->[1] }

sub kill ($self) {
    kill KILL => $self->pid;
    waitpid $self->pid, 0;
    return $self->pid(undef);
}

# Whether it has ended by itself, which it should not.
sub gone ($self) {
    return $self->pid && waitpid($self->pid, POSIX::WNOHANG()) != 0;
}

# ---- in the process ----

sub _serve ($self, $parent) {
    $self->{tally} = Tally->new(ledger => $self->ledger);
    my @tls = (tls => $self->identity);
    for my $port (@{$self->ports}) {
        push @{$self->{providers}}, Provider->new(port => $port,
            answer => sub ($request) { $self->_answer($request) },
            @{$self->{providers} // []} ? @tls : ());
    }
    Mojo::IOLoop->recurring(GLANCE, sub { $self->_turns });
    Mojo::IOLoop->recurring(1, sub { $self->_forget });
    await 'the end', sub { getppid != $parent }, FOREVER;
    return;
}

# A Provider keeps all it has seen; this one sees too much.
sub _forget ($self) {
    for my $provider (@{$self->{providers}}) {
        $provider->requests([])->tls_errors([]);
        $provider->streams([grep { !$_->ended } @{$provider->streams}]);
        $_->received('')->requests([]) for @{$provider->streams};
    }
    return;
}

sub _answer ($self, $request) {
    my ($query) = $request->target =~ /\?(.*)/;
    my $asked = Mojo::Parameters->new($query // '')->to_hash;
    my $kind  = $asked->{kind} // '';
    my $place = $self->_look_at_key($request, $asked);
    return $self->_refuse($request, rand() < 0.5 ? 401 : 429)
        if $place && $place == _place_refused()
        && $place == 1 + $asked->{id} =~ tr/0-9//cdr % Site::POOL;
    $self->_note('got', @$asked{qw(id key since)}, length $request->body)
        if $kind ne 'socket';
    my $answer = $ANSWERS{$kind}
        or $self->{tally}->fault('came through', $request->target);
    return $answer ? $self->$answer($request, $asked) : $request->reply(404);
}

# Sets what key it is; returns its place in the pool.
sub _look_at_key ($self, $request, $asked) {
    my $bearer = $request->header('authorization') // '';
    $asked->{key} = 'none';
    $self->{tally}->fault('a key of the gateway came through', $request->head)
        if $request->head =~ /sk-test-soak-caller/;
    if ($asked->{own}) {
        my ($number) = $asked->{id} =~ /\A\w+[.](\d+)[.]/;
        $asked->{key} = 'own'
            if $bearer =~ /\ABearer sk-test-soak-own-$number-/;
        return 0;
    }
    $bearer =~ /\ABearer sk-test-soak-far-(\d+)-(\d)-[a-z]{24}\z/ or return 0;
    $asked->{key} = $1;
    return $2;
}

# The place of the key that is refused now, or 0.
sub _place_refused () {
    my $phase = time / (TURN + REST);
    return ($phase - int $phase) * (TURN + REST) < TURN
        ? 1 + int($phase) % Site::POOL : 0;
}

sub _refuse ($self, $request, $status) {
    $self->_note('refused', $status);
    return $request->reply($status,
        $status == 429 ? ['Retry-After' => 1] : [],
        '{"error":{"message":"' . $request->header('authorization') . '"}}');
}

sub _note ($self, @words) {
    return $self->{tally}->note(map { $_ // 'none' } @words);
}

# Figures of a turn, which no other is likely to have.
sub _figures () {
    return (input => 1 + int rand 1000, output => 1 + int rand 100);
}

sub _bill ($self, $id, $bytes, %turn) {
    return $self->_note('billed', $id, @turn{qw(input output)}, $bytes);
}

sub _sums ($request, $body) {
    return ('X-Soak-Sum' => md5_hex($body),
        'X-Soak-Got' => md5_hex($request->body));
}

sub _whole ($self, $request, $asked) {
    my %turn = _figures();
    my $body = response_document(%turn);
    $body =~ s/\}\z/',"filler":"' . _filler($asked) . '"}'/e;
    $request->reply(200,
        ['Content-Type' => 'application/json', _sums($request, $body)], $body);
    return $self->_bill($asked->{id}, length $body, %turn);
}

sub _filler ($asked) { return 'f' x int rand($asked->{size} // 2000) }

# Events, the last of them with the figures.
sub _events ($asked, %turn) {
    my @events = map {
        'data: ' . encode_json({
            type => 'response.output_text.delta', delta => _filler($asked),
        }) . "\n\n";
    } 1 .. 1 + int rand 12;
    return (@events, response_events(%turn));
}

sub _stream ($self, $request, $asked) {
    my %turn   = _figures();
    my @events = _events($asked, %turn);
    my $body   = join '', @events;
    $request->begin(200, [@{+EVENTS}, _sums($request, $body)]);
    return $self->_go_on($request, \@events, sub {
        $request->last_chunk;
        $self->_bill($asked->{id}, length $body, %turn);
    });
}

sub _cut ($self, $request, $asked) {
    my @events = _events($asked, _figures());
    pop @events;
    $request->begin(200, EVENTS);
    return $self->_go_on($request, \@events,
        sub { $request->connection->reset });
}

# Sends the events, now one and then several at a time.
sub _go_on ($self, $request, $events, $then) {
    return if $request->connection->ended || $request->connection->closed;
    do { $request->chunk(shift @$events) } while (@$events && rand() < 0.5);
    return $then->() if !@$events;
    Mojo::IOLoop->timer(rand PAUSE,
        sub { $self->_go_on($request, $events, $then) });
    return;
}

sub _refused ($self, $request, $asked) {
    my $quote = $request->header('authorization') // '';
    return $request->reply(401, undef,
        encode_json({error => {message => "Incorrect API key: $quote"}}));
}

# ---- sockets ----

sub _socket ($self, $request, $asked) {
    push @{$self->sockets}, [$request->accept_websocket, $asked];
    return;
}

sub _turns ($self) {
    for my $open (@{$self->sockets}) {
        my ($stream, $asked) = @$open;
        while (my $frame = shift @{$stream->frames}) {
            $self->_turn($stream, $asked, $frame);
        }
    }
    @{$self->sockets} = grep { !$_->[0]->ended && !$_->[0]->closed }
        @{$self->sockets};
    return;
}

sub _turn ($self, $stream, $asked, $frame) {
    return $stream->send_frame($frame->{payload}, op => 'close')
        if $frame->{op} eq 'close';
    my ($id, $text) = split / /, decode_json($frame->{payload})->{input}, 2;
    my %turn = _figures();
    $self->_note('got', $id, @$asked{qw(key since)}, 0);
    $stream->send_frame(encode_json({
        type => 'response.output_text.delta', delta => $text}));
    $stream->send_frame($_) for response_messages(%turn, id => $id);
    return $self->_bill($id, 0, %turn);
}

1;
