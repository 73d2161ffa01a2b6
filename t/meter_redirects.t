# What is counted, limited and allowed when one request comes by several
# locations: the one that judges last has the last word, and what an earlier
# one set aside or sent is neither lost nor forgotten.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Golden;
use Metered;

my $nginx = Metered->new(
    clients => {
        once    => {limits => [{requests => 1, per => 'month'}]},
        leak    => {limits => [{concurrent => 1},
            {tokens => 1_000_000, per => 'month'}]},
        timeout => {limits => [{requests => 1, per => 'month'},
            {tokens => 1_000_000, per => 'month'}]},
        unsent  => {limits => [{requests => 1, per => 'month'}]},
        models  => {models => ['gpt-5*']},
        tried   => {limits => [{requests => 1, per => 'month'}]},
    },
    locations => <<'CONF',
        location /any/ {
            keystile_admit any;
            keystile_pass  http://%%GONE%%;
            error_page     502 = @team;
        }
        location @team { keystile_pass http://%%PROVIDER%%; }
        location /broken/ {
            keystile_admit any;
            keystile_pass  http://%%PROVIDER%%;
            error_page     502 = @gone;
        }

        location /leak/ {
            keystile_pass http://%%GONE%%;
            error_page    502 = @narrow;
        }
        location @narrow {
            keystile_allow POST /elsewhere;
            keystile_pass  http://%%PROVIDER%%;
        }

        location /timeout/ {
            keystile_read_timeout 300ms;
            keystile_pass http://%%PROVIDER%%;
            error_page    504 = @gone;
        }
        location @gone { keystile_pass http://%%GONE%%; }

        location /get/ { error_page 403 =200 /v1/responses; return 403; }
        location /try/ { try_files /nothing @unbuffered; }
        location /rewritten/ { rewrite ^/rewritten(/.*) /v1$1 last; }
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location @unbuffered {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
CONF
);
$nginx->serve(GONE => Provider->new->close->address);
my $provider = $nginx->provider;

sub answers () {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(input => 5, output => 5));
    });
    return;
}

# The statuses of turns, each behind the end of the one before.
sub statuses ($id, $count, $target) {
    return join ' ', map {
        my $r = $nginx->turn($id, target => $target);
        $nginx->idle;
        $r->status;
    } 1 .. $count;
}

# The first location admitted anyone, who has no limits; and the meter that it
# had made was kept in the second, where the caller was a client with limits.
subtest 'from any caller to a client' => sub {
    answers();
    is statuses('once', 3, '/any/x'), '200 429 429',
        'the limits of the client hold';
    is $nginx->totals('once')->{requests}, 1, 'whose turn it is';
};

# What the first location had sent was taken for the client's, though nothing of
# it went up in the second.
subtest 'sent for any caller, and not for a client' => sub {
    $provider->forget->answer(sub ($request) { $request->connection->close });
    is statuses('unsent', 1, '/broken/x'), '502', 'neither answers';
    is scalar @{$provider->requests}, 1, 'though the first was asked';
    my $client = $nginx->client_of($nginx->idle, 'unsent');
    is $client->{totals}{requests}, 0, 'the client has asked none';
    is $client->{limits}[0]{current_value}, 0, 'nor is it charged';
};

# What the first location had set aside was given back only to those whom the
# second let pass: a refusal there kept it for ever.
subtest 'refused by a later location' => sub {
    answers();
    is statuses('leak', 1, '/leak/x'), '403', 'refused';
    my $limits = $nginx->client_of($nginx->idle, 'leak')->{limits};
    is $limits->[0]{current_value}, 0, 'it is no longer open';
    is $limits->[1]{reserved_value}, 0, 'and nothing is set aside for it';
    is $limits->[1]{current_value}, 0, 'nor charged: nothing was sent';
    is statuses('leak', 2, '/v1/responses'), '200 200', 'others are let in';
};

# A turn that was sent, and timed out, was forgotten when the location that it
# was redirected to could not send it.
subtest 'a timeout, and then no connection' => sub {
    $provider->forget->hold;
    is statuses('timeout', 1, '/timeout/x'), '502', 'neither answers';
    is scalar @{$provider->requests}, 1, 'though the first was asked';
    my $client = $nginx->client_of($nginx->idle, 'timeout');
    is $client->{totals}{requests}, 1, 'it is counted';
    is $client->{limits}[0]{current_value}, 1, 'by the limits';
    cmp_ok $client->{limits}[1]{current_value}, '>', 0, 'with its tokens';
    is $client->{limits}[1]{reserved_value}, 0, 'of which none are set aside';
    answers();
    is statuses('timeout', 1, '/v1/responses'), '429', 'there was but one';
};

# Whatever way a body takes, it is looked at before it goes up.
subtest 'another model' => sub {
    my $bad     = '{"model":"o3"}';
    my $chunked = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $bad, $bad;
    for my $path (qw(get try rewritten unbuffered)) {
        answers();
        for my $case ([POST => $bad], [PUT => $bad],
            [POST => $chunked, 'Transfer-Encoding' => 'chunked']) {
            my ($method, $body, @headers) = @$case;
            my $r = $nginx->call('models', method => $method, body => $body,
                target => "/$path/responses", headers => [@headers]);
            like $r->status // '', qr/\A4\d\d\z/, "/$path, $method @headers";
        }
        is_deeply $provider->requests, [], "/$path: none goes up";
        is $nginx->turn('models', target => "/$path/responses")->status, 200,
            'one that is allowed does' if $path ne 'get';
    }
};

subtest 'the limits behind try_files' => sub {
    answers();
    is statuses('tried', 2, '/try/x'), '200 429', 'hold';
};

$nginx->stop;
done_testing;
