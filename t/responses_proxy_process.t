# What stands in for `codex responses-api-proxy` as a process: its options, the
# key on standard input, where that key is not, and how it ends; started by
# root and by an ordinary user.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/clients/lib";
use Test::More;
use Authority;
use Await;
use File::Find ();
use IO::Socket::IP;
use Memory;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json true);
use Provider;
use ResponsesProxy;
use Wire;

my $PATH     = '/v1/responses';
my $provider = Provider->new;
my $UPSTREAM = 'http://' . $provider->address . $PATH;

sub post ($proxy, $size = 2) {
    return request($proxy->port, method => 'POST', target => $PATH,
        body => 'x' x $size);
}

sub starts (%how) {
    return ResponsesProxy->start(key => 'sk-test-any-5d1f', user => undef,
        upstream => $UPSTREAM, %how);
}

# nginx's master and its workers.
sub nginx_of ($proxy) {
    my ($master) = children($proxy->pid);
    return ($master, children($master));
}

sub children ($pid) {
    return split ' ', path("/proc/$pid/task/$pid/children")->slurp;
}

sub await_gone ($what, @pids) {
    return ok eval {
        await "the end of $what", sub { !grep { kill 0 => $_ } @pids };
    }, "$what: gone";
}

sub directories_of ($proxy) {
    my $pid = $proxy->child->pid;
    return map { glob "$_/keystile-proxy-$pid-*" } '/run',
        $proxy->folder . '/tmp';
}

sub is_empty ($proxy) {
    return is_deeply [directories_of($proxy)], [], 'and leaves no file';
}

# Environments, command lines and files that hold these bytes. An environment
# that we may not read ourselves holds nothing for others.
sub places_of ($secret, $folder, @pids) {
    my @files = map { ("/proc/$_/environ", "/proc/$_/cmdline") } @pids;
    File::Find::find({no_chdir => 1, wanted => sub {
        push @files, $_ if -f && !-l;
    }}, $folder);
    return grep { index(path($_)->slurp, $secret) >= 0 } grep { -r } @files;
}

my @users = $> == 0 ? (undef, 'nobody') : undef;
my $module = $ENV{KEYSTILE_MODULE}
    // "$FindBin::Bin/../build/nginx/ngx_http_keystile_module.so";
plan skip_all => 'the module is in the binary' if $module eq '';

for my $user (@users) {
    my $name = $user // 'as whoever runs the test';

    SKIP: {
        skip "$name cannot read this directory" if $user && grep {
            system('setpriv', '--reuid', $user, '--clear-groups', '--regid',
                (getpwnam $user)[3], 'test', '-r', $_) != 0;
        } $module, ResponsesProxy::OURS;

        subtest "$name: from start to end" => sub {
            my $KEY   = fresh_key('proxy');
            my $proxy = starts(key => $KEY, user => $user,
                options => ['--http-shutdown']);
            my $child = $proxy->child->pid;
            is $proxy->pid, $child, 'the pid is that of what was started';
            like $proxy->said,
                qr/^responses-api-proxy[ ]listening[ ]on[ ]127\.0\.0\.1:
                    ${\$proxy->port}$/mx, 'it says where it listens';
            is path($proxy->folder, 'run/info.json')->slurp,
                sprintf(qq({"port":%d,"pid":%d}\n), $proxy->port, $child),
                'in the file, too';
            is post($proxy)->status, 200, 'it serves';
            is $provider->last->header('authorization'), "Bearer $KEY",
                'with the key';
            is post($proxy, 22_000_000)->status, 200, 'a body for a file';
            is length $provider->last->body, 22_000_000, 'as a whole';

            my @nginx = nginx_of($proxy);
            cmp_ok @nginx, '>=', 2, 'nginx runs';
            my ($files) = directories_of($proxy);
            ok -e "$files/nginx.conf", 'its files';
            is_deeply [map { places_of($KEY, $_, $child, @nginx) }
                $proxy->folder, $files], [],
                'the key is in no environment and no file';
            is_deeply [map { $_->{text} } Memory->new(secrets => {a => $KEY})
                ->hits($child)], [], 'nor in the memory of what started nginx'
                if can_scan();
            isnt session($nginx[0]), session($child),
                'a terminal\'s signals are not for nginx';

            is request($proxy->port, target => '/shutdown')->status, 200,
                'GET /shutdown';
            is $proxy->end, 0, 'it ends';
            await_gone('nginx', @nginx);
            is_empty($proxy);
        };

        subtest "$name: --dump-dir" => sub {
            my $KEY   = fresh_key('dump');
            my $proxy = starts(key => $KEY, user => $user,
                options => ['--dump-dir', 'some/where', '--http-shutdown']);
            my $file   = path($proxy->folder, 'some/where/turns.jsonl');
            my $answer = request($proxy->port, method => 'POST',
                target => $PATH, body => '{"model":"m","input":"a prompt"}',
                headers => ['x-api-key' => 'sk-test-foreign-91c0']);
            is $answer->status, 200, 'a turn';
            request($proxy->port, target => '/v1/models');
            request($proxy->port, target => '/shutdown');
            is $proxy->end, 0, 'all of it';
            my @lines = split /\n/, $file->slurp;
            is @lines, 1, 'is one line, and a refusal none';
            my $turn = decode_json($lines[0]);
            is $turn->{request}{input}, 'a prompt', 'what was asked';
            is_deeply $turn->{response}, {ok => true}, 'what was answered';
            unlike $lines[0], qr/\Q$KEY\E|foreign-91/, 'no key';
            is +(stat $file)[2] & 07777, 0600, 'not for others';
            is +(stat $file->dirname)[2] & 0066, 0, 'nor where it is';
        };

        for my $signal (qw(TERM INT HUP QUIT)) {
            subtest "$name: SIG$signal" => sub {
                my $proxy = starts(user => $user);
                my @nginx = nginx_of($proxy);
                is $proxy->end($signal), 'a signal', 'it ends by it';
                await_gone('nginx', @nginx);
                is_empty($proxy);
            };
        }
    }
}

sub session ($pid) {
    return (split ' ', path("/proc/$pid/stat")->slurp =~ s/.*\) //r)[3];
}

subtest 'killed' => sub {
    my $proxy = starts();
    my @nginx = nginx_of($proxy);
    is $proxy->end('KILL'), 'a signal', 'it ends';
    await_gone('nginx', @nginx);
    path($_)->remove_tree for directories_of($proxy);
};

subtest 'nginx ends' => sub {
    my $proxy = starts();
    kill KILL => my @nginx = nginx_of($proxy);
    is $proxy->end, 1, 'it ends, too';
    like $proxy->said, qr/^Error: nginx has ended$/m, 'and says why';
    is_empty($proxy);
};

subtest 'standard input' => sub {
    my $proxy = starts(open => 1);
    is post($proxy)->status, 200, 'may stay open behind the key';
    $proxy->end('TERM');

    my %keys = ("sk-test-a\nsk-test-b\n" => 'sk-test-a',
        "sk-test-a\r\n" => 'sk-test-a', 'sk-test-a' => 'sk-test-a',
        "ey.J-_h+/=~\n" => 'ey.J-_h+/=~');
    for my $input (sort keys %keys) {
        $proxy = starts(input => $input);
        is post($proxy)->status, 200, 'a key';
        is $provider->last->header('authorization'), "Bearer $keys{$input}",
            'is its first line';
        $proxy->end('TERM');
    }

    my %others = ("sk-test secret\n" => qr/"standard input"/,
        "\xc3\xa9\n" => qr/"standard input"/,
        'x' x 20_000 . "\n" => qr/"standard input"/);
    $others{$_} = qr/\AError: API key must be provided via stdin \(e\.g\./
        for '', "\n", "\nsk-test-a\n";
    for my $input (sort keys %others) {
        my @theirs = $input =~ /\A\n?\z/ ? 1 : ();
        for my $original (0, @theirs) {
            $proxy = starts(input => $input, original => $original,
                may_fail => 1);
            is $proxy->end, 1, 'no key: it does not start';
            like $proxy->said =~ s/^WARNING.*\n//mr, $others{$input},
                'and says so';
            unlike $proxy->said, qr/listening|secret|xxx/, 'and no more';
            ok !-e $proxy->folder . '/run/info.json', 'nor in the file';
            is_empty($proxy) if !$original;
        }
    }
};

subtest '--port' => sub {
    my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1);
    my $port     = $listener->sockport;
    my $proxy    = starts(options => ['--port', $port], may_fail => 1);
    is $proxy->end, 1, 'one that is taken';
    like $proxy->said, qr/^Error: binding 127\.0\.0\.1:$port: Address already/m,
        'it says so';
    close $listener;
    $proxy = starts(options => ["--port=$port"]);
    is $proxy->port, $port, 'one that is free';
    is post($proxy)->status, 200, 'is served';
    $proxy->end('TERM');
};

subtest '--upstream-url' => sub {
    my $authority = Authority->new;
    my $tls = Provider->new(tls => $authority->issue('localhost'));
    my $url = 'https://localhost:' . $tls->port;
    my %targets = ('' => '/', '/' => '/', '/a/b?c=d&e' => '/a/b?c=d&e',
        '/a%20b' => '/a%20b', '?a=b' => '/?a=b');
    for my $rest (sort keys %targets) {
        my $proxy = starts(upstream => $url . $rest,
            env => {SSL_CERT_FILE => $authority->cert});
        is post($proxy)->status, 200, "https, and '$rest'";
        is $tls->last->target, $targets{$rest}, 'goes there';
        is $tls->last->header('host'), 'localhost:' . $tls->port, 'as such';
        $proxy->end('TERM');
    }
    my $proxy = starts(upstream => $url);
    is post($proxy)->status, 502, 'an authority that is unknown';
    $proxy->end('TERM');

    for my $wrong ('nonsense', 'http:', 'ftp://a/', 'https://a b/',
        'https://user@a/', 'https://a/#b', 'https:///a', "https://a/\nb") {
        my $proxy = starts(upstream => $wrong, may_fail => 1);
        is $proxy->end, 1, "not $wrong";
        like $proxy->said, qr/^Error: /m, 'it says so';
    }
    $proxy = starts(upstream => 'http://192.0.2.1/', may_fail => 1);
    is $proxy->end, 1, 'a key in the clear to another host';
    like $proxy->said, qr/insecure_upstream/, 'it says so';
};

SKIP: {
    skip 'root\'s workers are root\'s own otherwise' if $> != 0;
    subtest '--dump-dir, where workers cannot enter' => sub {
        my $private = File::Temp->newdir('keystile-dump-XXXXXX', TMPDIR => 1);
        my $proxy = starts(options => ['--dump-dir', "$private/dump"],
            may_fail => 1);
        is $proxy->end, 1, 'it does not start';
        like $proxy->said, qr/^Error: --dump-dir: the workers .*\Q$private\E$/m,
            'and says so';
    };
}

subtest 'other options' => sub {
    my %wrong = ('--nonsense' => 2, 'word' => 2, '--port=x' => 2,
        '--port=70000' => 2, '--github-oidc' => 2, '--nginx=/none' => 1,
        '--module=/none' => 1);
    for my $option (sort keys %wrong) {
        my $proxy = starts(options => [$option], may_fail => 1);
        is $proxy->end, $wrong{$option}, $option;
        like $proxy->said, qr/^usage: |^Error: |^nginx: \[emerg\]/m,
            'it says why';
        is_empty($proxy);
    }
    my $proxy = starts(options => ['--help'], may_fail => 1);
    is $proxy->end, 0, '--help';
    like $proxy->said, qr/--$_ /, "has --$_"
        for qw(port server-info upstream-url dump-dir nginx module);
};

subtest 'what is wrong with the environment' => sub {
    my $KEY   = fresh_key('in-environment');
    my $proxy = starts(env => {OPENAI_API_KEY => $KEY,
        http_proxy => 'http://192.0.2.1:3128'});
    like $proxy->said, qr/^WARNING: OPENAI_API_KEY is in the environment/m,
        'a key there';
    unlike $proxy->said, qr/sk-test-in/, 'which is not shown';
    is_deeply [map { $_->{text} } Memory->new(secrets => {a => $KEY})
        ->hits(nginx_of($proxy))], [], 'nor handed on to nginx' if can_scan();
    like $proxy->said, qr/^WARNING: http_proxy has no effect/m, 'a proxy';
    is post($proxy)->status, 200, 'it serves all the same';
    $proxy->end('TERM');
};

done_testing;
