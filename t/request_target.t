# The request target: what is matched is what is forwarded, byte for byte, and
# what could be read in two ways is refused.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-3e09';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            keystile_admit  any;
            keystile_allow  GET /** query=*;
            keystile_allow  GET / query=*;
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
    }
CONF

my $verdict = Verdict->new(provider => $provider, key => $KEY);

sub escape ($code) { return sprintf '%%%02X', $code }

# A target as a test's name.
sub readable ($target) {
    return $target =~ s/([^\x21-\x7E])/sprintf '\\x%02x', ord $1/ger;
}

# Where a hostile piece can stand in a path.
my @PLACES = map {
    my $place = $_;
    sub ($piece) { return $place =~ s/\{\}/$piece/r }
} ('/{}', '/v1/{}', '/v1/a{}b/responses', '/{}/v1/responses?a=1');

sub placed (@pieces) {
    return map {
        my $piece = $_;
        map { $_->($piece) } @PLACES;
    } @pieces;
}

my @unreserved = map { ord } 'A' .. 'Z', 'a' .. 'z', 0 .. 9, qw(- . _ ~);
my @controls   = (0x01 .. 0x1F, 0x7F);
my @dots       = ('.', '..', '%2e', '%2E%2e', '.%2e', '%2e.');

# Refused by our module, as JSON.
my %HOSTILE = (
    'an escaped unreserved character' => [
        (map { '/v1/' . escape($_) } @unreserved),
        (map { lc '/v1/a' . escape($_) . '/responses' } @unreserved),
        placed('%72esponses', '%7e', '%7E', '%2d'),
    ],
    'an escaped separator' =>
        [placed(qw(%2F %2f %5C %5c %3B %3b %25 %252F %252e %25%32%65))],
    'an escaped control character' =>
        [(map { '/v1/' . escape($_) } @controls), placed('%0d%0a', '%7f')],
    'a dot segment' => [
        (map { ("/v1/$_", "/v1/$_/responses", "/v1/a/b/$_?a=1") } @dots),
        '/.', '/./', '/./v1', '/.?a', '/v1/a/../../v1/responses',
    ],
    'an empty segment' => [qw(
        // //v1/responses /v1//responses /v1/responses// ///v1 /v1///?a
        //evil.example.com/v1/responses /v1/a//../b
    )],
    'a backslash or semicolon' => [
        placed('\\', '\\\\', ';', ';x=1', '..;', '..\\', '.;/'),
        '/v1/..;/responses', '/v1\\..\\responses', '/v1/responses;',
    ],
    'a fragment' => [placed('#', '#f', '#/../x'), '/v1?a#b', '/v1?#', '/#?a'],
    'a byte over 0x7E' => [
        (map { ('/v1/' . chr, "/v1?a=" . chr) } 0x80, 0xA0, 0xAD, 0xFF),
        placed("\xC3\xA9", "\xE2\x80\xAE", "\xC0\xAF", "\xC0\xAE\xC0\xAE"),
    ],
    'absolute form' => [
        'http://127.0.0.1/v1/responses', 'https://127.0.0.1/v1/responses',
        'HTTP://evil.example.com/v1/responses', 'http://evil.example.com',
        'http://evil.example.com?a=1', 'http://evil.example.com:8080/v1',
        'http://localhost/', 'ftp://localhost/v1/responses',
    ],
);

# Refused by nginx's parser, or by our module where a version of nginx lets
# them pass.
my %MALFORMED = (
    'a broken escape' => [placed(
        qw(% %1 %G1 %1G %%41 %u0041 %-1 %\\x41), '%+1', '%0x')],
    'an escaped NUL'  => [placed('%00', 'a%00b', '%00.json')],
    'above the root'  => [qw(/.. /../ /../v1 /v1/../.. /%2e%2e/v1 /..%2fv1
        /v1/../../v1/responses /..;/v1)],
    'a control byte'  => [
        (map { ("/v1/" . chr, "/v1?a=" . chr) }
            0x00 .. 0x09, 0x0B, 0x0C, 0x0E .. 0x1F, 0x7F),
        '/v1/a b', '/v1?a=b c', '/v1/ /responses',
    ],
    'no origin form'  => [
        '*', 'v1/responses', '?a=1', '#', '.', '..', '\\v1', '%2Fv1',
        'localhost:80', '://localhost/v1', 'http:/v1', 'http:v1',
        'http:///v1', 'http://user@localhost/v1', "\xC3\xA9",
    ],
);

my $count = 0;

for my $kind (sort keys %HOSTILE) {
    subtest $kind => sub {
        for my $target (@{$HOSTILE{$kind}}) {
            my $r = request($nginx->port, target => $target);
            $verdict->refused(readable($target), $r,
                400, 'bad_request_target');
            $count++;
        }
    };
}

for my $kind (sort keys %MALFORMED) {
    subtest $kind => sub {
        for my $target (@{$MALFORMED{$kind}}) {
            my $r    = request($nginx->port, target => $target);
            my $ours = $r->json ? 'bad_request_target' : undef;
            $verdict->refused(readable($target), $r, 400, $ours);
            $count++;
        }
    };
}

cmp_ok $count, '>=', 200, "$count hostile targets";

my @LEGAL = (
    qw(/ /v1 /v1/ /v1/responses /v1/responses/ /v1/a.b /v1/.a /v1/a. /v1/...
        /v1/a..b /v1/..a /.well-known/x /v1/~a /v1/a-b_c
        /v1/a%20b /v1/%C3%A9 /v1/%c3%a9 /v1/%E2%82%ac /v1/%80 /v1/%ff
        /v1/%3F /v1/%3f%23 /v1/%22%3C%3E /v1/%5B1%5D /v1/%40 /v1/a%3Ab
        /v1/%26%3D%2B%2C%24 /v1/%7B%7D%7C%5E%60
        /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse
        /openai/deployments/gpt-5/responses?api-version=2025-04-01-preview
        /v1/models?client_version=0.169.0 /v1/a? /v1/a?? /v1/a?b?c /?
        /v1/a?b=%2F..%2f&c=%41 /v1/a?b=//../. /v1/a?b=;c /v1/a?b=\\c
        /v1/a?b=%zz /v1/a?b=% /v1/a?b=%00 /v1/a?%41=1 /v1/a?b=http://x/y
        /v1/a?b&b&b= /v1/a?&& /v1/a?=),
    (map { "/v1/a${_}b" } split //, q{!"$&'()*+,:<=>@[]^`{|}~}),
    '/v1/a?' . join('', map { chr } grep { chr ne '#' } 0x21 .. 0x7E),
    '/v1/' . 'x' x 6000,
    '/v1/a?b=' . 'y' x 6000,
);

subtest 'legal targets, byte for byte' => sub {
    for my $target (@LEGAL) {
        my $name    = substr $target, 0, 80;
        my $request = $verdict->admitted($name,
            request($nginx->port, target => $target)) or next;
        is $request->target, $target, 'is what went up';
    }
};

$nginx->stop;
done_testing;
