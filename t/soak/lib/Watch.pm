# Watch: what the kernel knows of nginx's processes.
#
#     my $watch = Watch->new(nginx => $nginx);
#     $watch->workers;      # those that take connections
#     $watch->leaving;      # those that are shutting down
#     $watch->rss($pid);    # kilobytes; and locked($pid)
#     $watch->mappings($pid), $watch->sockets($pid), $watch->files($pid);
#     $watch->runs($pid);   # or would, if it were let

package Watch;

use Mojo::Base -base, -signatures;

has 'nginx';

sub master ($self) { return $self->nginx->master // 0 }

sub workers ($self) {
    return $self->_titled(qr/\Anginx: worker process\b(?! is)/);
}

sub leaving ($self) { return $self->_titled(qr/worker process is shutting/) }

sub rss    ($self, $pid) { return _status($pid, 'VmRSS') }
sub locked ($self, $pid) { return _status($pid, 'VmLck') }

sub mappings ($self, $pid) { return _read("/proc/$pid/maps") =~ tr/\n// }

sub files ($self, $pid) {
    my @files = glob "/proc/$pid/fd/*";
    return scalar @files;
}

sub sockets ($self, $pid) {
    return scalar grep { (readlink // '') =~ /\Asocket:/ }
        glob "/proc/$pid/fd/*";
}

sub runs ($self, $pid) {
    return _read("/proc/$pid/stat") =~ /\A\d+ \(.*\) R /s;
}

sub _status ($pid, $name) {
    my ($value) = _read("/proc/$pid/status") =~ /^$name:\s+(\d+)/m;
    return $value // 0;
}

sub _titled ($self, $title) {
    my $master = $self->master;
    return grep { _read("/proc/$_/cmdline") =~ $title }
        grep { _read("/proc/$_/stat") =~ /\A\d+ \(.*\) \S $master /s }
        map {m{(\d+)\z}} glob '/proc/[0-9]*';
}

sub _read ($path) {
    open my $file, '<', $path or return '';
    my $text = do { local $/; <$file> };
    return $text // '';
}

1;
