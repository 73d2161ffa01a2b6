# Whether a caller may ask at all is known before its body has come: it is not
# received, nor unpacked, for one who may not.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Metered;
use Wire;

my $nginx = Metered->new(clients => {
    spent => {models => ['gpt-5*'], limits => [{requests => 1, per => 'month'}]},
    slow  => {models => ['gpt-5*'], limits => [{concurrent => 2}]},
    other => {models => ['gpt-5*'],
        limits => [{requests => 1, per => 'month', model => 'gpt-5-pro'}]},
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

$nginx->stop;
done_testing;
