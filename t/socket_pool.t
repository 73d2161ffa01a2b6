# A WebSocket that is judged takes no more memory with each message: what holds
# one until it is judged is given back.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Metered;
use Mojo::JSON qw(encode_json);

use constant MESSAGES => 100;

my $nginx = Metered->new(
    log_level => 'debug',
    clients   => {ci => {limits => [{requests => 1000, per => 'day'}]}},
);
plan skip_all => 'needs an nginx that logs what it allocates'
    if `${\$nginx->binary} -V 2>&1` !~ /--with-debug/;
my $provider = $nginx->serve->provider;
$provider->forget->answer(sub ($request) { $request->accept_websocket });
my $wire = $nginx->open_socket('ci');
my $far  = $provider->next_request->connection;

# In one frame, and in two that are held until the second says what it is.
my $message = encode_json({type => 'response.create', model => 'gpt-5.1'});

sub turn ($parts) {
    my $half = $parts == 1 ? length $message : 3;
    $wire->send_frame(substr($message, 0, $half), fin => $parts == 1);
    $wire->send_frame(substr($message, $half), op => 'continuation')
        if $parts == 2;
    $far->next_frame for 1 .. $parts;
    for my $text (response_messages(input => 1, output => 1,
        id => 'resp_' . rand)) {
        $far->send_frame($text);
        $wire->next_frame;
    }
    return;
}

# Blocks that pools have taken.
sub blocks () { return scalar(() = $nginx->error_log =~ /posix_memalign: /g) }

for my $parts (1, 2) {
    turn($parts);
    my $before = blocks();
    turn($parts) for 1 .. MESSAGES;
    cmp_ok blocks() - $before, '<=', 2,
        MESSAGES . " messages of $parts frames take no pool any more";
}

done_testing;
