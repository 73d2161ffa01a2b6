# Dns: a name server on the test's own event loop, for nginx's `resolver`.
#
#     my $dns = Dns->new(names => {'api.example.com' => ['127.0.0.1']});
#     ... resolver %%DNS%%; ...                DNS => $dns->address
#     $dns->names->{'api.example.com'} = ['127.0.0.2'];
#     is_deeply $dns->asked, ['api.example.com', ...];
#
# A name that it does not know is NXDOMAIN; one whose value is undef gets no
# answer at all. It knows IPv4 addresses only, and lets them be kept for no
# time, which is to nginx the rest of the second.

package Dns;

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use IO::Socket::IP;
use Mojo::IOLoop;
use Socket qw(SOCK_DGRAM inet_aton);

has names => sub { {} };
has asked => sub { [] };

use constant {A => 1, IN => 1, NXDOMAIN => 3};
use constant RESPONSE => 0x8180;    # recursion was desired, and is available
use constant SAME_NAME => "\xC0\x0C";    # as in the question

sub new ($class, @args) {
    my $self   = $class->SUPER::new(@args);
    my $socket = IO::Socket::IP->new(
        LocalHost => '127.0.0.1',
        Type      => SOCK_DGRAM,
        Proto     => 'udp') or croak "no UDP socket: $@";
    $socket->blocking(0);
    $self->{socket} = $socket;
    my $reactor = Mojo::IOLoop->singleton->reactor;
    $reactor->io($socket => sub { $self->_serve });
    $reactor->watch($socket, 1, 0);
    return $self;
}

sub address ($self) { return '127.0.0.1:' . $self->{socket}->sockport }

sub _serve ($self) {
    while (my $from = $self->{socket}->recv(my $query, 512)) {
        my $reply = $self->_reply($query) // next;
        $self->{socket}->send($reply, 0, $from);
    }
    return;
}

sub _reply ($self, $query) {
    my ($id, undef, $questions) = unpack 'n3', $query;
    my ($labels) = substr($query, 12) =~ /\A((?:[^\0].*?)*?\0)/s;
    my $name = join '.', unpack '(C/a)*', substr $labels, 0, -1;
    my $question = substr $query, 12, length($labels) + 4;
    my ($type) = unpack 'n', substr $question, -4;
    push @{$self->asked}, $name;

    my $known = exists $self->names->{$name};
    return if $known && !defined $self->names->{$name};
    my @addresses = $known && $type == A ? @{$self->names->{$name}} : ();
    my $code      = $known ? RESPONSE : RESPONSE | NXDOMAIN;
    return pack('n6', $id, $code, $questions, scalar @addresses, 0, 0)
        . $question . join '', map {
            SAME_NAME . pack('n n N n/a', A, IN, 0, inet_aton($_))
        } @addresses;
}

1;
