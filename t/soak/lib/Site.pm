# Site: the nginx of the soak, its files, and what is done to it.
#
#     my $site = Site->new(servers => [map { $_->address } @far])->start;
#     my $number = $site->rotate;            # the file of the next key
#     $site->fill;  $site->free;             # the disk of state and records
#     $site->rotate_records($tally);         # judges those before
#     $site->quit;
#
# Where it may, it mounts a small file system for the state and the records;
# else, they are on the one of everything else, and has_disk is false. Keys
# are named sk-test-soak-far-NUMBER-, and those of callers
# sk-test-soak-caller-NAME.

package Site;

use Mojo::Base -base, -signatures;
use Await;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Nginx;
use POSIX qw(WNOHANG);
use Wire;

use constant {DISK => '12m', RECORDS => 4 << 20, WORKERS => 2, KEPT => 8};

has servers => sub { [] };
has nginx   => sub { Nginx->new(
    workers   => WORKERS,
    log_level => 'notice',
    log       => '$request_method $uri $status $keystile_client',
    events    => 'worker_connections 4096;',
) };
has [qw(has_disk number)];

sub caller_key ($self, $name) { return "sk-test-soak-caller-$name-5f0c" }

sub start ($self) {
    my $nginx = $self->nginx;
    $self->_mount;
    $nginx->client_file({clients => [map { {
        id     => $_,
        keys   => [$self->caller_key($_)],
        limits => [
            {concurrent => 5000},
            {tokens     => 1_000_000_000_000, per => 'day'},
        ],
    } } qw(steady rough)]});
    $self->number(0);
    $self->rotate;
    my ($disk, $servers) = ($self->disk, join ' ',
        map { "server $_ max_fails=0;" } @{$self->servers});
    $nginx->start(<<"CONF");
        keystile_credential  far  %%DIR%%/far.key;
        keystile_client_keys team %%DIR%%/clients.json;
        keystile_zone        main 2m state=$disk/main.state;
        upstream far {
            zone far 128k;
            $servers
            keepalive ${\KEPT};
        }
        server {
            listen 127.0.0.1:%%PORT%% backlog=1024;
            keystile_admit  team;
            keystile_allow  POST /v1/responses query=*;
            keystile_allow  GET  /v1/responses websocket query=*;
            keystile_inject far;
            keystile_meter  main;
            keystile_record $disk/turns.jsonl;
            location / { keystile_pass http://far; }
            location = /status {
                access_log off;
                keystile_status main format=json;
            }
        }
CONF
    return $self;
}

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

# Puts the next key in the place of the one before, and returns its number.
sub rotate ($self) {
    my $number = $self->number + 1;
    my $nginx  = $self->nginx;
    my $new    = $nginx->key_file('far.new',
        "sk-test-soak-far-$number-" . join '', map { int rand 10 } 1 .. 24);
    rename $new, $nginx->dir . '/far.key' or die "far.key: $!\n";
    $self->number($number);
    return $number;
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
    $self->_judge_records($old, $tally);
    rename $file, $old;
    kill USR1 => $self->nginx->master;
    return;
}

sub _judge_records ($self, $old, $tally) {
    open my $records, '<', $old or return;
    while (my $line = <$records>) {
        $tally->fault('a key in a record', $line)
            if $line =~ /sk-test-soak/;
        $line =~ /\A\{"time":"[^"]+",(?!.*\{"time":"20).*\}\n\z/
            ? $tally->note('record')
            : $tally->note('torn');
    }
    close $records;
    unlink $old;
    return;
}

sub status ($self) {
    my $r = request($self->nginx->port, target => '/status');
    return $r->json // die 'no status: ' . $r->head . $r->body . "\n";
}

sub quit ($self) {
    my $nginx = $self->nginx;
    my $pid   = $nginx->master;
    kill QUIT => $pid;
    await 'nginx to quit', sub { waitpid($pid, WNOHANG) == $pid }, 60;
    $nginx->master(undef);
    return $? == 0;
}

1;
