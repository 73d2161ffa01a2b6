# Authority: a certification authority that lives as long as a test.
#
#     my $authority = Authority->new;
#     my $leaf = $authority->issue('api.example.com');   # { cert, key } paths
#     $authority->cert;                                  # the CA's own
#
# issue(@names) makes a server certificate for all of them; names that are
# addresses become IP entries. The key is EC P-256. A second Authority is a
# stranger to the first. More:
#
#     my $expired = $authority->issue({expired => 1}, 'api.example.com');
#     my $middle  = $authority->subordinate('Middle');   # its leafs bring it
#     my $crl     = $authority->revoke($leaf);           # a path, or with none

package Authority;

use Mojo::Base -base, -signatures;
use Carp       qw(croak);
use File::Temp ();

# What it issued outlives it, to the end of the test.
my @dirs;

has dir => sub { File::Temp->newdir('keystile-ca-XXXXXX', TMPDIR => 1) };
has name => 'Keystile Test CA';
has 'parent';

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    push @dirs, $self->dir;
    chmod 0755, $self->dir;
    return $self->parent ? $self->_certify : $self->_certify_self;
}

sub cert ($self) { return $self->_file('ca.pem') }

# An authority below this one.
sub subordinate ($self, $name) {
    return Authority->new(name => $name, parent => $self);
}

sub issue ($self, @names) {
    my %how  = ref $names[0] ? %{shift @names} : ();
    my $stem = 'leaf' . ++$self->{issued};
    my ($cert, $key) = map { $self->_file("$stem.$_") } qw(pem key);
    my $alternatives = join ',',
        map { (/\A[\d.:]+\z/ ? 'IP:' : 'DNS:') . $_ } @names;
    $self->_sign("/CN=$names[0]", $cert, $key, $how{expired},
        "subjectAltName=$alternatives\nbasicConstraints=CA:FALSE\n");
    for (my $above = $self; $above->parent; $above = $above->parent) {
        _append($cert, $above->cert);
    }
    return { cert => $cert, key => $key };
}

# The revocation list, with these leafs on it and those of earlier calls.
sub revoke ($self, @leafs) {
    my @ca   = $self->_ca;
    my $list = $self->_file('crl.pem');
    _openssl(@ca, '-revoke', $_->{cert}) for @leafs;
    _openssl(@ca, '-gencrl', '-out', $list);
    return $list;
}

sub _certify_self ($self) {
    _openssl(qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes
            -days 2), '-subj', '/CN=' . $self->name,
        '-keyout', $self->_file('ca.key'), '-out', $self->cert);
    return $self;
}

sub _certify ($self) {
    $self->parent->_sign('/CN=' . $self->name, $self->cert,
        $self->_file('ca.key'), 0, "basicConstraints=critical,CA:TRUE\n");
    return $self;
}

# Makes a key, and a certificate of it.
sub _sign ($self, $subject, $cert, $key, $expired, $extensions) {
    _write("$cert.ext", $extensions);
    _openssl(qw(req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes),
        '-subj', $subject, '-keyout', $key, '-out', "$cert.csr");
    my @sign = $expired
        ? ($self->_ca, qw(-batch -notext -startdate 200101000000Z
            -enddate 200102000000Z))
        : (qw(x509 -req -CAcreateserial -days 2), '-CA', $self->cert,
            '-CAkey', $self->_file('ca.key'));
    _openssl(@sign, '-in', "$cert.csr", '-extfile', "$cert.ext",
        '-out', $cert);
    return;
}

# openssl ca: revokes, and can sign with any dates, which x509 cannot before
# OpenSSL 3.4.
sub _ca ($self) {
    my ($index, $config) = map { $self->_file($_) } qw(index ca.conf);
    _write($index, '') if !-e $index;
    _write($config, "[ca]\ndefault_ca=here\n[here]\ndatabase=$index\n"
        . "unique_subject=no\n"
        . "default_md=sha256\ndefault_crl_days=2\nrand_serial=yes\n"
        . "unique_subject=no\n"
        . 'new_certs_dir=' . $self->dir . "\npolicy=any\n"
        . "[any]\ncommonName=supplied\n");
    return ('ca', '-config', $config, '-cert', $self->cert,
        '-keyfile', $self->_file('ca.key'));
}

sub _write ($path, $content, $mode = '>') {
    open my $file, $mode, $path or croak "$path: $!";
    print {$file} $content;
    close $file or croak "$path: $!";
    return;
}

sub _append ($path, $from) {
    open my $file, '<', $from or croak "$from: $!";
    _write($path, do { local $/; <$file> }, '>>');
    return;
}

sub _file ($self, $name) { return $self->dir . "/$name" }

sub _openssl (@arguments) {
    open my $output, '-|', 'sh', '-c', 'exec openssl "$@" 2>&1', 'sh',
        @arguments or croak "openssl: $!";
    my $said = do { local $/; <$output> };
    close $output or croak "openssl @arguments: $said";
    return;
}

1;
