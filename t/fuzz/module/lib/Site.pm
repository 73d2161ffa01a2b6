# Site: the nginx that is tried, with a server for each lane.
#
#     my $site = Site->new(lanes => \@lanes, seed => 7)->start;
#     my @faults = $site->renew;     # of what was; now other keys and workers
#     @faults = $site->stop;
#
# renew() waits until no old worker is left, since only then all logs are
# whole. Keys of credentials are sk-test-fz-RANDOM, as long as KEY_THAT_CAME;
# those of callers, sk-test-caller-NAME.

package Site;

use Mojo::Base -base, -signatures;
use Await;
use Dice;
use Mojo::File qw(path);
use Nginx;
use Oracles qw(faults_of_files faults_while_running);
use POSIX qw(WNOHANG);

use constant CREDENTIALS => qw(main spare first second third azure);
use constant LOGS        => qw(error.log debug.log access.log);
use constant RECORD      => 'turns.jsonl';

# Seconds. Nothing may take that long, however busy the machine is.
use constant {LONG => 600, AWAITED => 60};

has [qw(lanes seed)];
has renewals => 0;
has callers  => sub {
    return {map { $_ => "sk-test-caller-$_-5d0c" }
        qw(free counted tight scant talker models disabled)};
};
has nginx => sub { Nginx->new(
    log    => join('|', qw($server_port $keystile_decision $upstream_addr
        $status $keystile_client $keystile_rule $keystile_credential
        $keystile_key_header $keystile_model $keystile_input_tokens
        $keystile_cached_tokens $keystile_output_tokens
        $keystile_reasoning_tokens $keystile_cost $keystile_ttft
        $keystile_request_id)),
    events => 'worker_connections 2048;',
    main   => 'worker_rlimit_core 0;',
) };

my @CALLERS = (
    {id => 'free'},
    {id => 'counted', limits => [
        {concurrent => 5000},
        {tokens => 1_000_000_000_000_000, per => 'day'},
        {usd => 1_000_000, per => 'month', model => 'gpt-5*'},
        {requests => 1_000_000_000, per => 'hour'}]},
    {id => 'tight', limits => [
        {concurrent => 2}, {requests => 200, per => 'minute'},
        {tokens => 300_000, per => 'minute'}]},
    {id => 'scant', limits => [
        {requests => 15, per => 'minute'}, {tokens => 200_000, per => 'day'},
        {requests => 3, per => 'hour', model => 'o3'}]},
    {id => 'talker', limits => [{requests => 20, per => 'minute'}]},
    {id => 'models', models => ['gpt-5*', 'claude-*'], limits => [
        {tokens => 1_000_000_000_000, per => 'day', model => 'gpt-5*'},
        {concurrent => 50, model => 'claude-*'}]},
    {id => 'disabled', disabled => \1},
);

my $LANE = <<'CONF';
    upstream kept@N@ {
        server 127.0.0.1:@FAR@ max_fails=0;
        keepalive 3;
    }
    server {
        listen 127.0.0.1:%%PORT_@N@%%;
        @H2@
        @LOG@
        location /v1/ {
            keystile_meter  main;
            keystile_record %%DIR%%/turns.jsonl max=64k;
            keystile_allow  GET,POST,HEAD /v1/** query=client_version,a;
            keystile_allow  GET  /v1/responses websocket;
            keystile_allow  POST /v1/responses;
            keystile_inject main@N@;
            keystile_pass   http://kept@N@;
        }
        location /open/ {
            keystile_admit  any;
            keystile_allow  GET,POST,HEAD,PUT,DELETE /open/** query=*;
            keystile_allow  POST,HEAD /open/responses query=*;
            keystile_allow  GET /open/responses websocket query=*;
            keystile_inject main@N@;
            keystile_pass   http://127.0.0.1:@FAR@;
        }
        location /strict/ {
            keystile_admit        placeholder sk-placeholder-of-agents;
            keystile_foreign_keys reject;
            keystile_meter        main;
            keystile_allow        GET,POST,HEAD /strict/responses;
            keystile_inject       main@N@;
            keystile_pass         http://127.0.0.1:@FAR@;
        }
        location /pool/ {
            keystile_meter           main;
            keystile_record          %%DIR%%/turns.jsonl;
            keystile_allow           GET,POST,HEAD /pool/** query=*;
            keystile_allow           GET /pool/responses websocket;
            keystile_allow           POST,HEAD /pool/responses query=*;
            keystile_inject          first@N@ second@N@ third@N@;
            keystile_next_credential http_401 http_403 http_429 error timeout
                                     cooldown=1s;
            keystile_read_timeout    500ms;
            keystile_websocket_timeout 500ms;
            keystile_buffer_size     4k;
            client_max_body_size     50k;
            client_body_timeout      500ms;
            keystile_pass            http://kept@N@;
        }
        location /kept/ {
            keystile_request_buffering off;
            keystile_buffer_size       4k;
            keystile_meter             main;
            keystile_record            %%DIR%%/turns.jsonl;
            keystile_allow GET,POST,HEAD /kept/**;
            keystile_allow GET /kept/responses websocket;
            keystile_allow GET,POST /kept/responses;
            keystile_allow POST /kept/files/* to=/kept/stored/*?fixed=1;
            keystile_set_header  X-Team $keystile_client;
            keystile_set_header  User-Agent "";
            keystile_set_header  X-Agent $http_user_agent;
            keystile_hide_header x-mark2;
            keystile_inject      main@N@;
            keystile_pass        http://kept@N@;
        }
        location /moved/ {
            error_page 502 503 504 = @again;
            keystile_meter  main;
            keystile_allow  GET,POST,HEAD /moved/responses;
            keystile_allow  GET /moved/responses websocket;
            keystile_inject main@N@;
            keystile_pass   http://kept@N@;
        }
        location @again {
            keystile_meter  main;
            keystile_allow  GET,POST,HEAD /moved/responses;
            keystile_inject spare@N@;
            keystile_record %%DIR%%/turns.jsonl bodies=off;
            keystile_pass   http://kept@N@;
        }
        location /own/ {
            keystile_admit  any;
            keystile_allow  GET,POST,HEAD /own/responses;
            keystile_allow  GET /own/responses websocket;
            keystile_inject passthrough main@N@;
            keystile_record %%DIR%%/turns.jsonl;
            keystile_pass   http://127.0.0.1:@FAR@;
        }
        location /off/ {
            keystile_admit  any;
            keystile_allow  GET,POST /off/**;
            keystile_inject off;
            keystile_pass   http://127.0.0.1:@FAR@;
        }
        location /packed/ {
            @GUNZIP@
            keystile_admit       any;
            keystile_allow       GET,POST,HEAD /packed/responses;
            keystile_allow       GET /packed/responses websocket;
            keystile_inject      azure@N@;
            keystile_error_format anthropic;
            keystile_next_upstream error timeout invalid_header http_500;
            keystile_pass        http://kept@N@;
        }
        location = /usage  { keystile_usage  main; }
        location = /status { keystile_status main; }
        location = /health { keystile_health; }
    }
CONF

sub has_h2 ($self) {
    return $self->{has_h2} //= $self->nginx->is_built_with('http_v2_module');
}

sub start ($self) {
    my $nginx = $self->nginx;
    $nginx->client_file({clients => [map {
        {%$_, keys => [$self->callers->{$_->{id}}]} } @CALLERS]});
    $nginx->file('prices.json', '{"version":1,"models":['
            . '{"model":"*","input":1.25,"cached_input":0.125,"output":10}]}');
    $self->_write_keys;
    $nginx->start($self->_http, LONG => LONG . 's');
    for my $lane (@{$self->lanes}) {
        $lane->port($nginx->port('_' . $lane->number));
        $lane->port_of_h2($nginx->port('_h2_' . $lane->number))
            if $self->has_h2;
    }
    return $self;
}

sub _http ($self) {
    my $http = <<'CONF';
        keystile_client_keys team %%DIR%%/clients.json;
        keystile_prices           %%DIR%%/prices.json;
        keystile_zone             main 4m state=%%DIR%%/main.state;
        keystile_admit            team;
        keystile_connect_timeout  %%LONG%%;
        keystile_send_timeout     %%LONG%%;
        keystile_read_timeout     %%LONG%%;
        keystile_websocket_timeout %%LONG%%;
        client_header_timeout     %%LONG%%;
        client_body_timeout       %%LONG%%;
        send_timeout              %%LONG%%;
        keepalive_timeout         1s;
        lingering_time            2s;
        lingering_timeout         1s;
        client_body_buffer_size   8k;
        large_client_header_buffers 4 8k;
        server {
            listen 127.0.0.1:%%PORT_status%%;
            access_log off;
            location / { keystile_status main format=json; }
        }
CONF
    my $gunzip = $self->nginx->is_built_with('http_gunzip_module')
        ? 'gunzip on;' : '';
    for my $lane (@{$self->lanes}) {
        my ($number, $far) = ($lane->number, $lane->far_port);
        $http .= "keystile_credential $_$number %%DIR%%/$_$number.key "
            . ($_ eq 'azure' ? 'style=api-key' : '') . ";\n"
            for CREDENTIALS;
        # Nothing may be seen even in all that a worker can tell.
        my $log = $number % 8 ? ''
            : "error_log @{[$self->nginx->dir]}/debug.log debug;";
        $http .= $LANE =~ s/\@N\@/$number/gr =~ s/\@FAR\@/$far/gr
            =~ s/\@LOG\@/$log/r =~ s/\@GUNZIP\@/$gunzip/r
            =~ s/\@H2\@/$self->has_h2
            ? "listen 127.0.0.1:%%PORT_h2_$number%% http2;" : ''/er;
    }
    return $http;
}

# New keys for all lanes.
sub _write_keys ($self) {
    my @chars = ('A' .. 'Z', 'a' .. 'z', 0 .. 9);
    my $time = $self->renewals($self->renewals + 1)->renewals;
    throw_dice($self->seed, -1 - $time);
    my (%keys, %parts);
    for my $lane (@{$self->lanes}) {
        $keys{$lane} = {map {
            $_ => 'sk-test-fz-' . join '', map { pick(@chars) } 1 .. 39
        } CREDENTIALS};
        $self->nginx->file($_ . $lane->number . '.key', $keys{$lane}{$_}, 0600)
            for CREDENTIALS;
        $lane->take_keys($keys{$lane})->callers($self->callers);
        for my $key (values %{$keys{$lane}}) {
            $parts{$_} = 1 for unpack '(a13)*', substr $key, 11;
        }
    }
    my $parts = join '|', sort keys %parts;
    $self->{secret} = qr/sk-test-fz-|$parts/;
    return;
}

# Ends what was, and returns its faults; no lane may be at work. Workers of
# before must go: none of their connections may last.
sub renew ($self) {
    my $nginx  = $self->nginx;
    my $secret = $self->{secret};
    my @old    = $self->_workers;
    my @faults = faults_while_running($self);
    $self->_write_keys;
    my $said = $nginx->reload;
    push @faults, "nginx does not reload: $said" if $said ne '';
    push @faults, map { "a worker does not go: $_" } $self->_left(@old);
    push @faults, faults_of_files($self, $secret);
    truncate $nginx->dir . "/$_", 0 for LOGS, RECORD;
    $_->heads(0) for @{$self->lanes};
    return @faults;
}

sub log_text ($self, $name) {
    my $path = $self->nginx->dir . "/$name";
    return -e $path ? path($path)->slurp : '';
}

# What no healthy nginx logs, whatever it is sent.
sub alarms ($self) {
    return grep {
        /\[(?:alert|crit|emerg)\]|exited\ (?:on\ signal|with\ code\ [1-9])
            |Sanitizer|runtime\ error:/x
    } map { split /\n/, $self->log_text($_) } qw(error.log stderr.log);
}

sub stop ($self) {
    my $nginx = $self->nginx;
    my $pid   = $nginx->master or return;
    kill QUIT => $pid;
    eval { await 'nginx to quit', sub { waitpid($pid, WNOHANG) == $pid },
            AWAITED }
        or return "nginx does not quit: $@";
    $nginx->master(undef);
    return $? == 0 ? $self->alarms : ("nginx ends with $?", $self->alarms);
}

sub _workers ($self) {
    my $master = $self->nginx->master;
    my $list   = eval {
        path("/proc/$master/task/$master/children")->slurp } // '';
    return split ' ', $list;
}

sub _left ($self, @old) {
    my @left;
    eval {
        await 'the old workers to go', sub {
            my %here = map { $_ => 1 } $self->_workers;
            @left = grep { $here{$_} } @old;
            return !@left;
        }, AWAITED;
    };
    return @left;
}

1;
