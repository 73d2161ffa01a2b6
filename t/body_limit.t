# The limit of a request body: 128m where no level of the configuration has
# client_max_body_size, and what is written where one has.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-77d1';
my $MB       = 1_048_576;
my $provider = Provider->new;

my $BROKER = <<'CONF';
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      POST /** query=if;
    keystile_inject     openai;
CONF

sub broker ($http) {
    my $nginx = Nginx->new;
    $nginx->key_file('openai.key', $KEY);
    $nginx->start($BROKER . $http, PROVIDER => $provider->address);
    return $nginx;
}

my $nginx = broker(<<'CONF');
    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /unbuffered/ {
            keystile_request_buffering off;
            keystile_pass http://%%PROVIDER%%;
        }
        location /if/ {
            if ($arg_if) { set $some thing; }
            keystile_pass http://%%PROVIDER%%;
        }
        location /outer/ {
            location /outer/inner/ { keystile_pass http://%%PROVIDER%%; }
            keystile_pass http://%%PROVIDER%%;
        }
        location /empty/ {
            location /empty/inner/ { keystile_pass http://%%PROVIDER%%; }
        }
        location /limited/ {
            client_max_body_size 2m;
            keystile_pass http://%%PROVIDER%%;
            location /limited/inner/ { keystile_pass http://%%PROVIDER%%; }
            location /limited/more/ {
                client_max_body_size 3m;
                keystile_pass http://%%PROVIDER%%;
            }
        }
        location /default/ {
            client_max_body_size 1m;
            keystile_pass http://%%PROVIDER%%;
        }
        location /unlimited/ {
            client_max_body_size 0;
            keystile_pass http://%%PROVIDER%%;
        }
        location /plain/ { proxy_pass http://%%PROVIDER%%; }
    }
    server {
        listen 127.0.0.1:%%PORT_2%%;
        client_max_body_size 1m;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /if/ {
            if ($arg_if) { set $some thing; }
            keystile_pass http://%%PROVIDER%%;
        }
        location /more/ {
            client_max_body_size 2m;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF
my $limited = broker(<<'CONF');
    client_max_body_size 1m;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ { keystile_pass http://%%PROVIDER%%; }
        location /more/ {
            client_max_body_size 2m;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF


# Whether nginx would take a body of that length: it says 100, or 413.
sub status_for ($port, $target, $length) {
    $provider->forget->hold;
    my $wire = Wire->connect($port);
    $wire->write(compose(method => 'POST', target => $target, headers => [
        'Content-Length' => $length, Expect => '100-continue']));
    await 'an answer', sub { $wire->received =~ m{\AHTTP/1.1 (?:100|413) } };
    return substr $wire->received, 9, 3;
}

my ($first, $second, $other)
    = ($nginx->port, $nginx->port('_2'), $limited->port);
my @LIMITS = (
    [$first,  '/v1/responses',            128],
    [$first,  '/unbuffered/responses',    128],
    [$first,  '/if/responses',            128],
    [$first,  '/if/responses?if=1',       128],
    [$first,  '/outer/responses',         128],
    [$first,  '/outer/inner/responses',   128],
    [$first,  '/empty/inner/responses',   128],
    [$first,  '/limited/responses',       2],
    [$first,  '/limited/inner/responses', 2],
    [$first,  '/limited/more/responses',  3],
    [$first,  '/default/responses',       1],
    [$first,  '/plain/',                  1],
    [$second, '/v1/responses',            1],
    [$second, '/if/responses?if=1',       1],
    [$second, '/more/responses',          2],
    [$other,  '/v1/responses',            1],
    [$other,  '/more/responses',          2],
);
for my $limit (@LIMITS) {
    my ($port, $target, $size) = @$limit;
    is status_for($port, $target, $size * $MB), 100, "$target takes ${size}m";
    is status_for($port, $target, $size * $MB + 1), 413, 'and not a byte more';
}
is status_for($first, '/unlimited/responses', 1 << 40), 100, 'unlimited';

$provider->forget;
my $verdict = Verdict->new(provider => $provider, key => $KEY);
my %post    = (method => 'POST', target => '/v1/responses');

subtest 'bodies' => sub {
    my $r = request($first, %post, body => 'x' x (17 * $MB));
    my $request = $verdict->admitted('17 MB', $r);
    is length $request->body, 17 * $MB, 'arrive whole';

    $verdict->refused('128m and a byte, of which none was sent',
        request($first, %post, headers => ['Content-Length' => 134_217_729]),
        413, 'payload_too_large');
    $verdict->refused('a body as large, of which a part was sent',
        request($first, %post, body => 'x' x 100_000,
            headers => ['Content-Length' => 134_217_729]),
        413, 'payload_too_large');

    my $chunk = sprintf "%x\r\n%s\r\n", $MB, 'x' x $MB;
    my @chunked = (headers => ['Transfer-Encoding' => 'chunked']);
    $verdict->admitted('2m in chunks', request($first, %post, @chunked,
        target => '/limited/responses', body => $chunk x 2 . "0\r\n\r\n"));
    $verdict->refused('a byte more in chunks', request($first, %post, @chunked,
            target => '/limited/responses',
            body   => $chunk x 2 . "1\r\nx\r\n0\r\n\r\n"),
        413, 'payload_too_large');
};

$nginx->stop;
$limited->stop;
done_testing;
