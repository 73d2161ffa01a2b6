# Provider: what stands in for api.openai.com, inside the test itself.
#
#     my $provider = Provider->new;           # answers everything with 200
#     ... proxy to $provider->address ...     # 127.0.0.1:PORT, or unix:PATH
#     is $provider->last->header('authorization'), "Bearer $KEY";
#     is $provider->connections, 1;           # ever opened
#
# It shares the test's event loop, so between two awaits nothing happens here
# that the test has not asked for. It answers, in this order of preference:
#
#     $provider->script($bytes, ...);         # raw, one for each request
#     $provider->answer(sub ($request) { $request->reply(404) });
#     $provider->hold;                        # nothing: the test does it
#     my $request = $provider->next_request;  # waits for the next whole one
#     $request->write("HTTP/1.1 200 OK\r\n...");  $request->connection->reset;
#
# Requests are kept in `requests` from the moment their head is complete; see
# Provider::Request for how to answer one, and Stream for what its connection
# can do. Every connection is in `streams`, with the raw bytes in `received`.
#
# new(tls => { cert, key, client_ca, options }) or new(unix => path) listen
# differently; cert and key may be hashes from server name to file, with '' for
# any other name, and options are those of IO::Socket::SSL.
# on_head(sub ($request) {...}) is called before the body has come.

package Provider;

use Mojo::Base -base, -signatures;
use Await;
use Carp qw(croak);
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::UNIX;
use Mojo::IOLoop;
use Mojo::IOLoop::TLS;
use Provider::Connection;

has requests => sub { [] };
has streams  => sub { [] };
has host     => '127.0.0.1';
has [qw(tls unix on_head)];
# Sockets that listen on no port, but have it: after close(), nobody is to be
# found there until the end, even if the provider is forgotten.
my %kept_dead;

has connections => 0;         # accepted, whatever became of them
has tls_errors  => sub { [] };

use constant DEFAULT => sub ($request) { $request->reply(200) };
has answer => sub { DEFAULT };

sub new ($class, @args) {
    my $self = $class->SUPER::new(@args);
    $self->{script} = [];
    $self->{seen}   = 0;
    return $self->open;
}

# Listens, again on the same address after close().
sub open ($self) {
    unlink $self->unix if $self->unix;
    $self->{listener} = $self->unix
        ? IO::Socket::UNIX->new(Local => $self->unix, Listen => 128)
        : IO::Socket::IP->new(
            LocalHost => $self->host,
            LocalPort => $self->{port} // 0,
            Listen    => 128,
            ReuseAddr => 1,
            ReusePort => 1);
    croak "cannot listen: $!" if !$self->{listener};
    delete $kept_dead{$self->address} if $self->{port};
    chmod 0777, $self->unix if $self->unix;
    $self->{port} = $self->{listener}->sockport if !$self->unix;
    $self->{listener}->blocking(0);
    my $reactor = Mojo::IOLoop->singleton->reactor;
    $reactor->io($self->{listener} => sub { $self->_accept });
    $reactor->watch($self->{listener}, 1, 0);
    return $self;
}

# Stops to listen; connections stay as they are. The port is given to nobody
# else: a connection to it is refused.
sub close ($self) {
    my $listener = delete $self->{listener} or return $self;
    $kept_dead{$self->address} = $self->_bound if !$self->unix;
    Mojo::IOLoop->singleton->reactor->remove($listener);
    $listener->close;
    return $self;
}

# With SO_REUSEADDR, others could listen there.
sub _bound ($self) {
    return IO::Socket::IP->new(
        LocalHost => $self->host,
        LocalPort => $self->port,
        ReusePort => 1) || croak "cannot keep the port: $!";
}

sub port ($self) { return $self->{port} }

# Where it listens, as an nginx directive writes it.
sub address ($self) {
    return 'unix:' . $self->unix if $self->unix;
    return $self->host . ':' . $self->port;
}

sub script ($self, @raw) {
    push @{$self->{script}}, @raw;
    return $self;
}

# Answers nothing of itself.
sub hold ($self) {
    return $self->answer(sub { });
}

# The most recent request.
sub last ($self) { return $self->requests->[-1] }

# The next request not yet returned from here, once it is whole.
sub next_request ($self) {
    return $self->_next('a whole request', 'complete');
}

# The same, as soon as its head is there.
sub next_head ($self) {
    return $self->_next('a request head', 'head_complete');
}

# Forgets everything seen so far and answers with 200 again. Connections that
# are open stay so; the count goes on.
sub forget ($self) {
    settle;
    push @{$self->{kept}}, grep { !$_->ended } @{$self->streams};
    $self->requests([])->streams([])->answer(DEFAULT)->on_head(undef);
    $self->{script} = [];
    $self->{seen}   = 0;
    return $self;
}

# Called by a connection.
sub arrived ($self, $request) {
    push @{$self->requests}, $request;
    $self->on_head->($request) if $self->on_head;
    return;
}

# Called by a connection.
sub completed ($self, $request) {
    my $raw = shift @{$self->{script}};
    defined $raw ? $request->write($raw) : $self->answer->($request);
    return;
}

sub _next ($self, $what, $state) {
    my $request = await $what, sub {
        my $next = $self->requests->[$self->{seen}] or return;
        return $next->$state && $next;
    };
    $self->{seen}++;
    return $request;
}

sub _accept ($self) {
    while (my $handle = $self->{listener} && $self->{listener}->accept) {
        $self->{connections}++;
        $handle->blocking(0);
        $self->tls ? $self->_negotiate($handle) : $self->_adopt($handle);
    }
    return;
}

sub _adopt ($self, $handle) {
    push @{$self->streams},
        Provider::Connection->new(provider => $self)->adopt($handle);
    return;
}

sub _negotiate ($self, $handle) {
    my $tls = Mojo::IOLoop::TLS->new($handle);
    $self->{negotiations}{$tls} = $tls;
    $tls->on(upgrade => sub ($tls, $secure) {
        delete $self->{negotiations}{$tls};
        $self->_adopt($secure);
    });
    $tls->on(error => sub ($tls, $error) {
        delete $self->{negotiations}{$tls};
        push @{$self->tls_errors}, $error;
    });
    my $identity = $self->tls;
    $tls->negotiate(
        server      => 1,
        tls_cert    => $identity->{cert},
        tls_key     => $identity->{key},
        tls_options => {
            SSL_verify_mode => $identity->{client_ca}
                ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                : SSL_VERIFY_NONE,
            $identity->{client_ca}
                ? (SSL_ca_file => $identity->{client_ca})
                : (),
            %{$identity->{options} // {}},
        });
    return;
}

1;
