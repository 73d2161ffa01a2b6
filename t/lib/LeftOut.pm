# LeftOut: the reasons for which a test may be left out, and prove's harness
# that fails where one is left out for another: where something is not
# installed, a test would run nowhere, and nobody would see it.
#
#     t/prove [OPTION...] TEST...
#
# It looks at whole files, at subtests, and at what SKIP leaves out, and names
# at the end what was left out of each.

package LeftOut;

use Mojo::Base 'TAP::Harness', -signatures;

my $always   = sub { 1 };
my $not_root = sub { $> != 0 };
my $asan     = sub { $ENV{KEYSTILE_SANITIZED} };
my $static   = sub { ($ENV{KEYSTILE_MODULE} // 'a file') eq '' };
my $foreign  = sub { defined $ENV{KEYSTILE_NGINX} };

sub lacks ($option) {
    return sub {
        my $nginx = $ENV{KEYSTILE_NGINX} // '/usr/sbin/nginx';
        return `$nginx -V 2>&1` !~ /--with-\Q$option\E(?:\s|\z)/;
    };
}

# Each with where it may be one. What is not here is a fault of the machine.
my %MAY = (
    # who runs the tests
    'not root'                                => $not_root,
    'needs root'                              => $not_root,
    'needs root and a C compiler'             => $not_root,
    'no file of root here'                    => $not_root,
    q(root's workers are root's own otherwise) => $not_root,
    # where
    'needs root, and files that can only grow' => $always,
    'no file system can be mounted here'       => $always,
    'no process namespace can be made here'    => $always,
    'core files go elsewhere on this system'   => $always,
    'Yama protects every process'              => $always,
    # with which nginx
    'the module is in the binary'                   => $static,
    'nginx has no sticky'                           => $always,
    'this nginx loads no module of Debian'          => $foreign,
    'this nginx has no gunzip module' => lacks('http_gunzip_module'),
    'this nginx has no HTTP/2'        => lacks('http_v2_module'),
    'needs an nginx with TLS'         => lacks('http_ssl_module'),
    'an nginx without debug logs'     => lacks('debug'),
    'needs an nginx that logs what it allocates' => lacks('debug'),
    # with sanitizers, or under memcheck
    'ASan has its own mlock()'                                 => $asan,
    'ASan has its own mlock(), and keeps what is freed'        => $asan,
    'ASan has its own mlock() and its own end of a crash'      => $asan,
);

sub reasons ($class) { return sort keys %MAY }

sub is_known ($class, $reason) {
    # A checkout in a home directory, say.
    return 1 if $reason =~ /\A\S+ cannot read this directory\z/;
    return $MAY{$reason} && $MAY{$reason}->();
}

sub make_parser ($self, $job) {
    my ($parser, $session) = $self->SUPER::make_parser($job);
    my %seen;
    $parser->callback(ALL => sub ($line) {
        my ($reason) = $line->raw
            =~ /\A\s*(?:ok\b.*?|1\.\.0)\s*(?<!\\)#\s*skip\S*\s*(.*?)\s*\z/i
            or return;
        return if $seen{$reason}++;
        push @{$self->{left_out}}, $job->description . ": $reason";
        $parser->_add_error("left out: $reason")
            if !$self->is_known($reason);
    });
    return ($parser, $session);
}

sub summary ($self, @arguments) {
    print map {"left out of $_\n"} sort @{$self->{left_out} // []};
    return $self->SUPER::summary(@arguments);
}

1;
