# What ./dev deb made: a package that any machine would have made, and an SBOM
# that tells what is in it.

use Mojo::Base -strict, -signatures;
use FindBin;
use Test::More;
use Digest::SHA qw(sha1_hex);
use File::Temp  ();
use Mojo::File  qw(path);
use Mojo::JSON  qw(decode_json);

my $root    = path("$FindBin::Bin/../..")->realpath;
my $NAME    = 'libnginx-mod-http-keystile';
my ($deb)   = glob "$root/build/deb/${NAME}_*.deb";
BAIL_OUT('first ./dev deb') if !$deb;
my $sbom    = decode_json path($deb =~ s/\.deb\z/.spdx.json/r)->slurp;

sub digest ($kind, $path) {
    return Digest::SHA->new($kind)->addfile("$path", 'b')->hexdigest;
}

# The faults of an SPDX document about a package whose files are in a tree.
sub faults ($sbom, $deb, $tree) {
    my @faults;
    my %ids = ('SPDXRef-DOCUMENT' => 1);
    for my $element (@{$sbom->{packages}}, @{$sbom->{files}}) {
        my $id = $element->{SPDXID} // '';
        push @faults, "id $id" if $id !~ /\ASPDXRef-[\w.-]+\z/ || $ids{$id}++;
        push @faults, "$id lacks $_"
            for grep { !defined $element->{$_} }
            qw(licenseConcluded copyrightText), exists $element->{fileName}
            ? ('checksums') : qw(name versionInfo supplier downloadLocation);
    }
    push @faults, $_ for grep { !defined $sbom->{$_} } qw(name creationInfo);
    push @faults, 'version' if $sbom->{spdxVersion} ne 'SPDX-2.3';
    push @faults, 'licence of the data' if $sbom->{dataLicense} ne 'CC0-1.0';
    push @faults, 'namespace'
        if $sbom->{documentNamespace} !~ m{\Ahttps://[^#\s]+\z};
    push @faults, 'time' if $sbom->{creationInfo}{created}
        !~ /\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/;
    for my $relation (@{$sbom->{relationships}}) {
        push @faults, "no $_" for grep { !$ids{$_} }
            @{$relation}{qw(spdxElementId relatedSpdxElement)};
    }
    return (@faults, faults_of_digests($sbom, $deb, $tree));
}

sub faults_of_digests ($sbom, $deb, $tree) {
    my @faults;
    my %there = map { './' . $_->to_rel($tree) => digest(256, $_) }
        grep { !-l } path($tree)->list_tree({hidden => 1})->each;
    my @sha1;
    for my $file (@{$sbom->{files}}) {
        my %sums = map { @{$_}{qw(algorithm checksumValue)} }
            @{$file->{checksums}};
        push @sha1, $sums{SHA1};
        push @faults, "digest of $file->{fileName}"
            if (delete $there{$file->{fileName}} // '') ne $sums{SHA256};
    }
    push @faults, map { "without $_" } sort keys %there;
    my ($package) = grep { $_->{name} eq $NAME } @{$sbom->{packages}};
    push @faults, 'digest of the package'
        if $package->{checksums}[0]{checksumValue} ne digest(256, $deb);
    push @faults, 'digest of all files'
        if $package->{packageVerificationCode}{packageVerificationCodeValue}
        ne sha1_hex(join '', sort @sha1);
    return @faults;
}

subtest 'the SBOM' => sub {
    my $tree = File::Temp->newdir;
    system('dpkg-deb', '-x', $deb, "$tree") == 0 or die 'dpkg-deb';
    is_deeply [faults($sbom, $deb, $tree)], [], 'is one, and right';
    my %linked = map { $_->{relatedSpdxElement} =~ s/SPDXRef-Package-//r => 1 }
        grep { $_->{relationshipType} eq 'DYNAMIC_LINK' }
        @{$sbom->{relationships}};
    ok $linked{$_}, "it knows $_"
        for qw(libc6 libjansson4 libssl3 libstdc--6 libzstd1 zlib1g);

    my %broken = (
        'a file that it does not have' =>
            [qr/without/, sub ($s) { pop @{$s->{files}} }],
        'a file that is another' => [qr/digest of \./,
            sub ($s) { $s->{files}[3]{checksums}[1]{checksumValue} = '0' }],
        'a relation to nothing' => [qr/no SPDXRef-x/,
            sub ($s) { $s->{relationships}[0]{spdxElementId} = 'SPDXRef-x' }],
        'two of one id' => [qr/id SPDXRef/,
            sub ($s) { $s->{files}[1]{SPDXID} = $s->{files}[0]{SPDXID} }],
        'a package without a licence' => [qr/lacks licenseConcluded/,
            sub ($s) { delete $s->{packages}[1]{licenseConcluded} }],
        'a package of nobody' => [qr/lacks supplier/,
            sub ($s) { delete $s->{packages}[0]{supplier} }],
    );
    for my $name (sort keys %broken) {
        my ($fault, $break) = @{$broken{$name}};
        my $copy = decode_json path($deb =~ s/\.deb\z/.spdx.json/r)->slurp;
        $break->($copy);
        like join("\n", faults($copy, $deb, $tree)), $fault,
            "would be seen: $name";
    }
};

# From its source package: elsewhere, for someone else, in another language and
# half a world away. The secrets that lie about there are not in it, those of
# any name not in what is made of a checkout.
my @secrets = qw(openai.key .env tls.pem turns.jsonl conf-examples/auth.json);
made_again('unpacked', @secrets);
made_again('as a checkout', @secrets, 'notes', 'src/core/notes.txt');

sub made_again ($how, @secrets) {
    my $elsewhere = File::Temp->newdir('a-much-longer-name-XXXX', TMPDIR => 1);
    my $source    = "$elsewhere/keystile";
    my ($dsc)     = glob "$root/build/deb/*.dsc";
    system('dpkg-source', '-q', '--no-check', '-x', $dsc, $source) == 0
        or die 'dpkg-source';
    system('sh', '-c', 'cd "$1" && git init -q && git add -A', 'sh', $source)
        == 0 or die 'git' if $how eq 'as a checkout';
    path("$source/$_")->spurt('sk-test-secret') for @secrets;
    my @command = (qw(env TZ=Asia/Tokyo LANG=de_DE.UTF-8), 'sh', '-c', <<'SH');
        set -e
        umask 077
        cd "$1"
        chmod -R go-rwx .
        find . -type f -exec touch -d 2001-01-01 {} +
        debian/make-package build/other >../log 2>&1
SH
    is system(@command, 'sh', $source), 0, "$how, it can be made again"
        or diag path("$elsewhere/log")->slurp;
    for my $name (map { path($_)->basename } $deb,
        glob("$root/build/deb/*.tar.xz"), glob("$root/build/deb/*.spdx.json"),
        glob("$root/build/deb/*-dbgsym_*.deb")) {
        my $other = "$source/build/other/$name";
        is -e $other ? digest(256, $other) : 'missing',
            digest(256, "$root/build/deb/$name"), "$name is the same";
    }
    return;
}

done_testing;
