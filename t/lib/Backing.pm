# Backing: nginx with each kind of memory that keystile keeps credentials in.
#
#     for my $backing (backings()) {
#         my $nginx = Nginx->new(binary => $backing->{binary}->(), ...);
#         ...
#         like $nginx->error_log, $backing->{said};
#     }
#
# A backing has a name (memfd_secret or mlock), binary, said (what the notice
# at start says), and copies: how many of a credential a process that holds it
# has in memory that can be read at all, which is none with memfd_secret(2).
# That one is left out where the kernel lacks it; for mlock(2), the kernel is
# made to lack it.
#
# wrapped($script) is a binary that goes through a line of shell first, which
# ends with `exec ... "$@"`; $NGINX in it is nginx.

package Backing;

use Mojo::Base -strict, -signatures;
use Compiled;
use Exporter   qw(import);
use File::Temp ();
use Memory;

our @EXPORT = qw(backings wrapped);

my @dirs;

sub backings () {
    my @backings = ({
        name   => 'mlock',
        binary => sub {
            my $deny = compiled('deny_memfd_secret');
            return wrapped("exec '$deny' \"\$NGINX\" \"\$@\"");
        },
        said   => qr/\[notice\][^\n]* locked memory \(mlock\)/,
        copies => 1,
    });
    push @backings, {
        name   => 'memfd_secret',
        binary => sub { nginx() },
        said   => qr/\[notice\][^\n]* secret memory \(memfd_secret\)/,
        copies => 0,
    } if can_have_secret_memory();
    return @backings;
}

sub nginx () { return $ENV{KEYSTILE_NGINX} // '/usr/sbin/nginx' }

sub wrapped ($script) {
    push @dirs, my $dir = File::Temp->newdir('keystile-sh-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    my $path = "$dir/nginx";
    open my $file, '>', $path or die "$path: $!";
    print {$file} "#!/bin/sh\nNGINX='${\nginx()}'\n$script\n";
    close $file or die "$path: $!";
    chmod 0755, $path;
    return $path;
}

1;
