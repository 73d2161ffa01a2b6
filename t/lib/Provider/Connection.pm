# Provider::Connection: one connection that nginx opened to the Provider.
#
# A Stream whose bytes are parsed into Provider::Requests, in order. After a
# request that asks for an upgrade, what follows stays `unread` until the test
# accepts or refuses. server_name() is what SNI said.

package Provider::Connection;

use Mojo::Base 'Stream', -signatures;
use Provider::Request;

has provider => undef, weak => 1;
has requests => sub { [] };

sub server_name ($self) {
    my $handle = $self->handle;
    return $handle->isa('IO::Socket::SSL') ? $handle->get_servername : undef;
}

sub on_bytes ($self) {
    until ($self->{upgrading}) {
        my $request = $self->{request}
            //= Provider::Request->new(kind => 'request', connection => $self);
        my $known = $request->head_complete;
        $request->feed(\$self->{unread});
        die 'nginx sent a broken request: ' . $request->broken . "\n"
            if $request->broken;
        return if !$request->head_complete;
        $self->_announce($request) if !$known;
        return if !$request->complete;
        $self->{request}   = undef;
        $self->{upgrading} = $request->wants_upgrade;
        $self->provider->completed($request);
    }
    return;
}

# Goes on to read requests after one whose upgrade was refused.
sub refuse_upgrade ($self) {
    $self->{upgrading} = 0;
    $self->on_bytes;
    return;
}

sub _announce ($self, $request) {
    push @{$self->requests}, $request;
    $self->provider->arrived($request);
    return;
}

1;
