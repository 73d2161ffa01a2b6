# What is counted outlives reloads, killed workers and, with a state file,
# restarts; and a state file that is damaged or not ours harms nothing.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Configuration;
use Golden;
use Kept;
use Metered;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Provider;
use Wire;

on_one_day();
my $provider = Provider->new;
my %TURN     = (input => 100, cached => 10, output => 20, reasoning => 3);

my %CLIENTS = (
    ci      => {},
    capped  => {limits => [{requests => 3, per => 'month'},
        {tokens => 1_000_000, per => 'month'},
        {usd => 100, per => 'month'}, {concurrent => 9}]},
    killed  => {limits => [{tokens => 1_000_000, per => 'month'},
        {concurrent => 3}]},
);

sub with_state (%how) {
    return Kept->new(provider => $provider, clients => {%CLIENTS}, %how);
}

sub answers () {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(%TURN));
    });
    return;
}

# All that is to be kept of a client.
sub kept ($nginx, $id) {
    my $client = $nginx->client_of($nginx->idle, $id);
    return {
        totals => {map { $_ => $client->{totals}{$_} } Metered::FIGURES,
            'cost_usd'},
        models => [sort map { $_->{model} } @{$client->{models}}],
        limits => [map { my $limit = $_; +{map { $_ => $limit->{$_} }
            qw(limit_type limit_window current_value max_value)} }
            @{$client->{limits}}],
        refusals => {map { $client->{refusals}{$_}
            ? ($_ => $client->{refusals}{$_}) : () }
            keys %{$client->{refusals}}},
    };
}

subtest 'quit and start' => sub {
    my $nginx = with_state(workers => 2)->serve;
    answers();
    is $nginx->turn('capped')->status, $_, "a $_" for 200, 200, 200, 429;
    $nginx->turn('ci', json => {model => $_}) for qw(gpt-5.1 o4-mini);
    my %before = map { $_ => kept($nginx, $_) } keys %CLIENTS;
    my $since  = $nginx->status->{state};
    is $before{capped}{totals}{input_tokens}, 300, 'figures';
    for my $turn (1 .. 2) {
        $nginx->quit;
        $nginx->again;
        is_deeply {map { $_ => kept($nginx, $_) } keys %CLIENTS}, \%before,
            "start $turn: all is as it was";
    }
    is $nginx->turn('capped')->status, 429, 'the limit is still reached';
    $nginx->turn('ci');
    is kept($nginx, 'ci')->{totals}{requests}, 3, 'and figures go on';
    $nginx->stop;
};

subtest 'quit with a stream open' => sub {
    my $nginx = with_state()->serve;
    $provider->forget->hold;
    my $wire    = $nginx->start_turn('capped');
    my $request = $provider->next_request;
    kill QUIT => $nginx->master;
    settle;
    $request->reply(200, undef, response_document(%TURN));
    is $wire->response->status, 200, 'it ends as it should';
    $wire->close;
    $nginx->_await_exit;
    $nginx->again;
    my $client = kept($nginx, 'capped');
    is $client->{totals}{input_tokens}, 100, 'and was counted';
    is $client->{limits}[0]{current_value}, 1, 'by the limits too';
    $nginx->stop;
};

# A fast stop leaves nobody the time to see what they cost.
subtest 'stop with a stream and a socket open' => sub {
    my $nginx = with_state()->serve;
    $provider->forget->answer(sub ($request) {
        $request->accept_websocket if $request->header('upgrade');
    });
    my $wire = $nginx->start_turn('capped');
    $provider->next_request;
    my $socket = $nginx->open_socket('capped');
    my $far    = $provider->next_request->connection;
    $socket->send_frame(encode_json(
        {type => 'response.create', model => 'gpt-5.1', input => []}));
    $far->next_frame;
    kill TERM => $nginx->master;
    $nginx->_await_exit;
    $nginx->again;
    my $client = $nginx->client_of($nginx->idle, 'capped');
    my @limits = @{$client->{limits}};
    is_deeply [map { $_->{reserved_value} } @limits], [(0) x @limits],
        'nothing stays reserved';
    is $client->{totals}{$_}, 2, "both are counted: $_"
        for qw(requests usage_missing);
    is $limits[0]{current_value}, 2, 'by the limits too';
    cmp_ok $limits[1]{current_value}, '>', 2 * 2048, 'as what was set aside';
    $nginx->tolerate(qr/open socket/)->stop;
};

subtest 'a worker that is killed' => sub {
    for my $how ('with a state file', 'without one') {
        my $nginx = $how =~ /without/ ? Metered->new(provider => $provider,
            clients => {%CLIENTS})->serve : with_state()->serve;
        answers();
        $nginx->turn('killed') for 1 .. 2;
        my $before = kept($nginx, 'killed');
        $provider->forget->hold;
        my @wires = map { $nginx->start_turn('killed') } 1 .. 3;
        $provider->next_request for 1 .. 3;
        my $client = $nginx->client_of($nginx->status, 'killed');
        is $client->{open}, 3, "$how: three are open";
        cmp_ok $client->{limits}[0]{reserved_value}, '>', 0, 'with tokens';
        is $nginx->turn('killed')->status, 429, 'and no more may be';
        my ($worker) = $nginx->worker_pids;
        kill KILL => $worker;
        await 'another worker',
            sub { ($nginx->worker_pids)[0] != $worker };
        answers();
        my $after = kept($nginx, 'killed');
        is_deeply $after->{totals}, $before->{totals},
            'what was counted is not lost';
        is_deeply [map { $_->{reserved_value} }
            @{$nginx->client_of($nginx->status, 'killed')->{limits}}], [0, 0],
            'what was reserved is given back';
        is $nginx->turn('killed')->status, 200, 'and there is room again';
        is kept($nginx, 'killed')->{totals}{requests},
            $before->{totals}{requests} + 1, 'figures go on';
        $nginx->tolerate(qr/exited on signal 9/)->stop;
    }
};

subtest 'all are killed' => sub {
    my $nginx = with_state(workers => 2)->serve;
    answers();
    $nginx->turn('capped') for 1 .. 2;
    $nginx->turn('ci');
    my %before = map { $_ => kept($nginx, $_) } keys %CLIENTS;
    $nginx->await_save;
    $nginx->kill_all;
    $nginx->again;
    is_deeply {map { $_ => kept($nginx, $_) } keys %CLIENTS}, \%before,
        'what was saved is there';
    is $nginx->turn('capped')->status, $_, "a $_" for 200, 429;
    $nginx->stop;
};

subtest 'saves' => sub {
    my $nginx = with_state()->serve;
    answers();
    $nginx->turn('ci');
    $nginx->await_save;
    my @files = grep { -e } map { $nginx->state_file($_) } '', '.2';
    cmp_ok scalar @files, '>=', 1, 'a file is there';
    $nginx->turn('ci');
    $nginx->await_save;
    ok -s $nginx->state_file($_), "main$_" for '', '.2';
    is_deeply [grep { !m{/main(?:\.2)?\z} } glob $nginx->state_file('*')], [],
        'and no other';
    is +(stat $nginx->state_file)[2] & 077, 0, 'for the workers only';
    $nginx->stop;
};

# What workers look after every few seconds leaves alone who lives.
subtest 'what is open while the state is saved' => sub {
    my $nginx = with_state(workers => 2)->serve;
    $provider->forget->hold;
    my @wires    = map { $nginx->start_turn('killed') } 1 .. 3;
    my @requests = map { $provider->next_request } 1 .. 3;
    my $client   = sub { $nginx->client_of($nginx->status, 'killed') };
    my $before   = $client->();
    is $before->{open}, 3, 'three';
    for (1 .. 2) {
        answers();
        $nginx->turn('ci');
        $nginx->await_save;
        my $now = $client->();
        is $now->{open}, 3, 'are open all the time';
        is_deeply $now->{limits}, $before->{limits}, 'and as much is reserved';
    }
    is $nginx->turn('killed')->status, 429, 'no more may be';
    $_->reply(200, undef, response_document(%TURN)) for @requests;
    $_->response->complete && $_->close for @wires;
    is $nginx->client_of($nginx->idle, 'killed')->{totals}{requests}, 3,
        'until they are counted';
    is_deeply [map { $_->{reserved_value} } @{$client->()->{limits}}], [0, 0],
        'and nothing is reserved';
    $nginx->stop;
};

# What is saved after one turn, and after two, in the two files.
sub two_saves () {
    my $nginx = with_state()->serve;
    answers();
    for (1 .. 2) {
        $nginx->turn('ci');
        $nginx->await_save;
    }
    $nginx->kill_all;
    return ($nginx, sort { (stat $b)[9] <=> (stat $a)[9] }
        map { $nginx->state_file($_) } '', '.2');
}

sub overwrite ($path, $bytes) {
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} $bytes;
    close $file;
    return;
}

my %DAMAGE = (
    'a changed byte' => sub ($path, $bytes) {
        my $at = length($bytes) / 2;
        substr($bytes, $at, 1) = chr(0x01 ^ ord substr $bytes, $at, 1);
        overwrite($path, $bytes);
    },
    'cut off' =>
        sub ($path, $bytes) { truncate $path, length($bytes) / 2 },
    'empty'   => sub ($path, $bytes) { truncate $path, 0 },
    'gone'    => sub ($path, $bytes) { unlink $path },
);
subtest 'the newer file is damaged' => sub {
    my ($nginx, $newer, $older) = two_saves();
    my %saved = map { $_ => path($_)->slurp } $newer, $older;
    for my $name (sort keys %DAMAGE) {
        overwrite($_, $saved{$_}) for $newer, $older;
        my $log = length $nginx->error_log;
        $DAMAGE{$name}->($newer, $saved{$newer});
        $nginx->again;
        my $requests = kept($nginx, 'ci')->{totals}{requests};
        ok $requests == 1 || $requests == 2,
            "$name: the other is taken: $requests";
        like substr($nginx->error_log, $log), qr/\[error\].*\Q$newer\E/,
            'and the log names it' if $name !~ /gone|empty/;
        $nginx->turn('ci');
        $nginx->quit;
        $nginx->again;
        is kept($nginx, 'ci')->{totals}{requests}, $requests + 1,
            'and saving goes on';
        $nginx->quit;
    }
    is_deeply [$nginx->faults], [], 'and nothing else is wrong';
};

subtest 'two files that are not ours' => sub {
    my $nginx = with_state();
    my $text  = "Dear diary,\n" x 1000;
    for my $suffix ('', '.2') {
        $nginx->file("state/main$suffix", $text, 0600);
    }
    $nginx->own(map { $nginx->state_file($_) } '', '.2');
    $nginx->serve;
    like $nginx->error_log, qr/\[error\].*state/, 'an error';
    answers();
    is $nginx->turn('ci')->status, 200, 'traffic goes on';
    is kept($nginx, 'ci')->{totals}{requests}, 1, 'and is counted';
    $nginx->quit;
    is path($nginx->state_file($_))->slurp, $text, "main$_ is as it was"
        for '', '.2';
    $nginx->again;
    $nginx->stop;
};

subtest 'other clients and limits than before' => sub {
    my $nginx = with_state()->serve;
    answers();
    $nginx->turn($_) for qw(ci ci capped);
    $nginx->quit;
    delete $nginx->clients->{ci};
    $nginx->clients->{capped} = {limits => [{requests => 1, per => 'month'}]};
    $nginx->clients->{new}    = {};
    $nginx->again;
    is $nginx->turn('capped')->status, 429, 'a limit that is lower now';
    $nginx->turn('new');
    is kept($nginx, 'new')->{totals}{requests}, 1, 'a new client';
    $nginx->quit;
    $nginx->clients->{ci} = {};
    $nginx->again;
    is kept($nginx, 'ci')->{totals}{requests}, 2,
        'one that was away finds its figures';
    $nginx->stop;
};

subtest 'without a state file' => sub {
    my $nginx = with_state()->zone('1m')->serve;
    answers();
    $nginx->turn('ci');
    is $nginx->reload, '', 'a reload';
    is kept($nginx, 'ci')->{totals}{requests}, 1, 'keeps the figures';
    $nginx->quit;
    $nginx->again;
    is +($nginx->totals('ci')->{requests} // 0), 0, 'a start does not';
    $nginx->turn('ci');
    kept($nginx, 'ci');
    $nginx->zone('2m');
    $nginx->write_files;
    is $nginx->reload, '', 'another size of the zone';
    $nginx->turn('ci');
    is kept($nginx, 'ci')->{totals}{requests}, 2, 'keeps the figures, too';
    $nginx->stop;
};

# Of a cache: they come and go, and are no workers.
subtest 'processes that do not serve' => sub {
    my $nginx = with_state(workers => 2, more => <<'CONF')->serve;
        proxy_cache_path %%DIR%%/cache keys_zone=cache:1m
            loader_sleep=1ms manager_sleep=1s;
CONF
    my $status = sub {
        return request($nginx->port, target => '/status?format=prometheus')
            ->body;
    };
    await 'both workers',
        sub { $status->() =~ /^keystile_zone_processes\S* [2-9]$/m };
    like $status->(), qr/^keystile_zone_processes\S* 2$/m,
        'do not use the zone';
    $nginx->stop;
};

subtest 'reloads amid saves' => sub {
    my $nginx = with_state(workers => 2)->serve;
    answers();
    for my $turn (1 .. 5) {
        $nginx->turn('ci') for 1 .. 3;
        is $nginx->reload, '', "reload $turn";
    }
    is kept($nginx, 'ci')->{totals}{requests}, 15, 'all is counted';
    $nginx->quit;
    $nginx->again;
    is kept($nginx, 'ci')->{totals}{requests}, 15, 'and saved';
    $nginx->stop;
};

subtest 'a path where no file can be' => sub {
    my $nginx = Nginx->new;
    $nginx->key_file('openai.key', 'sk-test-provider-39ab');
    configure_with($nginx, 'sk-test-provider-39ab');
    my @meter = (admit => 'keystile_admit any;', clients => '',
        more => 'keystile_meter main;');
    my %paths = (
        'no directory'  => '%%DIR%%/none/main',
        'a directory'   => '%%DIR%%',
        'below a file'  => '%%DIR%%/openai.key/main',
        'nothing'       => '',
    );
    fails $_, 'state|main|none|openai', @meter,
        http => "keystile_zone main 1m state=$paths{$_};"
        for sort keys %paths;
    passes 'a good one', @meter,
        http => 'keystile_zone main 1m state=%%DIR%%/main;';
    fails 'one for two zones', 'state|main', @meter,
        http => 'keystile_zone main 1m state=%%DIR%%/main;'
        . 'keystile_zone other 1m state=%%DIR%%/main;';
};

done_testing;
