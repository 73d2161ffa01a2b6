# Whether a caller may ask at all is known before its body has come: it is not
# received, nor unpacked, for one who may not.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use IO::Compress::Gzip qw(gzip);
use Metered;
use Mojo::JSON qw(encode_json);
use Wire;

my $nginx = Metered->new(clients => {
    spent => {models => ['gpt-5*'], limits => [{requests => 1, per => 'month'}]},
    slow  => {models => ['gpt-5*'], limits => [{concurrent => 2}]},
    packs => {models => ['gpt-5*'], limits => [
        {requests => 3, per => 'month'}, {tokens => 9999, per => 'month'}]},
    other => {models => ['gpt-5*'],
        limits => [{requests => 1, per => 'month', model => 'gpt-5-pro'}]},
    pro   => {limits => [{requests => 3, per => 'month'},
        {requests => 1, per => 'month', model => 'gpt-5-pro'}]},
})->serve;
my $provider = $nginx->provider;

# A POST whose body does not come.
sub begin ($id) {
    my $wire = Wire->connect($nginx->port)->expect('POST');
    return $wire->write("POST /v1/responses HTTP/1.1\r\nHost: a\r\n"
        . 'Authorization: Bearer ' . key_of($id) . "\r\n"
        . "Content-Type: application/json\r\nContent-Length: 19\r\n\r\n");
}

subtest 'a limit that is used up' => sub {
    is $nginx->turn('spent')->status, 200, 'by one request';
    $provider->requests([]);
    my $r = begin('spent')->response;
    is $r->status, 429, 'nobody waits for the body of the next';
    like $r->body, qr/usage_limit_reached/, 'which is refused for that';
    is_deeply $provider->requests, [], 'and does not go up';
    my $client = $nginx->client_of($nginx->idle, 'spent');
    is $client->{limits}[0]{current_value}, 1, 'nor is it counted';
    is $client->{limits}[0]{reserved_value}, 0, 'nor is anything set aside';
};

subtest 'requests whose bodies are on the way' => sub {
    my @open = map { begin('slow') } 1 .. 2;
    await 'both to be open', sub {
        my $client = $nginx->client_of($nginx->status, 'slow');
        return $client->{limits}[0]{current_value} == 2;
    };
    is begin('slow')->response->status, 429, 'take their places';
    $open[0]->close;
    await 'a place to be free', sub {
        my $client = $nginx->client_of($nginx->status, 'slow');
        return $client->{limits}[0]{current_value} == 1;
    };
    $open[1]->write('{"model": "gpt-5" }');
    is $open[1]->response->status, 200, 'one that comes is passed';
    is $nginx->turn('slow')->status, 200, 'and so is another';
    is $nginx->client_of($nginx->idle, 'slow')->{limits}[0]{current_value}, 0,
        'in the end, no place is taken';
};

subtest 'a limit on a model' => sub {
    is $nginx->turn('other', json => {model => 'gpt-5-pro'})->status, 200,
        'used up';
    my $wire = begin('other');
    $wire->write('{"model": "gpt-5" }');
    is $wire->response->status, 200, 'is asked when the model is known';
    is $nginx->turn('other', json => {model => 'gpt-5-pro'})->status, 429,
        'and then is in force';
};

# A body that was refused after a worker had unpacked megabytes could be sent
# again and again.
subtest 'what is packed, and refused' => sub {
    my $limits = sub {
        my $client = $nginx->client_of($nginx->idle, 'packs');
        is_deeply [map { $_->{reserved_value} } @{$client->{limits}}], [0, 0],
            'nothing is set aside';
        is $client->{totals}{requests} // 0, 0, 'it is no request';
        return [map { $_->{current_value} } @{$client->{limits}}];
    };
    my $send = sub ($status, $code, $body) {
        gzip(\$body => \my $packed);
        my $r = $nginx->turn('packs', body => $packed,
            headers => ['Content-Encoding' => 'gzip']);
        is $r->status, $status, "a $status";
        like $r->body, qr/$code/, "of $code";
    };
    $provider->requests([]);
    my $noise = join '', map { int rand 1e9 } 1 .. 10_000;
    my $large = encode_json({model => 'o3', input => [$noise, 'x' x 2e6]});
    $send->(400, 'model_not_allowed', '{"model":"o3"}');
    is_deeply $limits->(), [0, 0], 'a small one does not count';
    $send->(400, 'model_not_allowed', $large);
    is_deeply $limits->(), [1, 0], 'a large one does, in limits of requests';
    $send->(400, 'bad_request_body', "$large,");
    is_deeply $limits->(), [2, 0], 'also one that is no JSON';
    $send->(413, 'payload_too_large', encode_json({input => 'x' x 30e6}));
    is_deeply $limits->(), [3, 0], 'and one that is much larger than was sent';
    $send->(429, 'usage_limit_reached', $large);
    is_deeply $provider->requests, [], 'none of them goes up';
};

# Which it cannot be before its model is known.
subtest 'a packed body that is refused for a limit on its model' => sub {
    is $nginx->turn('pro', body => '{"model":"gpt-5-pro"}')->status, 200,
        'one passes';
    gzip(\encode_json({model => 'gpt-5-pro',
        input => [map { int rand 1e9 } 1 .. 200_000]}) => \my $packed);
    is $nginx->turn('pro', body => $packed,
        headers => ['Content-Encoding' => 'gzip'])->status, 429, 'a large one';
    my $limits = $nginx->client_of($nginx->idle, 'pro')->{limits};
    is $limits->[0]{current_value}, 2, 'counts in the other limit';
    is $limits->[0]{reserved_value}, 0, 'and nothing stays set aside';
};

$nginx->stop;
done_testing;
