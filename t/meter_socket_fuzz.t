# Whatever the frames that a client sends, and in whatever pieces: messages
# that are allowed arrive as they were and in their order, others never whole,
# and pings amid them all arrive.
#
# KEYSTILE_TEST_SEED is another run, KEYSTILE_TEST_STEPS a longer one.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use List::Util qw(shuffle);
use Metered;

use constant THE_END => 'the end';

my $seed  = $ENV{KEYSTILE_TEST_SEED}  // 2026;
my $steps = $ENV{KEYSTILE_TEST_STEPS} // 60;
srand $seed;
note "KEYSTILE_TEST_SEED=$seed";

my $nginx = Metered->new(
    clients => {ci => {models => ['gpt-5*'],
        limits => [{tokens => 1_000_000_000, per => 'month'}]}},
    server    => 'keystile_allow GET /small/responses websocket;',
    locations => <<'CONF',
        location /small/ {
            keystile_buffer_size 4k;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
)->serve;
my $provider = $nginx->provider;

sub one_in ($count) { return rand($count) < 1 }

# A masked frame, whose length is not always as short as it could be.
sub frame ($op, $is_last, $payload) {
    my $length = length $payload;
    my $mask   = pack 'N', int rand 2**32;
    my $head   = $length < 126 && !one_in(5) ? pack('C', 0x80 | $length)
        : $length < 65536 && !one_in(5) ? pack('Cn', 0x80 | 126, $length)
        : pack('CQ>', 0x80 | 127, $length);
    return pack('C', ($is_last ? 0x80 : 0) | $op) . $head . $mask
        . ($payload ^ substr $mask x (1 + $length / 4), 0, $length);
}

# A text, and whether it is allowed. Some are about as long as a buffer.
sub message () {
    return ('{"type":"other","n":' . int(rand 1e9) . '}', 1) if one_in(5);
    my $padding = 'p' x (one_in(2) ? rand 200 : 3900 + rand 600);
    my $model   = one_in(2) ? 'gpt-5.1' : 'o3';
    my @members = ('"type":"response.create"', qq("model":"$model"),
        qq("x":"$padding"), one_in(10) ? '"model":"o3"' : ());
    my $text = '{' . join(',', shuffle @members) . '}';
    return ($text, $text !~ /"o3"/);
}

# A message in pieces, some of a few bytes, the last at times of none.
sub pieces ($text) {
    my @pieces;
    my $is_whole = one_in(2);
    while (length $text) {
        my $length = $is_whole ? length $text
            : 1 + int rand(one_in(3) ? 5 : 2500);
        push @pieces, substr $text, 0, $length, '';
    }
    return (@pieces, one_in(5) ? '' : ());
}

# What a client sends in a round: the bytes, the messages that are allowed, and
# how many pings are amid them.
sub round_of_messages () {
    my ($bytes, $pings, @allowed) = ('', 0);
    for (1 .. 4) {
        my ($text, $is_allowed) = message();
        push @allowed, $text if $is_allowed;
        my @pieces = pieces($text);
        for my $i (0 .. $#pieces) {
            $bytes .= frame(9, 1, 'ping' . $pings++)
                if @pieces < 50 && one_in(5);
            $bytes .= frame($i ? 0 : 1, $i == $#pieces, $pieces[$i]);
        }
    }
    return ($bytes . frame(9, 1, THE_END), $pings, @allowed);
}

sub write_in_pieces ($wire, $bytes) {
    while (length $bytes && !$wire->ended) {
        $wire->write(substr $bytes, 0, 1 + int rand(one_in(2) ? 30 : 6000), '');
        settle if one_in(3);
    }
    return;
}

# The frames up to the last that comes; the second is false when the socket
# was cut before the end.
sub arrived ($wire, $far) {
    my @frames;
    while (1) {
        my $frame = await 'a frame or the end', sub {
            shift @{$far->frames} // ($far->ended ? {op => 'none'} : undef);
        };
        return (\@frames, 0) if $frame->{op} eq 'none';
        return (\@frames, 1) if $frame->{payload} eq THE_END;
        push @frames, $frame;
    }
}

# The whole messages among frames.
sub messages (@frames) {
    my ($text, @messages) = ('');
    for my $frame (grep { $_->{op} ne 'ping' } @frames) {
        $text .= $frame->{payload};
        next if !$frame->{fin};
        push @messages, $text;
        $text = '';
    }
    return @messages;
}

my %ended = (whole => 0, cut => 0);
for my $round (1 .. $steps) {
    my $place = $round % 2 ? 'v1' : 'small';
    my $name  = "round $round, /$place";
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket('ci', target => "/$place/responses");
    my $far  = $provider->next_request->connection;
    my ($bytes, $pings, @allowed) = round_of_messages();
    write_in_pieces($wire, $bytes);
    my ($frames, $is_whole) = eval { arrived($wire, $far) };
    if (!$frames) {
        fail "$name: it stalled";
        diag "KEYSTILE_TEST_SEED=$seed: $@";
        last;
    }
    my @got = messages(@$frames);
    # A refusal that comes too late to keep all of a message back, cuts.
    my $expected = $is_whole ? @allowed : @got;
    is_deeply \@got, [grep { defined } @allowed[0 .. $expected - 1]],
        "$name: what is allowed";
    my @pings = map { $_->{payload} } grep { $_->{op} eq 'ping' } @$frames;
    my $arrived = $is_whole ? $pings : @pings;
    is_deeply \@pings, [map { "ping$_" } 0 .. $arrived - 1], 'and the pings';
    $ended{$is_whole ? 'whole' : 'cut'}++;
    $wire->ended ? $wire->_close : $wire->close;
    $far->close;
}
cmp_ok $ended{$_}, '>', 0, "$ended{$_} were $_" for sort keys %ended;

$nginx->stop;
done_testing;
