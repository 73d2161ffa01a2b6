# "gunzip on" unpacks a reply of ours where it would one of proxy_pass: for a
# client that cannot, and for no other.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Compress::Zlib ();
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-7a3c';
my $provider = Provider->new;
my $nginx    = Nginx->new;
plan skip_all => 'this nginx has no gunzip module'
    if !$nginx->is_built_with('http_gunzip_module');

$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit      any;
    keystile_allow      GET,HEAD,POST /**;
    keystile_inject     openai;
    gunzip              on;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /ours/ { keystile_pass http://%%PROVIDER%%; }
        location /theirs/ {
            proxy_http_version 1.1;
            proxy_pass http://%%PROVIDER%%;
        }
        location /off/ {
            gunzip off;
            keystile_pass http://%%PROVIDER%%;
        }
    }
CONF

my $PLAIN  = '{"hello":"' . 'there ' x 1000 . '"}';
my $PACKED = Compress::Zlib::memGzip($PLAIN);
my %REPLIES = (
    'with a length' => sub ($request) {
        $request->reply(200, ['Content-Type' => 'application/json',
            'Content-Encoding' => 'gzip'], $PACKED);
    },
    'in chunks' => sub ($request) {
        $request->begin(200, ['Content-Type' => 'application/json',
            'Content-Encoding' => 'gzip']);
        $request->chunk($_) for unpack '(a10)*', $PACKED;
        $request->last_chunk;
    },
    'an event stream' => sub ($request) {
        $request->begin(200, ['Content-Type' => 'text/event-stream',
            'Content-Encoding' => 'gzip']);
        $request->chunk($PACKED)->last_chunk;
    },
    'an error' => sub ($request) {
        $request->reply(429, ['Content-Type' => 'application/json',
            'Content-Encoding' => 'gzip'], $PACKED);
    },
    'not packed' => sub ($request) { $request->reply(200, [], $PLAIN) },
    'another coding' => sub ($request) {
        $request->reply(200, ['Content-Encoding' => 'br'], $PACKED);
    },
);

sub seen ($place, $reply, @headers) {
    $provider->forget->answer($REPLIES{$reply});
    my $r = request($nginx->port,
        target => "/$place/a", headers => \@headers);
    ok $r->complete, "$place: whole";
    return {
        status   => $r->status,
        encoding => $r->header('content-encoding') // 'none',
        body     => $r->body,
    };
}

my @ACCEPTS = (
    ['Accept-Encoding' => 'gzip'],
    ['Accept-Encoding' => 'gzip, deflate, br, zstd'],
    ['Accept-Encoding' => 'identity'],
    ['Accept-Encoding' => 'gzip;q=0'],
    [],
);
my $unpacked;
for my $reply (sort keys %REPLIES) {
    for my $accept (@ACCEPTS) {
        my $name   = "$reply, " . ($accept->[1] // 'no Accept-Encoding');
        my $ours   = seen('ours', $reply, @$accept);
        my $theirs = seen('theirs', $reply, @$accept);
        is_deeply $ours, $theirs, $name;
        $unpacked++ if $theirs->{body} eq $PLAIN && $reply ne 'not packed';
        my $can = ($accept->[1] // '') =~ /gzip(?!;q=0)/;
        is $ours->{encoding} . ($ours->{body} eq $PACKED ? ' packed' : ''),
            'gzip packed', 'as the provider sent it'
            if $can && $reply !~ /not packed|another/;
        is $ours->{body}, $PLAIN, 'as it is' if $reply eq 'not packed';
    }
    my $off = seen('off', $reply);
    is $off->{body}, $PACKED, 'off: as the provider sent it'
        if $reply ne 'not packed';
}
ok $unpacked, 'gunzip is at work';

$nginx->stop;
done_testing;
