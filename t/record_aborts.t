# keystile_record: turns that did not end as they should.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Mojo::JSON qw(encode_json);
use Provider;
use Recorded;
use Wire;

my $nginx = Recorded->new(
    clients   => {ci => {}, limited => {models => ['o*']}},
    locations => <<'CONF',
        location /gone/ {
            keystile_record %%DIR%%/turns.jsonl;
            keystile_pass http://127.0.0.1:%%PORT_9%%;
        }
        location /again/ {
            error_page 502 = @again;
            keystile_pass http://127.0.0.1:%%PORT_9%%;
        }
        location @again { keystile_pass http://%%PROVIDER%%; }
CONF
)->serve;
my $provider = $nginx->provider;

sub event ($type, %members) {
    return "event: $type\ndata: "
        . encode_json({type => $type, %members}) . "\n\n";
}

my $CREATED = event('response.created', response => {id => 'r', model => 'm'});
my $ADDED   = event('response.output_item.added', output_index => 0,
    item => {type => 'message', id => 'i', content => []});
my $DELTA = event('response.output_text.delta', output_index => 0,
    content_index => 0, delta => 'Hel');
my $PARTIAL = {
    id => 'r', model => 'm', partial => Mojo::JSON->true,
    output => [{type => 'message', id => 'i',
        content => [{type => 'output_text', text => 'HelHel'}]}],
};

# A turn whose answer has begun with those bytes: (client, provider).
sub begun ($bytes) {
    $provider->forget->hold;
    my $wire    = $nginx->start_turn('ci');
    my $request = $provider->next_request;
    $request->begin(200, ['Content-Type' => 'text/event-stream']);
    $request->chunk($bytes) if length $bytes;
    $wire->await_head;
    $wire->await_bytes(qr/\Q$bytes\E/);
    return ($wire, $request);
}

subtest 'a client that leaves' => sub {
    for my $how (qw(close reset)) {
        my $line = $nginx->recorded(sub {
            my ($wire, $request) = begun("$CREATED$ADDED$DELTA$DELTA");
            $wire->$how;
            $request->connection->await_end;
        });
        is $line->{dropped}, 'client_disconnect', "$how: says so";
        is_deeply $line->{response}, $PARTIAL, 'as far as it came';
        is $line->{status}, 200, 'with its status';
    }
    my $line = $nginx->recorded(sub {
        my ($wire, $request) = begun('');
        $wire->close;
        $request->connection->await_end;
    });
    is_deeply [@$line{qw(dropped response status)}],
        ['client_disconnect', undef, 200], 'before the first event';
    $line = $nginx->recorded(sub {
        $provider->forget->hold;
        my $wire    = $nginx->start_turn('ci');
        my $request = $provider->next_request;
        $wire->close;
        $request->connection->await_end;
    });
    is_deeply [@$line{qw(dropped status model)}],
        ['client_disconnect', undef, 'gpt-5.1'], 'and before the head';
};

subtest 'a client that leaves after the last event' => sub {
    my $all = response_events(input => 3);
    for my $cut (0, 1, 2) {    # with or without the blank line
        my $line = $nginx->recorded(sub {
            my ($wire, $request)
                = begun(substr $all, 0, length($all) - $cut);
            $wire->close;
            $request->connection->await_end;
        });
        is_deeply [@$line{qw(dropped)}, $line->{usage}{input},
            $line->{response}{status}], [undef, 3, 'completed'],
            "has it all, $cut bytes before the end";
    }
};

subtest 'a provider that leaves' => sub {
    for my $how (qw(close reset)) {
        my $line = $nginx->recorded(sub {
            my ($wire, $request) = begun("$CREATED$ADDED$DELTA$DELTA");
            $request->connection->$how;
            $wire->await_end;
        });
        is $line->{dropped}, 'reducer_error', "$how: a stream without an end";
        is_deeply $line->{response}, $PARTIAL, 'as far as it came';
        $line = $nginx->recorded(sub {
            $provider->forget->answer(sub ($request) {
                $request->connection->$how });
            is $nginx->turn('ci')->status, 502, 'no answer at all';
        });
        is_deeply [@$line{qw(dropped status)}],
            ['upstream_no_response', undef], "$how: says so";
    }
    my $line = $nginx->recorded(sub {
        my ($wire, $request) = begun("$CREATED$ADDED$DELTA$DELTA");
        $request->last_chunk;
        $wire->response;
    });
    is $line->{dropped}, 'reducer_error', 'an end without the last event';
    $line = $nginx->recorded(sub {
        my ($wire, $request) = begun($CREATED . event('error',
            code => 'server_error', message => 'no'));
        $request->last_chunk;
        $wire->response;
    });
    is_deeply [@$line{qw(dropped)}, $line->{response}{error}{message}],
        ['reducer_error', 'no'], 'an error in the midst of it is kept';
};

subtest 'no provider' => sub {
    my $line = $nginx->recorded(sub {
        is $nginx->turn('ci', target => '/gone/v1/responses')->status, 502,
            'is answered';
    });
    is_deeply [@$line{qw(dropped status)}],
        ['upstream_no_response', undef], 'is a line';
    my @lines = $nginx->recorded(sub {
        $provider->forget->answer(sub ($request) {
            $request->reply(200, undef, response_document()) });
        is $nginx->turn('ci', target => '/again/v1/responses')->status, 200,
            'another location answers';
    }, 2);
    is_deeply [map { $_->{status} } @lines], [undef, 200], 'is two lines';
    is $lines[1]{response}{id}, 'resp_1', 'with its answer';
};

subtest 'what never went up' => sub {
    $provider->forget;
    my $opened = $provider->connections;
    my ($line, @more) = $nginx->recorded(sub {
        is $nginx->turn('limited')->status, 400, 'a model that is refused';
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(method => 'POST', target => '/v1/responses',
            headers => [Metered::bearer('ci'), 'Content-Length' => 100]));
        $wire->write('{"model":');
        $wire->close;
        is $provider->connections, $opened, 'nothing goes up';
        is $nginx->turn('ci', json => {model => 'last'})->status, 200,
            'one that does';
    });
    is $line->{model}, 'last', 'only that has a line';
    is_deeply \@more, [], 'and no other';
};

$nginx->tolerate(qr/prematurely closed|Connection refused/)->stop;
done_testing;
