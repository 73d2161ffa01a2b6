# What must hold for an nginx that an ordinary user starts as well: the same
# tests, run again as www-data.

use Mojo::Base -strict, -signatures;
use Cwd qw(abs_path);
use File::Temp ();
use FindBin;
use Test::More;

use constant TESTS =>
    qw(hardening key_file key_file_sources nothing_written variables);

plan skip_all => 'needs root' if $> != 0;
my $user = getpwnam 'www-data' // plan skip_all => 'there is no www-data';

my $module = $ENV{KEYSTILE_MODULE}
    // "$FindBin::Bin/../build/nginx/ngx_http_keystile_module.so";
$module = abs_path($module) if $module ne '';
my @as_user = ('setpriv', "--reuid=$user", "--regid=$user", '--clear-groups');
plan skip_all => 'www-data cannot read this directory'
    if system(@as_user, 'test', '-r', "$FindBin::Bin/lib/Nginx.pm") != 0
    || $module ne '' && system(@as_user, 'test', '-r', $module) != 0;

my $home = File::Temp->newdir('keystile-user-XXXXXX', DIR => '/run');
chmod 0755, $home;
chown $user, -1, "$home";
local %ENV = (
    %ENV,
    HOME              => "$home",
    TMPDIR            => "$home",
    KEYSTILE_TEST_DIR => "$home",
    KEYSTILE_MODULE   => $module,
);

for my $test (TESTS) {
    open my $output, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', @as_user, $^X,
        "$FindBin::Bin/$test.t" or die "sh: $!";
    my @lines = <$output>;
    ok close($output) && !(grep {/\Anot ok/} @lines), "$test, as www-data"
        or diag @lines;
}

done_testing;
