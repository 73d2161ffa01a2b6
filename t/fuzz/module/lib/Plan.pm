# Plan: all that happens in one exchange, made of its number: the same again
# for the same seed.
#
#     my $plan = a_plan(seed => 7, number => 17, keys => \%callers);
#
# A plan has a number and a mark, `fz17z`, which is in what it sends; what the
# caller sends (asked, and its `steps`) and how it leaves (`leaves`); and the
# replies to the first requests that come of it, each with `steps` and an end.
# Where is_plain, nothing is mutated: what must come of it is known.
#
# A step is bytes and the offsets at which they are cut, or waits for the peer.

package Plan;

use Mojo::Base -strict, -signatures;
use Dice;
use Exporter qw(import);
use Mutator;
use Parts;
use Replies;
use Requests;

our @EXPORT = qw(a_plan one_reply);

use constant REPLIES => 4;

# Callers of clients.json, as often as they call.
my @CALLERS = qw(free free free counted counted counted tight scant models
    models disabled);
my @LEAVES = (('reads') x 16, qw(leaves leaves resets resets halves slow
    patient));

sub a_plan (%about) {
    my $number = $about{number};
    throw_dice($about{seed}, $number);
    my $mark = "fz${number}z";
    my %plan = (number => $number, mark => $mark, is_plain => one_in(8));
    my $keys = $about{keys};
    return _plain(\%plan, $keys) if $plan{is_plain};

    my $asked   = _asked($keys, $mark);
    my $kind    = $asked->{place} eq 'pool' && one_in(4)
        ? 'refusals' : $asked->{kind};
    my @replies = map { a_reply(kind => $kind, mark => $mark) } 1 .. REPLIES;
    my $whose = pick(qw(asked asked asked replies replies replies replies
        both));
    $asked->{steps} = _steps($asked->{parts}, $whose ne 'replies',
        sub { a_request(key => $asked->{key}, mark => $mark)->{parts} });
    _change_reply($_, $asked->{kind}, $whose ne 'asked') for @replies;
    @plan{qw(asked replies leaves)} = ($asked, \@replies, pick(@LEAVES));
    return \%plan;
}

# One who only talks over sockets runs out of turns there.
sub _asked ($keys, $mark) {
    my $asked = a_request(key => $keys->{pick(@CALLERS)}, mark => $mark);
    return $asked if $asked->{kind} ne 'socket' || !one_in(4);
    return a_request(key => $keys->{talker}, mark => $mark, kind => 'socket');
}

sub _change_reply ($reply, $kind, $may_change) {
    _guard($reply);
    $reply->{is_changed} = $may_change && !one_in(4);
    $reply->{steps} = _steps($reply->{parts}, $reply->{is_changed}, sub {
        my $other = a_reply(kind => $kind, mark => $reply->{mark});
        _guard($other);
        return $other->{parts};
    }, $reply->{echoes});
    $reply->{end} = pick(qw(keep close reset silent), ('deserts') x 4)
        if one_in(6);
    return;
}

# What cannot but be answered, and is.
sub _plain ($plan, $keys) {
    my $mark = $plan->{mark};
    my ($asked, $reply);
    do {
        $asked = a_request(key => $keys->{free}, mark => $mark,
            place => pick(qw(v1 open kept)), kind => pick(qw(post chunked)));
    } until defined $asked->{body}
        && (map { $_->{bytes} } @{$asked->{who}})[-1]
        && $asked->{who}[-1]{bytes} =~ /\A(?:Authorization|x-api-key): .*
            \Q$keys->{free}\E\z/x;
    do { $reply = a_reply(kind => 'post', mark => $mark) }
        until defined $reply->{status};
    $reply->{early} = 0;
    $_->{steps} = _steps($_->{parts}, 0) for $asked, $reply;
    @$plan{qw(asked replies leaves)} = ($asked, [$reply], 'reads');
    return $plan;
}

# Where more is asked than was planned.
sub one_reply ($mark) {
    my $bytes = "HTTP/1.1 200 OK\r\nX-Mark: $mark\r\nContent-Length: 2\r\n"
        . "\r\n{}";
    return {mark => $mark, name => 'one more', end => 'keep', parts => [],
        steps => [{bytes => $bytes, cuts => []}]};
}

# What quotes a key goes nowhere else.
sub _guard ($reply) {
    my $quote = KEY_THAT_CAME;
    $_->{kept} = 1
        for grep { index($_->{bytes}, $quote) >= 0 } @{$reply->{parts}};
    return;
}

sub _steps ($parts, $is_changed, $donors = undef, $is_first_kept = 0) {
    my @parts = @$parts;
    @parts = @{change_parts(\@parts, $donors->(), $is_first_kept)}
        if $is_changed && !one_in(4);
    my @segments = render(@parts);
    if ($is_changed && one_in(3)) {
        my $one = below(scalar @segments);
        my $kept = '';
        $kept = $1 if $is_first_kept && $one == 0
            && $segments[0] =~ s/\A([^\n]*\n)//;
        $segments[$one] = $kept . change_bytes($segments[$one]);
    }
    my @steps = map { ({waits => 1}, _cut($_)) } @segments;
    shift @steps;
    return \@steps;
}

# In whatever pieces; with a pause after some.
sub _cut ($bytes) {
    my $length = length $bytes;
    my %step   = (bytes => $bytes, pauses => one_in(3));
    my $way    = below(10);
    my @cuts = $way < 4 || $length < 2 ? ()
        : $way < 8 ? map { 1 + below($length - 1) } 1 .. pick(1, 1, 2, 4)
        : $way < 9 ? 1 .. ($length < 60 ? $length - 1 : 59)
        :            _at_lines($bytes);
    my %seen;
    $step{cuts} = [sort { $a <=> $b } grep { !$seen{$_}++ } @cuts];
    return \%step;
}

# Between CR and LF, and after a line, of the first lines.
sub _at_lines ($bytes) {
    my @cuts;
    while ($bytes =~ /\r?\n/g) {
        push @cuts, pick($-[0] + 1, $+[0]);
        last if @cuts > 20;
    }
    return grep { $_ < length $bytes } @cuts;
}

1;
