# Site: an nginx of the soak, its files, and what is done to it.
#
#     my $site = Site->new(name => 'calm', far => [@addresses],
#         secure => [@others]);
#     $site->start;
#     my $number = $site->rotate;            # the files of the next keys
#     $site->publish;                        # and callers may use theirs
#     $site->fill;  $site->free;             # the disk of state and records
#     $site->rotate_records($tally);         # judges those before
#     $site->quit;  $site->start_again;
#
# All its keys begin with sk-test-soak- and end with consonants, of which no
# other text here has as many in a row. A provider's are named
# far-NUMBER-PLACE-, its place being that in the pool (0 for the one that is in
# none); a caller's, caller-CLIENT-NUMBER-; those that are a caller's own at
# the provider, which is all that a passthrough lets up, own-CALLER-.
#
# Where it may, it mounts a small file system for the state and the records;
# else, they are on the one of everything else, and has_disk is false.

package Site;

use Mojo::Base -base, -signatures;
use Authority;
use Await;
use IO::Socket::SSL;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Nginx;
use POSIX qw(WNOHANG);
use Wire;

use constant {DISK => '96m', RECORDS => 16 << 20, WORKERS => 2, KEPT => 8};
use constant {POOL => 3, CLIENTS => [qw(steady socket rough)]};
use constant SECRET => qr/sk-test-soak|[ghj-mqrtvwz]{10}/;

# What is served, besides /: where, how it is let in, and where it goes.
use constant PLACES => <<'CONF';
    location / { keystile_pass http://far; }
    location /secure/ {
        keystile_allow POST /secure/v1/responses query=* to=/v1/responses;
        keystile_allow GET  /secure/v1/responses websocket query=*
            to=/v1/responses;
        keystile_pass     https://secure;
        keystile_ssl_name far.example;
    }
    location /own/ {
        keystile_allow POST /own/v1/responses query=* to=/v1/responses;
        keystile_key_headers x-gateway-key;
        keystile_inject passthrough;
        keystile_pass   http://far;
    }
    location /alone/ {
        keystile_allow POST /alone/v1/responses query=* to=/v1/responses;
        keystile_inject far-0;
        keystile_pass   http://far;
    }
    location = /status {
        access_log off;
        keystile_status main format=json;
    }
CONF

my $authority;

has name   => 'shaken';
has [qw(far secure)] => sub { [] };
has nginx => sub { Nginx->new(
    workers   => WORKERS,
    log_level => 'notice',
    log       => '$pid $arg_id $status "$upstream_addr" "$upstream_status" '
        . '$msec $request_time $request_method $uri $keystile_client '
        . '$keystile_credential $keystile_decision',
    events => 'worker_connections 4096;',
) };
has [qw(has_disk)];
has number => 0;
has keys => sub { {} };

# The keys that callers have: of each client, and one that is no longer valid.
sub caller_keys ($self) { return $self->nginx->dir . '/callers.json' }

sub authority () { return $authority //= Authority->new }

# For providers that speak TLS.
sub identity () {
    state $identity = do {
        my $leaf = authority()->issue('far.example');
        {options => {SSL_reuse_ctx => IO::Socket::SSL::SSL_Context->new(
            SSL_server    => 1,
            SSL_cert_file => $leaf->{cert},
            SSL_key_file  => $leaf->{key},
        )}};
    };
    return $identity;
}

sub start ($self) {
    $self->_mount;
    $self->rotate;
    $self->publish;
    return $self->start_again;
}

sub start_again ($self) {
    my $leaf = $self->{leaf} //= authority()->issue('localhost', '127.0.0.1');
    my $disk = $self->disk;
    my @pool = map { "far-$_" } 1 .. POOL;
    my $keys = join "\n", map { "keystile_credential $_ %%DIR%%/$_.key;" }
        'far-0', @pool;
    $self->nginx->start(<<"CONF");
        $keys
        keystile_client_keys team %%DIR%%/clients.json;
        keystile_zone        main 2m state=$disk/main.state;
        ${\$self->_upstream(far => @{$self->far})}
        ${\$self->_upstream(secure => @{$self->secure})}
        keystile_ssl_trusted_certificate ${\authority()->cert};
        server {
            listen 127.0.0.1:%%PORT%% backlog=1024;
            listen 127.0.0.1:%%PORT_TLS%% ssl backlog=1024;
            ssl_certificate     $leaf->{cert};
            ssl_certificate_key $leaf->{key};
            keystile_admit  team;
            keystile_allow  POST /v1/responses query=*;
            keystile_allow  GET  /v1/responses websocket query=*;
            keystile_inject @pool;
            keystile_next_credential http_401 http_429 cooldown=1s;
            keystile_connect_timeout 180s;
            client_header_timeout    180s;
            client_body_timeout      180s;
            keystile_meter  main;
            keystile_record $disk/turns.jsonl;
            ${\PLACES}
        }
CONF
    return $self;
}

sub _upstream ($self, $name, @addresses) {
    my $servers = join ' ', map { "server $_ max_fails=0;" } @addresses;
    return "upstream $name { zone $name 128k; $servers keepalive ${\KEPT}; }";
}

sub ports ($self) { return map { $self->nginx->port($_) } '', '_TLS' }

sub disk ($self) { return $self->nginx->dir . '/disk' }

sub _mount ($self) {
    path($self->disk)->make_path;
    $self->has_disk($> == 0 && !system 'mount', '-t', 'tmpfs', '-o',
        'size=' . DISK . ',mode=755', 'keystile-soak', $self->disk);
    return;
}

sub unmount ($self) {
    system 'umount', $self->disk if $self->has_disk;
    return $self->has_disk(0);
}

sub _key ($what) {
    my @letters = grep { /[ghj-mqrtvwz]/ } 'g' .. 'z';
    return "sk-test-soak-$what-"
        . join '', map { $letters[rand @letters] } 1 .. 24;
}

# Puts the next keys in the place of those before, and returns their number.
# Callers may use their last one for a while.
sub rotate ($self) {
    my $number = $self->number + 1;
    my $nginx  = $self->nginx;
    for my $place (0 .. POOL) {
        my $new = $nginx->key_file('far.new', _key("far-$number-$place"));
        rename $new, $nginx->dir . "/far-$place.key"
            or die "far-$place.key: $!\n";
    }
    my $keys = $self->keys;
    unshift @{$keys->{$_}}, _key("caller-$_-$number") for @{+CLIENTS};
    $nginx->client_file({clients => [map { {
        id     => $_,
        keys   => [grep { defined } @{$keys->{$_}}[0, 1]],
        limits => [
            {concurrent => 5000},
            {tokens     => 1_000_000_000_000, per => 'day'},
        ],
    } } @{+CLIENTS}]});
    $self->number($number);
    return $number;
}

sub publish ($self) {
    my %now = map { $_ => $self->keys->{$_}[0] } @{+CLIENTS};
    my $new = $self->nginx->file('callers.new',
        encode_json({%now, gone => $self->keys->{rough}[2]}));
    rename $new, $self->caller_keys or die "callers.json: $!\n";
    return;
}

# Takes all room on the disk, and gives it back.
sub fill ($self) {
    open my $rest, '>', $self->disk . '/rest' or die "rest: $!\n";
    1 while syswrite $rest, 'x' x 4096;
    close $rest;
    return;
}

sub free ($self) {
    unlink $self->disk . '/rest';
    return;
}

# Moves the records away if they are many, or if told to, and looks at those
# that were moved before: by now, no worker writes there. A worker that is
# killed can leave a torn line.
sub rotate_records ($self, $tally, $now = 0) {
    my ($file, $old) = map { $self->disk . "/turns.$_" } qw(jsonl old);
    return if !$now && (-s $file // 0) < RECORDS;
    $self->judge_records($tally);
    rename $file, $old;
    kill USR1 => $self->nginx->master;
    return;
}

sub judge_records ($self, $tally, $old = $self->disk . '/turns.old') {
    open my $records, '<', $old or return;
    my %lines;
    while (my $line = <$records>) {
        $tally->fault('a key in a record', $line) if $line =~ SECRET;
        my ($client) = $line =~
            /\A\{"time":"[^"]+",(?!.*\{"time":"20).*"client":"(\w+)".*\}\n\z/;
        $lines{$client // 'torn'}++;
    }
    close $records;
    unlink $old;
    $tally->note('records', $_, $lines{$_}) for sort keys %lines;
    return;
}

sub status ($self) {
    my $r = request($self->nginx->port, target => '/status');
    return $r->json // die 'no status: ' . $r->head . $r->body . "\n";
}

sub quit ($self) {
    my $nginx = $self->nginx;
    my $pid   = $nginx->master or return 1;
    kill QUIT => $pid;
    await 'nginx to quit', sub { waitpid($pid, WNOHANG) == $pid }, 60;
    $nginx->master(undef);
    return $? == 0;
}

1;
