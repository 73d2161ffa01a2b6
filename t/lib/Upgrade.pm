# Upgrade: an upgrade of the binary on the fly, of an nginx that is a daemon.
#
#     my $old = upgrade($nginx);    # sends USR2, waits for the new workers
#     kill QUIT => $old;            # or WINCH, as nginx's manual has it
#
# The new master is that of $nginx from then on; the old one is for the test to
# end.

package Upgrade;

use Mojo::Base -strict, -signatures;
use Await;
use Exporter   qw(import);
use Mojo::File qw(path);

our @EXPORT = qw(upgrade);

sub _is_started_by_nginx ($pid) {
    my ($parent) = path("/proc/$pid/status")->slurp =~ /^PPid:\s*(\d+)/m;
    my $name = eval { path("/proc/$parent/comm")->slurp } // '';
    return $name =~ /nginx/;
}

sub upgrade ($nginx) {
    my $old  = $nginx->master;
    my $file = $nginx->dir . '/nginx.pid';
    my $from = length $nginx->error_log;
    # Until then it takes itself for a new binary, and heeds no USR2.
    await 'the one that has started it to be gone',
        sub { !_is_started_by_nginx($old) };
    kill USR2 => $old;
    await 'a new master', sub {
        -s "$file.oldbin" && -s $file
            && substr($nginx->error_log, $from) =~ /start worker process \d/;
    };
    $nginx->master(path($file)->slurp + 0);
    return $old;
}

1;
