# More callers than keystile_status has room for: those who are counted
# together, in each format.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Golden;
use Metered;
use Wire;

use constant SHOWN => 1000;

my $nginx = Metered->new(
    zone    => '4m',
    clients => {map { ("c$_" => {allow => ['POST /v1/responses']}) }
        1 .. SHOWN + 2},
    locations => <<'CONF',
        location = /metrics { access_log off; keystile_status main; }
CONF
)->serve;
my $provider = $nginx->provider;
my ($FIRST, $LAST, $NEXT, $BEHIND) = map { "c$_" }
    1, SHOWN, SHOWN + 1, SHOWN + 2;

# The samples that are told of a client: name{other labels} => value.
my @scrapes;
sub scrape () {
    my %clients;
    for my $line (split /\n/,
        request($nginx->port, target => '/metrics')->body) {
        $line =~ /\A(\w+)\{zone="main",set="\w*",client="([^"]*)",?
            ([^}]*)\}[ ](\S+)\z/x or next;
        $clients{$2}{"$1\{$3}"} = $4;
    }
    push @scrapes, \%clients;
    return \%clients;
}

sub in ($clients, $id, $name) {
    my ($found) = grep { /\A\Q$name\E\{/ } keys %{$clients->{$id}};
    return $found ? $clients->{$id}{$found} : undef;
}

# All come, and none gets far.
my %statuses;
$statuses{$nginx->call("c$_", target => '/v1/models')->status}++
    for 1 .. SHOWN;
is_deeply \%statuses, {403 => SHOWN}, 'as many as there is room for';
my $clients = scrape();
is scalar keys %$clients, SHOWN, 'are shown';
is in($clients, $_, 'keystile_refusals_total'), 1, $_ for $FIRST, $LAST;
ok !$clients->{other}, 'and no others';

# Those with the most requests were shown: whoever came among them took what
# was counted of another from its counter, which a counter never does.
subtest 'one more, with the most requests' => sub {
    $nginx->call($BEHIND, target => '/v1/models');
    is in(scrape(), 'other', 'keystile_refusals_total'), 1,
        'a refusal is told of the others';
    for my $turn (1 .. 3) {
        $provider->forget->hold;
        my $wire    = $nginx->start_turn($NEXT);
        my $request = $provider->next_request;
        is in(scrape(), 'other', 'keystile_open'), 1, 'and what is open';
        $request->reply(200, undef, response_document(input => 7));
        $wire->response->complete && $wire->close;
        $nginx->idle;
        my $now = scrape();
        is in($now, 'other', 'keystile_requests_total'), $turn,
            "turn $turn is one of the others";
        is in($now, 'other', 'keystile_open'), 0, 'and open no more';
        ok !$now->{$NEXT}, 'not of its own';
    }
    is scalar keys %{$scrapes[-1]}, SHOWN + 1, 'as many are shown as before';
};

subtest 'the first ones go on' => sub {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(input => 7));
    });
    $nginx->turn($_) for $FIRST, $LAST;
    $nginx->idle;
    my $now = scrape();
    is in($now, $_, 'keystile_requests_total'), 1, $_ for $FIRST, $LAST;
    is in($now, 'other', 'keystile_requests_total'), 3, 'not the others';
};

subtest 'no counter decreases, or is gone' => sub {
    my @faults;
    for my $i (1 .. $#scrapes) {
        my ($before, $now) = @scrapes[$i - 1, $i];
        for my $id (keys %$before) {
            push @faults, map { "$i: $id $_" } grep {
                /_total\{/ && ($now->{$id}{$_} // -1) < $before->{$id}{$_}
            } keys %{$before->{$id}};
        }
    }
    is_deeply [@faults[0 .. ($#faults > 4 ? 4 : $#faults)]], [],
        'of any caller';
};

subtest 'JSON' => sub {
    my $status = $nginx->idle;
    is scalar @{$status->{clients}}, SHOWN, 'as many';
    is $status->{clients_left_out}, 2, 'and the others';
    is $nginx->client_of($status, $_)->{totals}{requests}, $_ eq $NEXT ? 3 : 1,
        "$_: those with the most requests" for $FIRST, $LAST, $NEXT;
    is $status->{totals}{requests}, 5, 'in all';
};

$nginx->stop;
done_testing;
