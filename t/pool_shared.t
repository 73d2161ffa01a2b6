# What is known of a credential is known to all workers, and outlives a reload
# as long as the key in its file is the same.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Nginx;
use Pool;
use Provider;
use Wire;

my $provider = Provider->new;
my $nginx = Nginx->new(workers => 4, log => '$pid $uri $status')
    ->tolerate(qr/exited on signal 9/, qr/unknown directive "nonsense"/);
my $pool     = Pool->new(provider => $provider, nginx => $nginx);
$pool->location($_, 2) for qw(shared kept changed);
my $conf = <<'CONF';
    keystile_admit any;
    keystile_allow GET,POST /**;
    server {
        listen 127.0.0.1:%%PORT%% reuseport;
CONF
my %values = (PROVIDER => $provider->address);
$nginx->start($pool->credentials . $conf . $pool->locations . '}', %values);

# Asks until as many workers have answered; returns what the provider got.
sub ask_workers ($name, $count) {
    state $asked = 0;
    my %seen;
    for (1 .. 400) {
        my $target = "/$name/" . ++$asked;
        $pool->ask($name, target => $target);
        my ($pid) = $nginx->logged_as(qr/ $target /) =~ /\A(\d+)/;
        $seen{$pid} = 1;
        last if keys %seen == $count;
    }
    is keys %seen, $count, "$count workers answered";
    return $pool->sent;
}

subtest 'workers' => sub {
    $pool->fates(shared => [401]);
    $pool->ask('shared');
    is $pool->sent, 'shared-1 shared-2', 'one of them learns it';
    $pool->fates('shared');
    unlike ask_workers('shared', 4), qr/shared-1/, 'and all know it';
};

subtest 'a worker that is killed' => sub {
    my ($pid) = $nginx->worker_pids;
    kill KILL => $pid;
    await 'another worker', sub {
        my @pids = $nginx->worker_pids;
        @pids == 4 && !grep { $_ == $pid } @pids;
    };
    $pool->fates('shared');
    unlike ask_workers('shared', 4), qr/shared-1/, 'takes nothing with it';
};

subtest 'a reload' => sub {
    $pool->fates($_ => [401]), $pool->ask($_) for qw(kept changed);
    $nginx->key_file('changed-1.key', my $new = 'sk-test-changed-new-4711');
    $pool->keys->{'changed-1'} = $new;
    is $nginx->reload, '', 'with a new key';
    $pool->fates('kept');
    is $pool->ask('kept')->json->{by}, 'kept-2', 'the same key cools down';
    $pool->fates('changed');
    is $pool->ask('changed')->json->{by}, 'changed-1', 'the new key does not';
};

subtest 'a reload that fails' => sub {
    $nginx->configure('nonsense;', %values);
    isnt $nginx->reload, '', 'as it should';
    $pool->fates('kept');
    is $pool->ask('kept')->json->{by}, 'kept-2', 'changes nothing';
};

subtest 'other credentials' => sub {
    $pool->location('added', 2);
    $nginx->configure($pool->credentials . $conf . $pool->locations . '}',
        %values);
    is $nginx->reload, '', 'a reload adds some';
    $pool->fates(added => [401]);
    is $pool->ask('added')->json->{by}, 'added-2', 'which are a pool';
    $pool->fates('kept');
    is $pool->ask('kept')->json->{by}, 'kept-2', 'and the others know theirs';
};

$nginx->stop;
done_testing;
