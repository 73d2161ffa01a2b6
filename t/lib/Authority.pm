# Authority: a certification authority that lives as long as a test.
#
#     my $authority = Authority->new;
#     my $leaf = $authority->issue('api.example.com');   # { cert, key } paths
#     $authority->cert;                                  # the CA's own
#
# issue(@names) makes a server certificate for all of them; names that are
# addresses become IP entries. The key is EC P-256. A second Authority is a
# stranger to the first.

package Authority;

use Mojo::Base -base, -signatures;
use Carp       qw(croak);
use File::Temp ();

# What it issued outlives it, to the end of the test.
my @dirs;

has dir => sub { File::Temp->newdir('keystile-ca-XXXXXX', TMPDIR => 1) };
has name => 'Keystile Test CA';

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    push @dirs, $self->dir;
    chmod 0755, $self->dir;
    _openssl(qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes
            -days 2), '-subj', '/CN=' . $self->name,
        '-keyout', $self->_file('ca.key'), '-out', $self->cert);
    return $self;
}

sub cert ($self) { return $self->_file('ca.pem') }

sub issue ($self, @names) {
    my $stem = 'leaf' . ++$self->{issued};
    my ($cert, $key, $request, $extensions)
        = map { $self->_file("$stem.$_") } qw(pem key csr ext);
    my $alternatives = join ',',
        map { (/\A[\d.:]+\z/ ? 'IP:' : 'DNS:') . $_ } @names;
    open my $file, '>', $extensions or croak "$extensions: $!";
    print {$file} "subjectAltName=$alternatives\nbasicConstraints=CA:FALSE\n";
    close $file;
    _openssl(qw(req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes),
        '-subj', "/CN=$names[0]", '-keyout', $key, '-out', $request);
    _openssl(qw(x509 -req -days 2 -CAcreateserial), '-in', $request,
        '-CA', $self->cert, '-CAkey', $self->_file('ca.key'),
        '-extfile', $extensions, '-out', $cert);
    return { cert => $cert, key => $key };
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
