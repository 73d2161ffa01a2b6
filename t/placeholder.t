# Locations without client keys: placeholders and anyone, and what becomes of
# the credentials that come all the same.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-9d31';
my $AGENT    = 'sk-test-placeholder-agent';
my $OTHER    = 'sk-test-placeholder-other';
my $FOREIGN  = 'sk-test-foreign';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential openai %%DIR%%/openai.key;
    keystile_inject     openai;
    keystile_allow      GET /*/responses;

    server {
        listen 127.0.0.1:%%PORT%%;

        location /placeholder/ {
            keystile_admit placeholder sk-test-placeholder-agent
                                       sk-test-placeholder-other;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /placeholder-reject/ {
            keystile_admit        placeholder sk-test-placeholder-agent;
            keystile_foreign_keys reject;
            keystile_pass         http://%%PROVIDER%%;
        }
        location /any/ {
            keystile_admit any;
            keystile_pass  http://%%PROVIDER%%;
        }
        location /any-reject/ {
            keystile_admit        any;
            keystile_foreign_keys reject;
            keystile_pass         http://%%PROVIDER%%;
        }
    }
CONF

my $verdict = Verdict->new(
    provider => $provider,
    key      => $KEY,
    secrets  => [$AGENT, $OTHER, $FOREIGN]);

sub call ($location, @headers) {
    return request($nginx->port,
        target => "/$location/responses", headers => \@headers);
}

my @REFUSAL = (401, 'invalid_api_key');
my $MISSING
    = qr/\AMissing API key in Authorization header or x-api-key header\z/;
my @CREDENTIALS = ('Authorization', 'X-Api-Key', 'Api-Key', 'X-Goog-Api-Key',
    'OpenAI-Api-Key', 'Proxy-Authorization', 'x_api_key', 'API_KEY');

subtest 'placeholders' => sub {
    for my $location (qw(placeholder placeholder-reject)) {
        $verdict->admitted("$location: as bearer",
            call($location, Authorization => "Bearer $AGENT"));
        $verdict->admitted("$location: as x-api-key",
            call($location, 'X-Api-Key' => $AGENT));
        $verdict->admitted("$location: in both",
            call($location, Authorization => "bearer $AGENT",
                'X-Api-Key' => $AGENT));
        $verdict->refused("$location: none", call($location), @REFUSAL,
            $MISSING);
    }
    $verdict->admitted('the other one',
        call('placeholder', 'X-Api-Key' => $OTHER));
    $verdict->refused("$_ is none",
        call('placeholder', 'X-Api-Key' => $_), @REFUSAL)
        for $FOREIGN, "${AGENT}x", uc $AGENT, substr $AGENT, 1;
    $verdict->refused('the key headers twice',
        call('placeholder', ('X-Api-Key' => $AGENT) x 2),
        400, 'duplicate_key_header');
};

subtest 'a foreign credential next to a placeholder' => sub {
    for my $name (@CREDENTIALS) {
        my $carrier = $name eq 'X-Api-Key' ? 'Authorization' : 'X-Api-Key';
        my @sent    = ($carrier => $carrier eq 'Authorization'
            ? "Bearer $AGENT" : $AGENT, $name => "Bearer $FOREIGN");
        $verdict->admitted("$name is dropped", call('placeholder', @sent));
        $verdict->refused("$name is refused",
            call('placeholder-reject', @sent), 403, 'foreign_credential');
    }
};

subtest 'anyone' => sub {
    $verdict->admitted("$_: without a key", call($_)) for qw(any any-reject);
    for my $name (@CREDENTIALS) {
        my @sent = ($name => "Bearer $FOREIGN");
        $verdict->admitted("$name is dropped", call('any', @sent));
        $verdict->refused("$name is refused", call('any-reject', @sent),
            403, 'foreign_credential');
    }
    $verdict->refused('Basic is a credential too',
        call('any-reject', Authorization => 'Basic Zm9vOmJhcg=='),
        403, 'foreign_credential');
};

$nginx->stop;
done_testing;
