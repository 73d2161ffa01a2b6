# Where a key can come from, besides a plain file: the mounts of Kubernetes,
# the credentials of systemd, standard input; and a file that is replaced while
# nginx reads it. As root and, by t/unprivileged.t, as an ordinary user.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Configuration;
use IO::Socket::UNIX;
use Nginx;
use POSIX ();
use Provider;
use Verdict;
use Wire;

my $KEY      = 'sk-test-provider-a3c9';
my $NEXT     = 'sk-test-provider-next-77';
my $CONF     = <<'CONF';
    keystile_credential openai %%FROM%%;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            keystile_admit  any;
            keystile_allow  GET /a;
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
    }
CONF
my $provider = Provider->new;

sub start ($nginx, $from) {
    return $nginx->start($CONF,
        FROM     => $from,
        PROVIDER => $provider->address);
}

sub sends ($nginx, $name, $key) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Verdict->new(provider => $provider, key => $key)
        ->admitted($name, request($nginx->port, target => '/a'));
    return;
}

sub with ($file) { return credential => "keystile_credential openai $file;" }

sub link_to ($target, $name) {
    unlink $name;
    symlink $target, $name or die "$name: $!";
    return;
}

# What is no plain file, or is not its owner's alone; see t/key_file.t too.
subtest 'files' => sub {
    my $nginx = Nginx->new;
    my $dir   = $nginx->dir;
    $nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-ci']}]});
    configure_with($nginx, $KEY);
    my $refuses = sub ($name, $rule, $file) {
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        fails $name, "openai[^\\n]*(?:$rule)", with($file);
    };

    $nginx->key_file('key', $KEY);
    for my $count (1, 40) {
        link_to('key', "$dir/link1");
        link_to('link' . ($_ - 1), "$dir/link$_") for 2 .. $count;
        passes "$count links", with("$dir/link$count");
    }
    link_to('link40', "$dir/link41");
    $refuses->('41 links', 'at most 40', "$dir/link41");
    link_to("$dir/key", "$dir/absolute");
    passes 'an absolute link', with("$dir/absolute");
    link_to('../' . ($dir =~ s{.*/}{}r) . '/./key', "$dir/roundabout");
    passes 'a link that goes up and down', with("$dir/roundabout");
    link_to('nowhere', "$dir/dangling");
    $refuses->('a link to nowhere', "$dir/nowhere[^\\n]*exist",
        "$dir/dangling");
    passes 'a path with .. and //', with("$dir/../" . ($dir =~ s{.*/}{}r)
            . '//key');

    $refuses->('/dev/zero', 'regular file', '/dev/zero');
    my $socket = IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 1);
    $refuses->('a socket', 'regular file', "$dir/socket");
    link_to('fifo', "$dir/to-fifo");
    POSIX::mkfifo("$dir/fifo", 0600);
    $refuses->('a link to a FIFO', 'regular file', "$dir/to-fifo");
    $refuses->('a file below a file', 'exist|directory', "$dir/key/key");
    $refuses->('a directory, with a slash', 'regular file', "$dir/");

    for my $placeholder ('change-me', 'CHANGEME', 'sk-xxxxxxxx', 'sk-...',
        '<api-key>', '***', 'your_key_here', 'undefined', 'sk-placeholder') {
        $nginx->key_file('placeholder', $placeholder);
        $refuses->($placeholder, 'placeholder', "$dir/placeholder");
    }
    for my $scheme ('Bearer ', 'bearer ', 'BEARER   ', 'token ') {
        $nginx->key_file('scheme', "$scheme$KEY\n");
        warns "'$scheme'", 'scheme', with("$dir/scheme");
    }
};

subtest 'owners' => sub {
    my $nginx = Nginx->new;
    $nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-ci']}]});
    configure_with($nginx, $KEY);
    if ($> != 0) {
        my ($file) = grep { -e && (stat)[4] == 0 && !-r } '/etc/shadow';
        plan skip_all => 'no file of root here' if !$file;
        fails "root's file, which we can't read", 'readable|group or others',
            with($file);
        return;
    }
    # owner, mode of the directory; owner, mode of the file; the rule
    my @table = (
        [0,     0700, 0,     0600, undef],
        [0,     0500, 0,     0400, undef],
        [0,     0755, 0,     0700, undef],
        [0,     0711, 0,     0200, undef],    # root reads it all the same
        [0,     0755, 65534, 0600, 'owned'],
        [0,     0755, 33,    0600, 'owned'],
        [33,    0755, 0,     0600, 'root'],
        [65534, 0700, 65534, 0600, 'root'],
        [0,     0775, 0,     0600, 'write'],
        [0,     0702, 0,     0600, 'write'],
        [0,     0755, 0,     0640, 'group or others'],
        [0,     0755, 0,     0604, 'group or others'],
        [0,     01777, 0,    0600, undef],    # sticky: only root replaces it
        [0,     01777, 65534, 0600, 'owned'],
    );
    my $dir = $nginx->dir . '/owned';
    mkdir $dir;
    for my $case (@table) {
        my ($dir_owner, $dir_mode, $owner, $mode, $rule) = @$case;
        chmod 0700, $dir;
        my $file = $nginx->key_file('owned/key', $KEY, $mode);
        chown $owner,     -1, $file;
        chown $dir_owner, -1, $dir;
        chmod $dir_mode, $dir;
        my $name = sprintf 'directory %d %04o, file %d %04o', @$case[0 .. 3];
        $rule
            ? fails($name, "openai[^\\n]*$rule", with($file))
            : passes($name, with($file));
    }
    chown 0, -1, $dir;
};

# key -> ..data/key, ..data -> ..1/; an update makes ..2/ and moves ..data.
subtest 'a mount of Kubernetes' => sub {
    my $nginx = Nginx->new;
    my $mount = $nginx->dir . '/mount';
    $nginx->key_file('mount/..1/key', $KEY, 0400);
    link_to('..1',        "$mount/..data");
    link_to('..data/key', "$mount/key");
    start($nginx, "$mount/key");
    sends($nginx, 'the key of before', $KEY);

    $nginx->key_file('mount/..2/key', $NEXT, 0400);
    link_to('..2', "$mount/..tmp");
    rename "$mount/..tmp", "$mount/..data";
    is $nginx->reload, '', 'a reload after the update';
    sends($nginx, 'the new key', $NEXT);
    $nginx->stop;
};

# $CREDENTIALS_DIRECTORY is a tmpfs, mode 0500, with files of mode 0400.
subtest 'a credential of systemd' => sub {
    my $nginx = Nginx->new;
    my $file  = $nginx->key_file('credentials/nginx.service/openai', $KEY,
        0400);
    my $directory = $nginx->dir . '/credentials/nginx.service';
    chmod 0500, $directory;
    local $ENV{CREDENTIALS_DIRECTORY} = $directory;
    start($nginx, "$ENV{CREDENTIALS_DIRECTORY}/openai");
    sends($nginx, 'is read', $KEY);
    is $nginx->reload, '', 'and read again';
    sends($nginx, 'by a reload', $KEY);
    $nginx->stop;
    chmod 0700, $directory;
};

# Each reload finds one of the two, whole.
subtest 'replaced while it is read' => sub {
    my $nginx = Nginx->new;
    my $dir   = $nginx->dir;
    my $file  = $nginx->key_file('key', $KEY);
    start($nginx, $file);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        for my $i (0 .. 10_000_000) {
            my $new = "$dir/new";
            unlink $new;
            sysopen my $handle, $new, POSIX::O_WRONLY | POSIX::O_CREAT, 0600
                or last;
            syswrite $handle, $i % 2 ? $KEY : $NEXT;
            close $handle;
            rename $new, $file or last;
        }
        POSIX::_exit(0);
    }
    for (1 .. 15) {
        is $nginx->reload, '', "reload $_";
        my $r = request($nginx->port, target => '/a');
        is $r->status, 200, 'it serves';
        like $provider->last->header('authorization'),
            qr/\ABearer (?:\Q$KEY\E|\Q$NEXT\E)\z/, 'with one of the keys';
    }
    kill TERM => $pid;
    waitpid $pid, 0;
    $nginx->stop;
};

# Runs with what standard input holds; nginx inherits it.
sub on_stdin ($content, $code) {
    pipe my $read, my $write or die "pipe: $!";
    print {$write} $content;
    close $write;
    open my $saved, '<&', \*STDIN or die "stdin: $!";
    open STDIN, '<&', $read or die "stdin: $!";
    my $done = eval { $code->(); 1 };
    my $error = $@;
    open STDIN, '<&', $saved or die "stdin: $!";
    die $error if !$done;
    return;
}

subtest 'standard input' => sub {
    for my $daemon (0, 1) {
        my $nginx = Nginx->new(daemon => $daemon);
        push @{$nginx->{secrets}}, $KEY;
        on_stdin("$KEY\n", sub { start($nginx, '-') });
        sends($nginx, "is read at start (daemon $daemon)", $KEY);
        for (1 .. 3) {
            is $nginx->reload, '', "reload $_";
            sends($nginx, 'keeps it', $KEY);
        }
        my ($exit, $said) = $nginx->test_config($CONF);
        is $exit, 0, 'nginx -t does not wait for it' or diag $said;

        $nginx->configure($CONF, FROM => '- style=x-api-key');
        like $nginx->reload, qr/restart/, 'another header needs a restart';
        sends($nginx, 'and changes nothing', $KEY);
        $nginx->configure("$CONF keystile_nonsense on;", FROM => '-');
        isnt $nginx->reload, '', 'a reload that fails';
        sends($nginx, 'loses nothing', $KEY);
        my $file = $nginx->key_file('key', $NEXT);
        $nginx->configure($CONF, FROM => $file);
        is $nginx->reload, '', 'a file in its place';
        sends($nginx, 'is used', $NEXT);
        $nginx->configure($CONF, FROM => '-');
        is $nginx->reload, '', 'and back';
        sends($nginx, 'it is still there', $KEY);
        $nginx->tolerate(qr/restart|keystile_nonsense/)->stop;
    }

    my %bad = (
        'nothing'       => ['',                     'empty'],
        'two lines'     => ["$KEY\n$KEY\n",         'line'],
        'a space'       => ["$KEY $KEY\n",          'space'],
        'a placeholder' => ["sk-placeholder\n",     'placeholder'],
        'too much'      => ["$KEY" . 'k' x 20_000,  '16384'],
    );
    for my $name (sort keys %bad) {
        my ($content, $rule) = @{$bad{$name}};
        my $nginx = Nginx->new;
        eval {
            on_stdin($content, sub { start($nginx, '-') });
        };
        like $@, qr/\[emerg\][^\n]*openai[^\n]*standard input[^\n]*$rule/,
            "$name: said";
        unlike $@, qr/\Q$KEY\E/, 'and not what it was';
    }
};

done_testing;
