# The clients of t/clients/ are the same everywhere: exact versions, and a digest
# for each package that npm fetches.

use Mojo::Base -strict, -signatures;
use FindBin;
use Test::More;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);

my $EXACT = qr/\A\d+\.\d+\.\d+(?:-[\w.-]+)?\z/;
my ($PACKAGE, $LOCK) = map { path("$FindBin::Bin/clients/$_")->slurp }
    qw(package.json package-lock.json);

sub faults ($package, $lock) {
    my @faults;
    my $wanted = $package->{dependencies};
    push @faults, "$_ is not exact"
        for grep { $wanted->{$_} !~ $EXACT } sort keys %$wanted;
    push @faults, "$_ is locked as another"
        for grep { $wanted->{$_} ne
            ($lock->{packages}{"node_modules/$_"}{version} // '') }
        sort keys %$wanted;
    for my $name (grep { $_ ne '' } sort keys %{$lock->{packages}}) {
        my $locked = $lock->{packages}{$name};
        push @faults, "$name has no digest"
            if ($locked->{integrity} // '') !~ m{\Asha512-[\w+/]+=*\z};
        push @faults, "$name has no version"
            if ($locked->{version} // '') !~ $EXACT;
    }
    return @faults;
}

is_deeply [faults(decode_json($PACKAGE), decode_json($LOCK))], [],
    'all are pinned';

my %broken = (
    'a range' => [qr/openai is not exact/,
        sub ($p, $l) { $p->{dependencies}{openai} = '^6.0.0' }],
    'another version' => [qr/ws is locked as another/,
        sub ($p, $l) { $l->{packages}{'node_modules/ws'}{version} = '1.0.0' }],
    'no digest' => [qr/ws has no digest/,
        sub ($p, $l) { delete $l->{packages}{'node_modules/ws'}{integrity} }],
);
for my $name (sort keys %broken) {
    my ($fault, $break) = @{$broken{$name}};
    my ($package, $lock) = (decode_json($PACKAGE), decode_json($LOCK));
    $break->($package, $lock);
    like join("\n", faults($package, $lock)), $fault, "would be seen: $name";
}

done_testing;
