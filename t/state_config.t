# keystile_zone with "state=", as it is written: files that two zones would
# share are refused, and a directory that others may write to is warned of.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Configuration;
use Nginx;

subtest 'two zones' => sub {
    my $nginx = Nginx->new;
    $nginx->key_file('openai.key', 'sk-test-provider-83fe');
    $nginx->file("$_/placeholder", '') for qw(state other);
    my $dir = $nginx->dir;
    symlink "$dir/state", "$dir/linked" or die "symlink: $!";
    configure_with($nginx, 'sk-test-provider-83fe');
    my @meter = (admit => 'keystile_admit any;', clients => '',
        more => 'keystile_meter main;');
    my $zones = sub ($one, $two) {
        return (@meter, http => "keystile_zone main 1m state=$one;"
            . "keystile_zone second 1m state=$two;");
    };
    my $one  = '%%DIR%%/state/one';
    my %same = (
        'the same name'          => $one,
        'another slash'          => '%%DIR%%/state//one',
        'a dot'                  => '%%DIR%%/state/./one',
        'up and down'            => '%%DIR%%/other/../state/one',
        'by a linked directory'  => '%%DIR%%/linked/one',
        'what is its second file' => '%%DIR%%/state/one.2',
    );
    for my $name (sort keys %same) {
        fails $name, 'state', $zones->($one, $same{$name});
        fails "$name, the other way", 'state', $zones->($same{$name}, $one);
    }
    passes 'two files', $zones->($one, '%%DIR%%/state/two');
    passes 'in two directories', $zones->($one, '%%DIR%%/other/one');
    passes 'of names that are alike', $zones->($one, '%%DIR%%/state/one.3');
};

# Whoever may write there can give budgets back that are used up.
subtest 'a directory that others may write to' => sub {
    my $nginx = Nginx->new;
    $nginx->key_file('openai.key', 'sk-test-provider-83fe');
    $nginx->file('state/placeholder', '');
    configure_with($nginx, 'sk-test-provider-83fe');
    my @meter = (admit => 'keystile_admit any;', clients => '',
        more => 'keystile_meter main;',
        http => 'keystile_zone main 1m state=%%DIR%%/state/one;');
    my $change = sub ($mode) { chmod $mode, $nginx->dir . '/state' };
    for my $mode (0777, 0770, 0702) {
        $change->($mode);
        warns sprintf('%o', $mode), 'directory of state file "\S+/state/one"'
            . ' in \S+:\d+', @meter;
    }
    for my $mode (0700, 0755, 01777) {
        $change->($mode);
        passes sprintf('%o', $mode), @meter;
    }
};

done_testing;
