# What the builder of the image is sent: the sources, and none of the secrets
# that lie about among them.

use Mojo::Base -strict, -signatures;
use FindBin;
use Test::More;
use File::Temp ();
use Mojo::File qw(path);
use Mojo::Util qw(scope_guard);

plan skip_all => 'not root' if $> != 0;

my $root  = path("$FindBin::Bin/../..")->realpath;
my @NAMES = qw(openai.key tls.pem .env .env.local turns.jsonl auth.json
    clients.json);
my @SECRETS = map { $_, "conf-examples/$_" } @NAMES;

# Of a context that has these files, those that are sent.
sub sent (@files) {
    my $context = File::Temp->newdir('keystile-context-XXXXXX', TMPDIR => 1);
    path("$context/$_")->tap(sub { $_->dirname->make_path })->spurt('there')
        for @files;
    $root->child('.dockerignore')->copy_to("$context/.dockerignore");
    path("$context/Dockerfile")->spurt("FROM scratch\nCOPY . /\n");
    my $image = 'localhost/keystile-context';
    my $said = `buildah bud --isolation chroot -t $image $context 2>&1`;
    is $?, 0, 'an image of what is sent' or diag $said;
    my $clean = scope_guard sub { `buildah rmi $image` };
    chomp(my $container = `buildah from --pull-never $image`);
    my $gone = scope_guard sub { `buildah rm $container` };
    chomp(my $mounted = `buildah mount $container`);
    return path($mounted)->list_tree({hidden => 1})
        ->map(to_rel => $mounted)->map('to_string')->to_array;
}

my @SOURCES = split /\0/, `cd '$root' && git -c safe.directory='$root' \\
    ls-files -z -- ':!t' ':!.ci'`;
@SOURCES = qw(src/core/key.cpp debian/rules dev) if !@SOURCES;
my $sent  = sent(@SOURCES, @SECRETS, 't/tests.t', 'build/log', '.git/config');
my %there = map { $_ => 1 } @$sent;
is_deeply [grep { $there{$_} } @SECRETS], [], 'no secret';
is_deeply [grep {m{\A(?:t|build|[.]git)/}} @$sent], [], 'nothing else of ours';
is_deeply [grep { !$there{$_} } @SOURCES], [], 'but every source';

done_testing;
