# conf-examples/several-keys.conf, as it stands: each key takes over from the
# one before it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Example;
use Mojo::File qw(path);
use Mojo::Util qw(b64_encode);
use Provider;
use Wire;

my $CALLER    = 'sk-test-caller-3e18';
my %KEY       = map { $_ => "sk-test-$_-70c4ab" } qw(first second reserve);
my $authority = Authority->new;
my $provider  = Provider->new(tls => $authority->issue('api.openai.com'));
my $nginx     = Example->new(
    authority => $authority, key => 'sk-test-any-01', callers => [$CALLER]);
my $text = path("$FindBin::Bin/../conf-examples/several-keys.conf")->slurp;
$nginx->write_files($text);
$nginx->key_file("$_.key", $KEY{$_}) for sort keys %KEY;
$nginx->file('keystile-status.htpasswd', "prometheus:{PLAIN}of-a-test\n");
my @values = (PROVIDER => $provider->address, CA => $authority->cert);
my ($exit, $said) = $nginx->test_config($text, @values);
is $exit, 0, 'nginx -t';
unlike $said, qr/\[(?:warn|error|crit|alert|emerg)\]/, 'without a word';
$nginx->start($text, @values);

my %bad;    # key => what becomes of it: [status, headers, body]
$provider->answer(sub ($request) {
    my $key = $request->header('authorization') =~ s/^Bearer //r;
    $request->reply(@{$bad{$key} // [200]});
});

# The status, and the keys that the provider has got.
sub ask () {
    $provider->requests([]);
    my $r = request($nginx->port, method => 'POST', target => '/v1/responses',
        headers => [Authorization => "Bearer $CALLER"],
        body    => '{"model":"gpt-5","input":"hello"}');
    my %name = reverse %KEY;
    return join ' ', $r->status, map {
        $name{$_->header('authorization') =~ s/^Bearer //r}
    } @{$provider->requests};
}

is ask(), '200 first', 'the first key';
$bad{$KEY{first}} = [429, ['Retry-After' => 600]];
is ask(), '200 first second', 'which reaches its limit';
is ask(), '200 second',       'and is left alone';
$bad{$KEY{second}} = [403, [], '{"error":{"code":"account_deactivated",'
        . '"message":"invalid_api_key"}}'];
is ask(), '200 second reserve', 'the second is closed';
$bad{$KEY{reserve}} = [401];
is ask(), '503 reserve', 'the reserve is revoked';
is ask(), '503',         'and that is all';

my $health = request($nginx->port, target => '/healthz')->json;
is_deeply [map { "$_->{name} $_->{status}" } @{$health->{credentials}}],
    [map { "$_ cools_down" } qw(first second reserve)], 'as health tells';
my @metrics = (target => '/metrics');
is request($nginx->port, @metrics)->status, 401, 'metrics are not for agents';
like request($nginx->port, @metrics, headers => [Authorization => 'Basic '
            . b64_encode('prometheus:of-a-test', '')])->body,
    qr/^keystile_credential_refusals_total\{credential="first",
        reason="rate_limited"\}\ 1$/mx, 'and metrics';
like +($nginx->access_log)[1],
    qr/credential=second upstream="429, 200"/, 'and the log';

$nginx->stop;
done_testing;
