# The house rules that a machine can see: which room may include what, names
# that nginx's build can tell apart, files that fit in a head, and one version
# wherever it is told.
#
# Each rule is also shown a small tree that breaks it: a check that has never
# failed has never been seen to work.

use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Find     ();
use File::Path     qw(make_path);
use File::Temp     ();
use FindBin        ();
use Test::More;

use constant LONGEST => 400;

# What an #include may name, by room. A header of the same room goes without
# its folder; `core` and `ngx` never know each other.
my $nginx   = qr{<ngx_\w+\.h>};
my $library = qr{<(?:(?:jansson|zlib|zstd)\.h|openssl/\w+\.h)>};
my $system  = qr{<[\w/]+(?:\.h)?>};
my $sibling = qr{"\w+\.hpp"};
my %allowed = (
    core => qr{\A(?:(?!$nginx|$library)$system|$sibling)\z},
    ngx  => qr{\A(?:$nginx|$system|$sibling)\z},
    http => qr{\A(?:(?!$nginx)$system|$sibling|"(?:ngx|core)/\w+\.hpp")\z},
);

# The only places in core that may know these libraries.
my %library_of = (
    '<jansson.h>' => qr{\A(?:client_file|json_\w+|reply_join\w*)\.[ch]pp\z},
    '<openssl/'   => qr{\A(?:running_)?digest\.cpp\z},
    '<zlib.h>'    => qr{\Abody_decoder\.cpp\z},
    '<zstd.h>'    => qr{\Abody_decoder\.cpp\z},
);

my %banned = map { $_ => 1 } qw(util utils helper helpers manager common misc
    data);

my %broken = (
    'core includes nginx' =>
        ['src/core/a.cpp', "#include <ngx_core.h>\n", qr/includes <ngx_core/],
    'core includes the nginx view' =>
        ['src/core/a.hpp', "#include \"ngx/nginx.hpp\"\n", qr/includes "ngx/],
    'core includes the module' =>
        ['src/core/a.cpp', "# include \"http/a.hpp\"\n", qr/includes "http/],
    'core climbs out of its room' =>
        ['src/core/a.cpp', "#include \"../ngx/a.hpp\"\n", qr/includes "\.\./],
    'core uses jansson anywhere' =>
        ['src/core/a.cpp', "#include <jansson.h>\n", qr/includes <jansson/],
    'core uses OpenSSL anywhere' =>
        ['src/core/a.cpp', "#include <openssl/evp.h>\n", qr/<openssl/],
    'core uses zlib anywhere' =>
        ['src/core/a.cpp', "#include <zlib.h>\n", qr/includes <zlib/],
    'core uses zstd anywhere' =>
        ['src/core/digest.cpp', "#include <zstd.h>\n", qr/includes <zstd/],
    'the nginx view includes core' =>
        ['src/ngx/a.hpp', "#include \"core/ascii.hpp\"\n", qr/includes "core/],
    'the module includes nginx directly' =>
        ['src/http/a.cpp', "#include <ngx_http.h>\n", qr/includes <ngx_http/],
    'two sources make one object' =>
        ['src/core/rules.cc', "\n", qr/rules\.cc: neither/],
    'a folder in a room' =>
        ['src/core/deep/a.cpp', "\n", qr/deep: neither/],
    'a fourth room' => ['src/other/a.cpp', "\n", qr/src\/other: neither/],
    'a name that says nothing' =>
        ['src/http/ngx_http_keystile_util.cpp', "\n", qr/: the name says/],
    'a file that is too long' =>
        ['src/core/a.cpp', "\n" x (LONGEST + 1), qr/401 lines/],
);

# Where the version is told; CHANGES and the changelog begin with the newest.
my %version_in = (
    'src/core/version.hpp' => qr{^inline .* kVersion = "([^"]*)";$}m,
    'CHANGES'              => qr{\A\s*Changes with keystile (\S+)},
    'debian/changelog'     => qr{\A\S+ \(([^)]*)\)},
);

my $root = "$FindBin::Bin/..";

is_deeply [map { basename($_) } grep { -d } glob "$root/src/*"],
    [sort keys %allowed], 'the rooms are core, http and ngx';
is join("\n", faults($root)), '', 'the source keeps the house rules';

for my $name (sort keys %broken) {
    my ($path, $content, $fault) = @{$broken{$name}};
    my $tree = File::Temp->newdir;
    write_file("$tree/$path", $content);
    like join("\n", faults($tree)), $fault, "would be seen: $name";
}

my ($version, @others) = versions($root);
like $version, qr/\A\d+\.\d+\.\d+\z/, 'there is a version';
is_deeply \@others, [], 'and it is one';
for my $path (sort keys %version_in) {
    my $tree = File::Temp->newdir;
    for my $copied (keys %version_in) {
        my $content = content("$root/$copied");
        $content =~ s/\Q$version/9.8.7/ if $copied eq $path;
        write_file("$tree/$copied", $content);
    }
    is_deeply [versions($tree)], [sort $version, '9.8.7'],
        "would be seen: another version in $path";
}

done_testing;

# The versions that the tree tells, each once.
sub versions {
    my ($tree) = @_;
    my %told = map {
        my ($version) = content("$tree/$_") =~ $version_in{$_};
        ($version // "none in $_" => 1);
    } keys %version_in;
    return sort keys %told;
}

# The faults of the tree's src/, each one line.
sub faults {
    my ($tree) = @_;
    my @faults;
    File::Find::find({
        no_chdir => 1,
        wanted   => sub {
            my ($path) = $File::Find::name =~ m{\A\Q$tree\E/src/(.+)} or return;
            push @faults, map { "src/$path: $_" } faults_of($tree, $path);
        },
    }, "$tree/src");
    return sort @faults;
}

sub faults_of {
    my ($tree, $path) = @_;
    return if $path eq 'exports.map' || $allowed{$path};
    my ($room, $file) = $path =~ m{\A(\w+)/(\w+\.[ch]pp)\z};
    return 'neither a room nor ROOM/NAME.cpp or .hpp'
        if !$room || !$allowed{$room};
    my @faults;
    push @faults, 'the name says nothing'
        if grep { $banned{$_} } split /[_.]/, $file;
    open my $source, '<', "$tree/src/$path" or die "$path: $!";
    while (my $line = <$source>) {
        my ($header) = $line =~ /\A\s*#\s*include\s+(.*?)\s*\z/ or next;
        push @faults, "includes $header"
            if !may_include($room, $file, $header);
    }
    push @faults, "$. lines, of " . LONGEST . ' at most' if $. > LONGEST;
    close $source;
    return @faults;
}

sub may_include {
    my ($room, $file, $header) = @_;
    return 1 if $header =~ $allowed{$room};
    return scalar grep {
        index($header, $_) == 0 && $room eq 'core' && $file =~ $library_of{$_}
    } keys %library_of;
}

sub content {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!";
    local $/;
    return scalar <$file>;
}

sub write_file {
    my ($path, $content) = @_;
    make_path(dirname($path));
    open my $file, '>', $path or die "$path: $!";
    print {$file} $content;
    close $file or die "$path: $!";
    return;
}
