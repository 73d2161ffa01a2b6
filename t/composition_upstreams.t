# conf-examples/composition: keystile with nginx's ways to choose an upstream.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Composition;
use Example;
use Mojo::File qw(path);
use Nginx;
use Provider;
use Verdict;
use Wire;

my $authority = Authority->new;
my $PATH      = '/v1/responses';
my $TRIES     = 40;

sub asks ($nginx, $caller, %more) {
    return request($nginx->port, method => 'POST', target => $PATH,
        body => '{"model":"m"}', headers =>
            [Authorization => 'Bearer ' . caller_key($caller)], %more);
}

# How many requests each of these has got since it was last asked.
sub news (@providers) {
    settle;
    return map {
        my $before = $_->{asked} // 0;
        ($_->{asked} = @{$_->requests}) - $before;
    } @providers;
}

subtest 'split_clients: always the same for a caller' => sub {
    my %names = (openai => 'api.openai.com', canary => 'llm.example.net');
    my %keys  = (openai => KEY, canary => 'sk-test-canary-2e5f');
    my %pools = map {
        $_ => Provider->new(tls => $authority->issue($names{$_}))
    } keys %names;
    my %verdicts = map {
        $_ => Verdict->new(provider => $pools{$_}, key => $keys{$_},
            secrets => [map { caller_key($_) } 1 .. $TRIES])
    } keys %pools;
    my $nginx = compose_nginx('split-clients.conf', $authority,
        PROVIDER => $pools{openai}->address,
        'llm.example.net:443' => $pools{canary}->address,
        'canary.key'          => 'other.key');
    $nginx->key_file('other.key', $keys{canary});
    $nginx->client_file({clients => [
        map { {id => "caller-$_", keys => [caller_key($_)]} } 1 .. $TRIES]});
    is $nginx->reload, '', 'with many callers';

    my %share;
    for my $caller (1 .. $TRIES) {
        my %first = seen(\%pools, sub { asks($nginx, $caller) });
        is keys %first, 1, "caller $caller: one upstream";
        my ($pool) = keys %first;
        $share{$pool}++;
        $verdicts{$_}->_count for keys %verdicts;
        my $request = $verdicts{$pool}->admitted('the same again',
            asks($nginx, $caller));
        is $request->target, $PATH, 'the path that was sent';
        is $request->body, '{"model":"m"}', 'the body';
        is $request->header('host'), $names{$pool}, 'its name';
        is $request->connection->server_name, $names{$pool}, 'in TLS, too';
    }
    cmp_ok $share{canary}, '>', 0, 'some callers are of the small part';
    cmp_ok $share{openai}, '>', $share{canary}, 'most are not';

    my %refused = (
        'an unknown key' => [401, asks($nginx, 'unknown')],
        'another path'   => [403, asks($nginx, 1, target => '/v1/models')],
        'the other location' => [404, asks($nginx, 1, target => '/canary')],
    );
    for my $name (sort keys %refused) {
        my ($status, $answer) = @{$refused{$name}};
        $_->refused($name, $answer, $status) for values %verdicts;
    }
    $nginx->stop;
};

# Which of these got a request while that was done.
sub seen ($pools, $code) {
    news(values %$pools);
    $code->();
    my %seen = map { $_ => (news($pools->{$_}))[0] } keys %$pools;
    return map { $seen{$_} ? ($_ => 1) : () } keys %seen;
}

sub starts_two (@providers) {
    return compose_nginx('two-providers.conf', $authority,
        PROVIDER                   => $providers[0]->address,
        'models-2.example.com:443' => $providers[1]->address);
}

sub two_providers () {
    my $leaf = $authority->issue('models.example.com');
    return map { Provider->new(tls => $leaf) } 1 .. 2;
}

subtest 'upstream: both are asked' => sub {
    my @providers = two_providers();
    my $nginx     = starts_two(@providers);
    is asks($nginx, 'ada')->status, 200, "request $_" for 1 .. 10;
    is_deeply [sort { $a <=> $b } news(@providers)], [5, 5], 'in turn';
    for my $request (map { @{$_->requests} } @providers) {
        is $request->header('authorization'), 'Bearer ' . KEY, 'with the key';
        is $request->header('host'), 'models.example.com', 'by that name';
    }
    $nginx->stop;
};

subtest 'upstream: one takes no connections' => sub {
    my @providers = two_providers();
    my $nginx     = starts_two(@providers);
    $providers[0]->close;
    is asks($nginx, 'ada')->status, 200, "request $_" for 1 .. 10;
    is_deeply [news(@providers)], [0, 10], 'the other is asked';
    $providers[1]->close;
    $_->close for grep { !$_->closed } map { @{$_->streams} } @providers;
    my $answer = asks($nginx, 'ada');
    is $answer->status, 502, 'and if none does: 502';
    is $answer->json->{error}{code}, 'upstream_unavailable', 'as JSON';
    $nginx->stop;
};

my %requests = (POST => [1], GET => [2, target => '/v1/models',
    body => undef]);
for my $how (qw(reset close)) {
    for my $method (sort keys %requests) {
        my ($tries, @request) = @{$requests{$method}};
        subtest "upstream: one breaks after it got a $method: $how" => sub {
            my @providers = two_providers();
            my $nginx     = starts_two(@providers);
            $_->answer(sub ($request) { $request->connection->$how })
                for @providers;
            my $answer = asks($nginx, 'ada', method => $method, @request);
            is $answer->status, 502, 'a 502';
            is $answer->json->{error}{code}, 'upstream_unavailable', 'as JSON';
            my @news = news(@providers);
            is $news[0] + $news[1], $tries, "asked: $tries";
            $nginx->stop;
        };
    }
}

subtest 'error_page: to another provider, whatever became of the first' => sub {
    my @providers = map { Provider->new } 1 .. 2;
    my $nginx     = Nginx->new;
    $nginx->key_file("$_.key", "sk-test-provider-$_") for 1 .. 2;
    $nginx->client_file({clients => [
        {id => 'ada', keys => [caller_key('ada')]}]});
    my %addresses = map { ("P$_" => $providers[$_ - 1]->address) } 1, 2;
    $nginx->start(<<'CONF', %addresses);
        keystile_credential  one   %%DIR%%/1.key;
        keystile_credential  two   %%DIR%%/2.key;
        keystile_client_keys team  %%DIR%%/clients.json;
        keystile_admit       team;
        keystile_allow       POST  /v1/responses;

        server {
            listen 127.0.0.1:%%PORT%%;

            location / {
                error_page       502 = @second;
                keystile_inject  one;
                keystile_pass    http://%%P1%%;
            }

            location @second {
                keystile_inject  two;
                keystile_pass    http://%%P2%%;
            }
        }
CONF
    is asks($nginx, 'ada')->status, 200, 'the first';
    is_deeply [news(@providers)], [1, 0], 'is asked';
    $providers[0]->answer(sub ($request) { $request->connection->reset });
    is asks($nginx, 'ada')->status, 200, 'the second';
    is_deeply [news(@providers)], [1, 1], 'is asked, after the first was';
    is $providers[1]->last->body, '{"model":"m"}', 'with the body';
    is $providers[1]->last->header('authorization'),
        'Bearer sk-test-provider-2', 'and its own key';
    $nginx->stop;
};

subtest 'other ways to another location' => sub {
    my @providers = map { Provider->new } 1 .. 2;
    my %addresses = map { ("P$_" => $providers[$_ - 1]->address) } 1, 2;
    my $nginx     = Nginx->new;
    $nginx->key_file('openai.key', KEY);
    $nginx->client_file({clients => [
        map { {id => $_, keys => [caller_key($_)]} } qw(ada grace)]});
    $nginx->start(<<'CONF', %addresses);
        keystile_credential  openai %%DIR%%/openai.key;
        keystile_client_keys team   %%DIR%%/clients.json;
        keystile_admit       team;
        keystile_inject      openai;
        keystile_allow       POST  /*/responses;

        map $keystile_client $pool {
            grace    second;
            default  first;
        }

        server {
            listen 127.0.0.1:%%PORT%%;

            location /error_page/ {
                if ($pool = second) {
                    return 418;
                }
                error_page     418 = @second;
                keystile_pass  http://%%P1%%;
            }

            location /try_files/ {
                try_files      "" @$pool;
                keystile_pass  http://%%P1%%;
            }

            location @first {
                keystile_pass  http://%%P1%%;
            }

            location @second {
                keystile_pass  http://%%P2%%;
            }
        }
CONF
    for my $how (qw(error_page try_files)) {
        my @target = (target => "/$how/responses");
        is asks($nginx, 'ada', @target)->status, 200, "$how: one caller";
        is_deeply [news(@providers)], [1, 0], 'stays';
        is asks($nginx, 'grace', @target)->status, 200, 'another';
        is_deeply [news(@providers)], [0, 1], 'goes elsewhere';
        my $request = $providers[1]->last;
        is $request->target, $target[1], 'with the path that was sent';
        is $request->body, '{"model":"m"}', 'and the body';
        is asks($nginx, 'nobody', @target)->status, 401, 'nobody';
        is asks($nginx, 'grace', target => "/$how/other")->status, 403,
            'another path';
        is_deeply [news(@providers)], [0, 0], 'goes nowhere';
    }
    $nginx->stop;
};

is_deeply [sort(composition_files())],
    [sort map { "$_.conf" } qw(auth-request behind-a-proxy burst-limits
        client-certificates split-clients two-providers)],
    'every example is run, here and in composition.t';

done_testing;
