# Lane: a server of the nginx that is tried, with callers and a provider of its
# own, where one exchange takes place at a time.
#
#     my $lane = Lane->new(number => 3, findings => $findings);
#     ... keystile_pass http://127.0.0.1:${\$lane->far_port}; ...
#     $lane->port($port)->take_keys(\%keys)->callers(\%callers);
#     $lane->begin($plan);
#     $lane->glance;                  # now and then; idle() once it is over
#     my $heads = $lane->heads;       # requests that have come to the provider
#
# What it sees is judged at once (Reading), and what must not be goes into the
# findings, with all that was sent and seen.

package Lane;

use Mojo::Base -base, -signatures;
use End;
use IO::Socket::IP;
use Message;
use Mojo::IOLoop;
use Plan;
use Reading;
use Replies;
use Scalar::Util qw(weaken);
use Time::HiRes qw(time);

# How long a caller waits for more, once something or nothing has come, or in
# all; and for what cannot but come. It waits for some turns of the loop too, as
# the machine may be busy. Between two exchanges, what is on its way arrives.
use constant {
    QUIET   => 0.15,
    MUTE    => 0.5,
    LONGEST => 6,
    SURE    => 300,
    TURNS   => 15,
    BETWEEN => 0.005,
};

has [qw(number findings port port_of_h2 keys callers plan caller)];
has heads => 0;
has ends  => sub { {} };    # of connections that nginx has opened
has asked => sub { [] };    # what was sent of late
has tally => sub { {} };

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    $self->{listener} = IO::Socket::IP->new(
        LocalHost => '127.0.0.1', LocalPort => 0, Listen => 64)
        or die "cannot listen: $@\n";
    $self->{listener}->blocking(0);
    weaken(my $weak = $self);
    my $reactor = Mojo::IOLoop->singleton->reactor;
    $reactor->io($self->{listener} => sub { $weak->_accept });
    $reactor->watch($self->{listener}, 1, 0);
    return $self;
}

sub far_port ($self) { return $self->{listener}->sockport }

# All that was sent and seen in this exchange, for whoever looks into it.
sub story ($self) {
    my $caller = $self->caller;
    my $how    = $caller ? sprintf 'after %.1f s, %s%s',
        time - $self->{began}, $caller->ended // 'still open',
        $caller->is_playing ? ', not all is sent' : '' : 'none';
    return (
        'the connection'            => $how,
        'what callers sent of late' => join("\n----\n", @{$self->asked}),
        'what went up'              => $self->{seen} // '',
        'what the provider sent'    => $self->{answered} // '',
        'what came back'            => $caller ? $caller->received : '',
    );
}

# Whether another exchange may begin.
sub idle ($self) { return !$self->plan && time >= ($self->{free_at} // 0) }

# Takes the keys; quoting one must not show in what comes back, not even six
# bytes of it.
sub take_keys ($self, $keys) {
    my %runs;
    for my $key (values %$keys) {
        my $random = $key =~ s/\Ask-test-fz-//r;
        $runs{substr $random, $_, 6} = 1 for 0 .. length($random) - 6;
    }
    my $runs = join '|', sort keys %runs;
    $self->{telling} = qr/sk-test-fz|$runs/;
    return $self->keys($keys);
}

# ---- the caller ----

# Where nginx has no HTTP/2, what is of that takes no place.
sub begin ($self, $plan) {
    my $port = $plan->{asked}{kind} eq 'h2' ? $self->port_of_h2 : $self->port;
    return $self if !$port;
    my $handle = IO::Socket::IP->new(
        PeerHost => '127.0.0.1', PeerPort => $port)
        or return $self->findings->add($self, "no connection: $@");
    my $bytes = join '', map { $_->{bytes} // '' } @{$plan->{asked}{steps}};
    # A field of HTTP/2 may be cut in two by a frame.
    push @{$self->asked}, $bytes . ($plan->{asked}{fields} // '');
    shift @{$self->asked} if @{$self->asked} > 4;
    @$self{qw(began heard_at turns bodies seen answered)}
        = (time, time, 0, [], '', '');
    $self->{replies} = [@{$plan->{replies}}];
    weaken(my $weak = $self);
    my $hears  = sub ($end) { @$weak{qw(heard_at turns)} = (time, 0) };
    my $caller = End->new(saw => $hears, gone => $hears)->adopt($handle);
    $self->plan($plan)->caller($caller);
    $caller->pause if $plan->{leaves} eq 'slow';
    $caller->play($plan->{asked}{steps}, sub ($end) { $weak->_said_all($end) });
    return $self;
}

sub _said_all ($self, $caller) {
    @$self{qw(heard_at turns)} = (time, 0);
    my $leaves = $self->plan->{leaves};
    $caller->half_close if $leaves eq 'halves';
    $caller->reset      if $leaves eq 'resets';
    $caller->_close     if $leaves eq 'leaves';
    $self->_finish      if $caller->closed;
    return;
}

# Ends the exchange once there is no more to wait for.
sub glance ($self) {
    my $caller = $self->caller or return;
    my $leaves = $self->plan->{leaves};
    my ($silent, $lasts) = (time - $self->{heard_at}, time - $self->{began});
    my $is_plain = $self->plan->{is_plain};
    $caller->resume if $leaves eq 'slow' && $lasts > 0.05;
    return $self->_finish if $caller->ended || $self->_has_all
        || $lasts > ($is_plain ? SURE : LONGEST);
    return if $caller->is_playing || $leaves eq 'patient' || $is_plain
        || $self->{turns}++ < TURNS;
    $self->_finish if $silent > ($caller->received eq '' ? MUTE : QUIET);
    return;
}

# Whether each reply that a caller would wait for is there.
sub _has_all ($self) {
    my $asked = $self->plan->{asked};
    return 0 if $asked->{kind} =~ /socket|piped|expect|h2/
        || $self->caller->is_playing;
    my $bytes = $self->caller->received;
    return 0 if ($self->{looked_at} // -1) == length $bytes;
    $self->{looked_at} = length $bytes;
    my $reply = Message->new(kind => 'response', answers => $asked->{method});
    $reply->feed(\$bytes);
    return $reply->complete;
}

sub _finish ($self) {
    my ($plan, $caller) = ($self->plan, $self->caller);
    my $received = $caller->received;
    $self->_judge($plan, $received, $caller->ended // '');
    $_->cut_off for $caller,
        grep { $_->is_playing || $_->{is_raw} } values %{$self->ends};
    my ($status) = $received =~ m{\AHTTP/\S+ (\d+)};
    $self->tally->{$status // ($received eq '' ? 'none' : 'other')}++;
    $self->tally->{plain}++ if $plan->{is_plain};
    $self->plan(undef)->caller(undef);
    @$self{qw(free_at looked_at)} = (time + BETWEEN, undef);
    return;
}

sub _judge ($self, $plan, $received, $ended) {
    my @faults;
    push @faults, "a key came back: $&" if $received =~ $self->{telling};
    push @faults, faults_of_reply($received, $self->asked->[-1])
        if $plan->{asked}{kind} ne 'h2';
    push @faults, map { "came from elsewhere: fz${_}z" }
        grep { $self->_is_elsewhere($_, $self->{answered}) }
        $received =~ /fz(\d+)z/g if !$self->{is_tainted};
    push @faults, $self->_plain_faults($plan, $received, $ended)
        if $plan->{is_plain};
    $self->{is_tainted} = 0;
    $self->findings->add($self, $_) for @faults;
    return;
}

# Whether the mark of that number is of another exchange, of this time, and
# not one that a mutation has made, be it with the line that begins a chunk in
# its midst.
sub _is_elsewhere ($self, $number, $sent) {
    my $own = $self->plan ? $self->plan->{number} : return 0;
    return 0 if $number eq $own || abs($number - $own) >= 400;
    my $unchunked = $sent =~ s/\r?\n[0-9a-f]+[^\r\n]*\r?\n//gir;
    return !grep { index($_, "fz${number}z") >= 0 } $sent, $unchunked;
}

# What was sent as it should be came, all of it.
sub _plain_faults ($self, $plan, $received, $ended) {
    my ($asked, $reply) = ($plan->{asked}, $plan->{replies}[0]);
    my $message = Message->new(kind => 'response', answers => $asked->{method});
    $message->feed(\$received);
    $message->finish if $ended eq 'eof';
    return 'plain: not a whole reply' if !$message->complete;
    return 'plain: ' . $message->status . " and not $reply->{status}"
        if $message->status != $reply->{status};
    return 'plain: another body came back' if $message->body ne $reply->{body};
    return 'plain: another body went up'
        if join('|', @{$self->{bodies}}) ne $asked->{body};
    return;
}

# ---- the provider ----

sub _accept ($self) {
    weaken(my $weak = $self);
    while (my $handle = $self->{listener}->accept) {
        my $end = End->new(
            saw  => sub ($end) { $weak->_read($end) },
            gone => sub ($end) {
                delete $weak->ends->{$end};
                $end->cut_off;
            })->adopt($handle);
        $self->ends->{$end} = $end;
    }
    return;
}

sub _read ($self, $end) {
    while (!$end->{is_raw} && !$end->closed && length $end->{unread}) {
        my $message = $end->{message} //= Message->new(kind => 'request');
        my $is_known = $message->head_complete;
        my $bytes = $end->{unread};
        $message->feed(\$end->{unread});
        $self->{seen} .= substr $bytes, 0, length($bytes)
            - length $end->{unread};
        if ($message->broken) {
            $self->findings->add($self, 'went up: ' . $message->broken);
            $end->{is_raw} = 1;
            return;
        }
        return if !$message->head_complete;
        $self->_take_head($end, $message) if !$is_known;
        return if $end->closed || !$message->complete;
        $self->_take_whole($end, $message);
        return if $end->{message};
    }
    return;
}

sub _take_head ($self, $end, $message) {
    $self->{heads}++;
    # The one before was cut, or this is a connection that is no more.
    return $end->cut_off if $end->is_playing
        || $end->{deserts} && !($self->plan && $self->plan->{is_plain});
    $self->findings->add($self, $_) for faults_of_head($message->head,
        keys => $self->keys, callers => $self->callers, asked => $self->asked);
    $self->{is_tainted} = 1 if delete $end->{may_have_more};
    $end->{of} = $self->_is_late($message) ? '' : $self->plan;
    $end->{reply} = $end->{of} && shift @{$self->{replies}}
        || one_reply($end->{of} ? $self->plan->{mark} : 'fz0z');
    $self->_answer($end, $message) if $end->{reply}{early};
    return;
}

# Whether it is of an exchange before, whose caller has left.
sub _is_late ($self, $message) {
    my $plan = $self->plan or return 1;
    my $mark = $message->header('x-mark') // '';
    return $mark ne $plan->{mark}
        && ($plan->{is_plain} || $mark =~ /\Afz\d+z\z/);
}

sub _take_whole ($self, $end, $message) {
    push @{$self->{bodies}}, $message->body
        if $self->plan && $end->{of} eq $self->plan;
    my $asked = join '', @{$self->asked};
    $self->findings->add($self, "went up from elsewhere: fz${_}z")
        for grep { $self->_is_elsewhere($_, $asked) }
        ($message->head . $message->body) =~ /fz(\d+)z/g;
    if ($end->{reply}) {
        $self->findings->add($self, 'more than a request went up: '
                . $end->{unread})
            if length $end->{unread} && !$end->{reply}{early}
            && $message->head !~ /^Upgrade:/mi;
        $self->_answer($end, $message) if !$end->{reply}{early};
    }
    $end->{message} = undef;
    return;
}

sub _answer ($self, $end, $message) {
    my $reply = $end->{reply};
    my ($key) = $message->head =~ /^(?:Authorization: \S+|api-key:) (\S+)/mi;
    my @steps = map { {%$_} } @{$reply->{steps}};
    my $quote = KEY_THAT_CAME;
    if ($reply->{echoes} && length($key // '') == length $quote) {
        $_->{bytes} =~ s/\Q$quote\E/$key/g for grep { $_->{bytes} } @steps;
    }
    my $bytes = join '', map { $_->{bytes} // '' } @steps;
    $end->{is_raw} = 1 if $bytes =~ m{HTTP/\S* *101};
    $end->{may_have_more} = $reply->{is_changed} && (@steps > 1
            || length $bytes > 4000 || @{$steps[0]{cuts} // []});
    $self->{answered} .= $bytes;
    weaken(my $weak = $self);
    $end->play(\@steps, sub ($end) { $weak->_end_reply($end, $reply->{end}) });
    return;
}

sub _end_reply ($self, $end, $how) {
    $end->reset if $how eq 'reset';
    $end->{deserts} = $how eq 'deserts';
    if ($how eq 'close' || $how eq 'reset') {
        delete $self->ends->{$end};
        $end->cut_off;
    }
    return;
}

1;
