# The credential's file: which files are taken, and what is said of others. A
# message names the file and the rule, and never the content.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Configuration;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $KEY   = 'sk-test-provider-f11e';
my $nginx = Nginx->new;
my $dir   = $nginx->dir;
$nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-client']}]});
configure_with($nginx, $KEY);

sub key ($content, $mode = 0600) {
    return $nginx->key_file('openai.key', $content, $mode);
}

sub with (@options) {
    return credential => "keystile_credential openai @options;";
}

# A message about the credential that names its file, or what leads to it.
sub refuses ($name, $rule, %change) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    fails $name, "openai[^\\n]*\Q$dir\E[^\\n]*(?:$rule)", %change;
    return;
}

subtest 'content' => sub {
    my %good = (
        'a line'             => "$KEY\n",
        'no line end'        => $KEY,
        'CRLF'               => "$KEY\r\n",
        'a JWT'              => 'eyJhbGci.eyJzdWIi.c2ln-_' . $KEY,
        'every printable'    => $KEY . join('', map { chr } 0x21 .. 0x7E),
        '16383 bytes'        => $KEY . 'k' x (16383 - length $KEY),
        '16384 bytes'        => $KEY . 'k' x (16384 - length $KEY),
    );
    for my $name (sort keys %good) {
        key($good{$name});
        passes $name;
    }

    my %bad = (
        'nothing'            => ['', 'empty'],
        'an empty line'      => ["\n", 'empty'],
        'an empty line, CRLF' => ["\r\n", 'empty'],
        'only a scheme'      => ["Bearer \n", 'empty|space'],
        'two lines'          => ["$KEY\n$KEY\n", 'line'],
        'two line ends'      => ["$KEY\n\n", 'line'],
        'a line before'      => ["\n$KEY", 'line'],
        'a space'            => ["$KEY $KEY", 'space'],
        'a space before'     => [" $KEY", 'space'],
        'a space after'      => ["$KEY ", 'space'],
        'a tab'              => ["$KEY\t", 'space|printable'],
        'a NUL'              => ["$KEY\0", 'printable'],
        'a control byte'     => ["$KEY\x01", 'printable'],
        'a carriage return'  => ["a\r$KEY", 'printable|line'],
        'DEL'                => ["$KEY\x7F", 'printable'],
        'UTF-8'              => ["$KEY\xC3\xA9", 'ASCII'],
        'a byte order mark'  => ["\xEF\xBB\xBF$KEY", 'ASCII'],
        '16385 bytes'        => [$KEY . 'k' x (16385 - length $KEY), '16384'],
        'a megabyte'         => [$KEY . 'k' x 1_000_000, '16384'],
        'a placeholder'      => ['sk-placeholder-for-api-proxy', 'placeholder'],
        "a sandbox's"        => [
            'sk-ant-placeholder-key-for-credential-isolation', 'placeholder'],
        'another'            => ['ghu_' . 'a' x 36, 'placeholder'],
        'from a manual'      => ['sk-your-api-key', 'placeholder'],
    );
    for my $name (sort keys %bad) {
        key($bad{$name}[0]);
        refuses $name, $bad{$name}[1];
    }

    key("Bearer $KEY\n");
    warns 'an accidental scheme', 'scheme|Bearer';
    key('sk-test-client');
    fails 'the key of a client', 'ci';
};

subtest 'permissions' => sub {
    my $relaxed = sub { with('%%DIR%%/openai.key permissions=relaxed') };
    for my $mode (0600, 0400) {
        key($KEY, $mode);
        passes sprintf 'mode %04o', $mode;
    }
    for my $mode (0640, 0604, 0644, 0620, 0602, 0610, 0601, 0666, 0444) {
        key($KEY, $mode);
        refuses sprintf('mode %04o', $mode), 'group or others';
    }
    for my $mode (0640, 0604, 0444) {
        key($KEY, $mode);
        warns sprintf('mode %04o, relaxed', $mode), 'relaxed|others',
            $relaxed->();
    }
    for my $mode (0660, 0602) {
        key($KEY, $mode);
        refuses sprintf('mode %04o, relaxed', $mode), 'writable',
            $relaxed->();
    }
    key($KEY, 0600);
    passes 'mode 0600, relaxed', $relaxed->();
};

subtest 'the path' => sub {
    key($KEY);
    refuses 'a missing file', 'exist', with('%%DIR%%/none');
    refuses 'a missing directory', 'exist', with('%%DIR%%/none/openai.key');
    refuses 'a directory', 'regular file', with('%%DIR%%');
    system 'mkfifo', "$dir/fifo";
    refuses 'a FIFO', 'regular file', with('%%DIR%%/fifo');
    fails 'a device', 'regular file', with('/dev/null');

    # As Kubernetes mounts secrets: key -> ..data/key, ..data -> ..2027/
    mkdir "$dir/..2027";
    chmod 0755, "$dir/..2027";
    $nginx->key_file('..2027/key', $KEY);
    symlink '..2027', "$dir/..data";
    symlink '..data/key', "$dir/link";
    passes 'symbolic links', with('%%DIR%%/link');
    symlink 'loop', "$dir/loop";
    refuses 'a symbolic link to itself', 'link', with('%%DIR%%/loop');

    mkdir "$dir/open";
    $nginx->key_file('open/key', $KEY);
    for my $mode (0777, 0775, 0757) {
        chmod $mode, "$dir/open";
        refuses sprintf('a directory of mode %04o', $mode), 'write|writable',
            with('%%DIR%%/open/key');
    }
    symlink 'open/key', "$dir/into";
    refuses 'a link through it', 'write|writable', with('%%DIR%%/into');
    chmod 0755, "$dir/open";
    passes 'the same once it is closed', with('%%DIR%%/open/key');
};

subtest 'owners' => sub {
    plan skip_all => 'needs root' if $> != 0;
    my $stranger = getpwnam 'nobody';
    mkdir "$dir/theirs";
    my $file = $nginx->key_file('theirs/key', $KEY);
    chown $stranger, -1, $file;
    refuses "someone else's file", 'owned', with('%%DIR%%/theirs/key');
    chown 0, -1, $file;
    chown $stranger, -1, "$dir/theirs";
    refuses "someone else's directory", 'root', with('%%DIR%%/theirs/key');
    chown 0, -1, "$dir/theirs";
    passes 'both ours', with('%%DIR%%/theirs/key');
    symlink 'theirs/key', "$dir/planted";
    system 'chown', '-h', 'nobody', "$dir/planted";
    refuses "someone else's link", 'link', with('%%DIR%%/planted');
};

subtest 'what goes up is the key alone' => sub {
    my $provider = Provider->new;
    my $first    = "\n";
    key("Bearer $KEY\r\n");
    $nginx->start(<<'CONF', PROVIDER => $provider->address);
        keystile_credential openai %%DIR%%/openai.key;
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
    my $verdict = Verdict->new(provider => $provider, key => $KEY);
    $verdict->admitted('without scheme and line end',
        request($nginx->port, target => '/a'));

    key('sk-test-provider-next');
    is $nginx->reload, '', 'a new key is taken by a reload';
    $verdict->key('sk-test-provider-next')->line(
        'Authorization: Bearer sk-test-provider-next');
    $verdict->admitted('and used', request($nginx->port, target => '/a'));

    key("two\nlines");
    like $nginx->reload, qr/openai\.key[^\n]*line/, 'a bad one is refused';
    $verdict->admitted('and the old one stays',
        request($nginx->port, target => '/a'));
    $nginx->tolerate(qr/openai\.key/)->stop;
};

done_testing;
