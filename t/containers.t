# conf-examples/compose.yaml and kubernetes.yaml: well-formed, right in what they
# ask of a container, and with a configuration that works. t/package/image.t
# runs the image itself with them. And what may be a secret, by its name, is left
# out of the image as it is of the source package.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Containers;
use Mojo::File qw(path);
use Nginx;
use Provider;
use Wire;

my $KEY       = 'sk-test-provider-5b3c';
my $CALLER    = 'sk-test-caller-0e94';
my $OWN       = 'sk-test-own-77d2';
my $authority = Authority->new;

# Where the image has a place for what is mounted.
my %PLACES = map { $_ => 1 }
    qw(/etc/keystile /etc/nginx/conf.d /run /run/secrets /var/lib/nginx);

# The site, but for what must differ in a test.
sub changed ($example) {
    my $site = $example->{site};
    $site =~ s/underscores_in_headers +on;// or die 'underscores';
    $site =~ s/(?<=listen) +$example->{port};/ 127.0.0.1:%%PORT%%;/
        or die 'listen';
    $site =~ s/(?<=server) +api\.openai\.com:443;/ %%PROVIDER%%;/
        or die 'server';
    $site =~ s{/var/log/nginx/}{%%DIR%%/} or die 'access_log';
    while (my ($name, $path) = each %{$example->{secrets}}) {
        $site =~ s/\Q$path\E/%%DIR%%\/$name/ or die $name;
    }
    return "keystile_ssl_trusted_certificate %%CA%%;\n$site";
}

for my $name (qw(compose.yaml kubernetes.yaml)) {
    subtest $name => sub {
        my $example = container_example($name);
        is_deeply [grep { !$PLACES{$_} } @{$example->{tmpfs}},
            map { s{/[^/]+\z}{}r } $example->{target},
            values %{$example->{secrets}}], [], 'places that there are';

        my $provider
            = Provider->new(tls => $authority->issue('api.openai.com'));
        my $nginx = Nginx->new;
        $nginx->key_file('openai.key', $KEY);
        $nginx->client_file({clients => [{id => 'ada', keys => [$CALLER]}]});
        $nginx->start(changed($example), PROVIDER => $provider->address,
            CA => $authority->cert);
        my @request = (method => 'POST', target => '/v1/responses',
            body => '{"model":"gpt-5"}');
        is request($nginx->port, @request,
            headers => [Authorization => "Bearer $CALLER"])->status, 200,
            'a request';
        is $provider->last->header('authorization'), "Bearer $KEY",
            'with the key';
        is request($nginx->port, @request)->status, 401, 'not any request';
        is $provider->connections, 1, 'the provider hears nothing of it';
        request($nginx->port, target => "/v1/responses?api_key=$OWN");
        like $nginx->logged_as(qr{"GET /v1/responses" 40}),
            qr/ decision=\w+ /, 'the log says why';
        unlike join("\n", $nginx->access_log), qr/\Q$OWN\E/,
            'and has no key that someone sent';
        is request($nginx->port, target => $_)->status, 200, "$_ is answered"
            for @{$example->{probes} // []};
        $nginx->stop;
    };
}

# Names of files, in any directory.
my $root = path("$FindBin::Bin/..");
my @not_packed
    = $root->child('debian/make-package')->slurp =~ /! -name '?([^'\s]+)/g;
my @not_sent = $root->child('.dockerignore')->slurp =~ m{^\*\*/(\S+)$}mg;
cmp_ok scalar @not_packed, '>', 3, 'names that may be secrets';
is_deeply [sort @not_sent], [sort @not_packed],
    '.dockerignore and make-package leave out the same';

done_testing;
