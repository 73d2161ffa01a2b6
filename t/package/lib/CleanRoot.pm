# CleanRoot: the Debian that in-root, or in-image, has made for a test.
#
#     BEGIN { CleanRoot->enter('in-root', 'libjansson4 ...') }
#     my $root = CleanRoot->new;
#     my ($exit, $said) = $root->run('dpkg', '-i', '/keystile.deb');
#     $root->child('etc/keystile/openai.key')->spew($key);
#     my %files = $root->files;               # path => mode, owner, link
#
# enter() runs the test there, and skips it when it is not root's.

package CleanRoot;

use Mojo::Base -base, -signatures;
use Cwd        qw(abs_path);
use File::Find ();
use File::Temp ();
use Mojo::File qw(path);
use POSIX      ();

has dir => sub { $ENV{KEYSTILE_ROOT} };

# What dpkg, apt and the start of anything write, and the command `ldconfig`.
use constant NOT_OURS => qr{^(?:proc|dev|run|tmp|var/lib/dpkg|var/cache
    |var/log/(?:apt|nginx|dpkg\.log|alternatives\.log)|var/lib/nginx
    |etc/ld\.so\.cache)(?:/|\z)}x;

sub enter ($class, $script, @arguments) {
    return if $ENV{KEYSTILE_ROOT} || $^C;
    if ($> != 0) {
        say '1..0 # SKIP not root';
        exit;
    }
    $script = path(__FILE__)->dirname->sibling($script);
    exec $script, @arguments, $^X, abs_path($0) or die "$script: $!";
}

sub child ($self, $name) { return path($self->dir)->child($name) }

sub write ($self, $name, $content, $mode = 0644) {
    my $path = $self->child($name);
    $path->dirname->make_path;
    open my $file, '>', $path or die "$path: $!";
    print {$file} $content;
    close $file or die "$path: $!";
    chmod $mode, $path or die "$path: $!";
    return $path;
}

# (exit code, what it said). A server that it starts keeps its output open, so
# that is a file.
sub run ($self, @command) {
    my $output = File::Temp->new;
    my $pid    = fork // die "fork: $!";
    if (!$pid) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>',  $output->filename;
        open STDERR, '>&', \*STDOUT;
        exec $self->inside(@command) or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return ($? >> 8 || $?, path($output->filename)->slurp);
}

# The command that runs one in there, with an environment of its own.
sub inside ($self, @command) {
    return (qw(env -i LC_ALL=C DEBIAN_FRONTEND=noninteractive),
        'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'chroot', $self->dir, @command);
}

# Every path with its mode, its owner, and where it points.
sub files ($self) {
    my %files;
    my $start = length($self->dir) + 1;
    File::Find::find({no_chdir => 1, wanted => sub {
        my $name = length > $start ? substr $_, $start : return;
        if ($name =~ NOT_OURS) {
            $File::Find::prune = 1;
            return;
        }
        my ($mode, $uid, $gid) = (lstat)[2, 4, 5];
        $files{$name} = sprintf '%o %d:%d%s', $mode, $uid, $gid,
            -l ? ' -> ' . readlink : '';
    }}, $self->dir);
    return %files;
}

1;
