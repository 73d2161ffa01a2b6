# A kept connection of another location is given up before anything is sent on
# it, and a new one is opened: what the caller sends meanwhile waits, and the
# server that it was to has not failed.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Mojo::IOLoop;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-0b7d';
my $trust    = Authority->new;
my %leaf     = map { $_ => $trust->issue($_) } qw(a.example.com b.example.com);
my $provider = provider();
my @group    = (provider(), provider());

sub provider () {
    return Provider->new(tls => {
        cert => {map { $_ => $leaf{$_}{cert} } keys %leaf},
        key  => {map { $_ => $leaf{$_}{key} } keys %leaf}});
}

# What stands before a provider: the connections, with what nginx has sent on
# each, which is passed on as soon as it does not hold.
my ($holds, @passing);
my $gate = Mojo::IOLoop->acceptor(Mojo::IOLoop->server(
    {address => '127.0.0.1'} => sub ($loop, $near, $id) {
        my $pair = {near => $near->timeout(0), seen => '', passed => 0};
        push @passing, $pair;
        $near->on(read => sub ($near, $bytes) {
            $pair->{seen} .= $bytes;
            pass_on($pair);
        });
        $near->on(close => sub { $pair->{far}->close if $pair->{far} });
        meet($pair) if !$holds;
    }));

sub meet ($pair) {
    Mojo::IOLoop->client({address => '127.0.0.1', port => $provider->port},
        sub ($loop, $error, $far) {
            die "the provider: $error" if $error;
            $pair->{far} = $far->timeout(0);
            $far->on(read => sub ($far, $bytes) { $pair->{near}->write($bytes) });
            $far->on(close => sub { $pair->{near}->close });
            pass_on($pair);
        });
    return;
}

sub pass_on ($pair) {
    return if !$pair->{far};
    $pair->{far}->write(substr $pair->{seen}, $pair->{passed});
    $pair->{passed} = length $pair->{seen};
    return;
}

my $nginx = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,POST /**;
    keystile_inject     openai;
    keystile_ssl_trusted_certificate %%CA%%;
    upstream gate  { server 127.0.0.1:%%GATE%%; keepalive 8; }
    upstream group { server %%FIRST%%; server %%SECOND%%; keepalive 8; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location = /ping { return 204; }
        location /a/ { keystile_ssl_name a.example.com;
            keystile_request_buffering off; keystile_pass https://gate; }
        location /b/ { keystile_ssl_name b.example.com;
            keystile_pass https://gate; }
        location /once/ { keystile_ssl_name a.example.com;
            keystile_next_upstream off; keystile_pass https://gate; }
        location /file/ { keystile_ssl_name a.example.com;
            client_body_in_file_only clean; keystile_pass https://gate; }
        location /group/a/ { keystile_ssl_name a.example.com;
            keystile_pass https://group; }
        location /group/b/ { keystile_ssl_name b.example.com;
            keystile_pass https://group; }
    }
CONF
    CA     => $trust->cert,
    GATE   => $gate->port,
    FIRST  => $group[0]->address,
    SECOND => $group[1]->address);
my $verdict = Verdict->new(provider => $provider, key => $KEY);

# What comes while the handshake is held, and what comes after it.
my $CHUNKED = 'Transfer-Encoding: chunked';
my $LENGTH  = 'Content-Length: 19';
my @UPLOADS = (
    ['a piece of a chunk\'s first line', $CHUNKED,
        "5\r\nhello\r\n", 'E', "\r\nand-more-words\r\n0\r\n\r\n"],
    ['a piece of a chunk', $CHUNKED,
        "5\r\nhello\r\n", "E\r\nand-more", "-words\r\n0\r\n\r\n"],
    ['the rest, in chunks', $CHUNKED,
        "5\r\nhello\r\n", "E\r\nand-more-words\r\n0\r\n\r\n", ''],
    ['a piece', $LENGTH, 'hello', 'and-more', '-words'],
    ['the rest', $LENGTH, 'hello', 'and-more-words', ''],
);
for my $case (@UPLOADS) {
    my ($name, $framing, $first, $meanwhile, $last) = @$case;
    subtest "amid a handshake: $name" => sub {
        $verdict->admitted('a connection of another location',
            request($nginx->port, target => '/b/responses'));
        my $before = @passing;
        $holds = 1;
        my $wire = Wire->connect($nginx->port)->expect('POST');
        $wire->write("POST /a/responses HTTP/1.1\r\nHost: a\r\n"
            . "$framing\r\n\r\n$first");
        await 'a new connection',
            sub { @passing > $before && length $passing[-1]{seen} };

        $wire->write($meanwhile);
        is request($nginx->port, target => '/ping')->status, 204,
            'nginx has read that';
        is @passing - $before, 1, 'there is one new connection';
        unlike $passing[-1]{seen}, qr/hello|and-more|HTTP|sk-test/,
            'and nothing in clear goes to it';

        $holds = 0;
        meet($passing[-1]);
        $wire->write($last);
        my $request = $verdict->admitted('whole', $wire->response) // return;
        is $request->body, 'helloand-more-words', 'the body';
        is $request->connection->server_name, 'a.example.com',
            'by a connection of its own';
    };
}

# It was not sent yet: this is no second try.
subtest 'where nothing is tried twice' => sub {
    for my $round (1 .. 3) {
        $verdict->admitted("$_, round $round",
            request($nginx->port, target => "/$_/responses",
                method => 'POST', body => '{}')) for qw(b once);
    }
};

# It is read again from its beginning.
subtest 'a body in a file' => sub {
    for my $round (1 .. 3) {
        $verdict->admitted("b, round $round",
            request($nginx->port, target => '/b/responses'));
        my $request = $verdict->admitted("file, round $round",
            request($nginx->port, target => '/file/responses',
                method => 'POST', body => '{"a":1}')) // last;
        is $request->body, '{"a":1}', 'is sent again';
    }
};

subtest 'the servers have not failed' => sub {
    my $ask = sub ($name) {
        return request($nginx->port, target => "/group/$name/responses");
    };
    for my $round (1 .. 3) {
        # Both at a time, so that there is a kept connection to each.
        $_->forget->hold for @group;
        my @wires = map { Wire->connect($nginx->port)->expect('GET') } 1, 2;
        $_->write("GET /group/a/responses HTTP/1.1\r\nHost: a\r\n"
            . "Connection: close\r\n\r\n") for @wires;
        await 'both', sub { @{$group[0]->requests} && @{$group[1]->requests} };
        for my $one (@group) {
            $one->requests->[0]->reply(200);
            $one->forget->answer(Provider::DEFAULT());
        }
        is $_->response->status, 200, 'a' for @wires;
        is $ask->('b')->status, 200, "b, round $round";
        is $ask->('a')->status, 200, 'and a again' for 1 .. 3;
    }
    my %kept = map { $_->connection->server_name => 1 }
        map { @{$_->requests} } @group;
    is_deeply [sort keys %kept], [sort keys %leaf], 'each by its name';
};

$nginx->stop;
done_testing;
