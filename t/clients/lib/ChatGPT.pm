# ChatGPT: what stands in for chatgpt.com and auth.openai.com, inside the test
# itself, to one login.
#
#     my $chatgpt = ChatGPT->new(tls => $leaf, login => auth());
#     ... proxy to $chatgpt->provider->address ...
#     my ($turn) = $chatgpt->asked(POST => '/backend-api/codex/responses');
#     is $turn->header('authorization'), $chatgpt->bearer;
#     my @paths = $chatgpt->paths;             # auth.openai.com POST /…
#     $chatgpt->expire;                        # for turns: 401 until a refresh
#     $chatgpt->forget;
#
# It takes the access token of `login`, which is what it gave last, and says 401
# to any other. A refresh token works once. A model's answer is "Hello.", after
# 120 tokens of input and 30 of output, over HTTP and over WebSocket. Who logs
# in with a code is first told that nobody has typed it.

package ChatGPT;

use Mojo::Base -base, -signatures;
use Await;
use CodexAuth;
use Mojo::IOLoop;
use Mojo::JSON       qw(decode_json encode_json);
use Mojo::Parameters ();
use Provider;
use TokenEndpoint;

use constant POST_CODE =>
    {device_auth_id => 'device-1', user_code => 'AB-CD', interval => '1'};

has [qw(login tls)];
has provider => sub ($self) {
    Provider->new(tls => $self->tls)
        ->answer(sub ($request) { $self->_answer($request) });
};

sub bearer ($self) { return 'Bearer ' . $self->login->{tokens}{access_token} }

# The requests of that method and path so far.
sub asked ($self, $method, $path) {
    settle;
    return grep { $_->method eq $method
            && $_->target =~ /\A\Q$path\E(?:\?|\z)/
    } @{$self->provider->requests};
}

sub paths ($self) {
    settle;
    return map { join ' ', $_->header('host'), $_->method,
        $_->target =~ s/\?.*//r } @{$self->provider->requests};
}

# The access token is no good any more for turns, and for the rest it is until
# there is a new one; the refresh token works.
sub expire ($self) {
    $self->{stale} = $self->bearer;
    my %tokens = (%{$self->login->{tokens}}, access_token => 'none');
    return $self->login({%{$self->login}, tokens => \%tokens});
}

sub forget ($self) {
    $self->provider->forget
        ->answer(sub ($request) { $self->_answer($request) });
    delete $self->{polled};
    return $self;
}

sub _answer ($self, $request) {
    my $path = $request->target =~ s/\?.*//r;
    return $self->_log_in($request, $path)
        if $request->connection->server_name eq 'auth.openai.com';
    return _json($request, 401, {error => {code => 'token_expired',
        message => 'Your login has expired.'}})
        if !$self->_knows($request->header('authorization') // '', $path);
    return $self->_accounts($request) if $path =~ m{/wham/accounts/check\z};
    return _json($request, 404, {detail => 'Not Found'})
        if $path !~ m{/codex/responses\z};
    return $self->_open_socket($request) if $request->wants_upgrade;
    return $request->reply(200, ['Content-Type' => 'text/event-stream'],
        join '', map { "data: $_\n\n" } _events(1));
}

sub _knows ($self, $bearer, $path) {
    return $bearer eq $self->bearer
        || $bearer eq ($self->{stale} // '') && $path !~ m{/responses\z};
}

sub _accounts ($self, $request) {
    return _json($request, 200, {accounts => [{
        id => $self->login->{tokens}{account_id},
        map { $_ => 'NO_CONSTRAINT' }
            qw(workspace_backend_origin account_routing_override),
    }]});
}

sub _open_socket ($self, $request) {
    my $socket = $request->accept_websocket;
    my $timer;
    $timer = Mojo::IOLoop->recurring(0.01 => sub {
        return Mojo::IOLoop->remove($timer) if $socket->ended;
        for my $frame (splice @{$socket->frames}) {
            next if $frame->{op} ne 'text';
            my $asks = decode_json($frame->{payload});
            $socket->send_frame($_) for _events($asks->{generate} // 1);
        }
    });
    return;
}

# auth.openai.com.
sub _log_in ($self, $request, $path) {
    return _json($request, 200, {}) if $path eq '/oauth/revoke';
    return _json($request, 200, POST_CODE) if $path =~ m{/usercode\z};
    if ($path =~ m{/deviceauth/token\z}) {
        return _json($request, 403, {error => {code => 'pending'}})
            if !$self->{polled}++;
        return _json($request, 200, {authorization_code => 'code-1',
            code_challenge => 'challenge', code_verifier => 'verifier'});
    }
    return $self->_renew($request) if $request->body =~ /\A\{/;
    my $form = Mojo::Parameters->new($request->body);
    return _json($request, 400, {error => 'invalid_grant'})
        if $form->param('code') ne 'code-1';
    return _json($request, 200, $self->login->{tokens});
}

sub _renew ($self, $request) {
    my $endpoint = TokenEndpoint->new(login => $self->login);
    $endpoint->exchange($request);
    return $self->login($endpoint->login);
}

# Of one response; without an output, of a prewarm.
sub _events ($with_output) {
    my $item = {type => 'message', id => 'msg_1', role => 'assistant',
        status => 'completed', content =>
            [{type => 'output_text', annotations => [], text => 'Hello.'}]};
    my %response = (id => 'resp_1', object => 'response', model => 'gpt-mock');
    return map { encode_json($_) }
        {type => 'response.created', response => {%response}},
        $with_output ? {type => 'response.output_item.done',
            output_index => 0, item => $item} : (),
        {type => 'response.completed', response => {%response,
            status => 'completed', output => [], usage => {
                input_tokens  => 120, output_tokens => 30, total_tokens => 150,
                input_tokens_details  => {cached_tokens => 100},
                output_tokens_details => {reasoning_tokens => 10}}}};
}

sub _json ($request, $status, $value) {
    return $request->reply($status, undef, encode_json($value));
}

1;
