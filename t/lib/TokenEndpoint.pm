# TokenEndpoint: what stands in for auth.openai.com, inside the test itself, and
# the script of conf-examples/oauth-refresh that asks it.
#
#     my $endpoint = TokenEndpoint->new(login => $auth);   # who is logged in
#     my $run = $endpoint->refresh($path, '--margin' => 60);
#     is $run->{status}, 0;                    # and `said`, both outputs of it
#     is $endpoint->asked, 1;                  # requests that have come
#     $endpoint->login;                        # the tokens that it gave last
#
# A refresh token works once, and gives an access token that lasts an hour and
# another refresh token; one that was used is refused with 401. answer(sub
# ($request) {...}) does something else; new(tls => {...}) is as Provider's.
#
# start() runs the script and returns at once; finish() awaits its end. No run
# may print a token; each that has ended is looked through for it.

package TokenEndpoint;

use Mojo::Base -base, -signatures;
use Await;
use CodexAuth;
use File::Temp ();
use FindBin;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use POSIX      qw(WNOHANG);
use Provider;
use Test::More ();

use constant SCRIPT =>
    "$FindBin::Bin/../conf-examples/oauth-refresh/keystile-oauth-refresh";

has [qw(login tls answer)];
has left     => 3600;                # seconds until what it gives expires
has members  => sub { [qw(id_token access_token refresh_token)] };
has provider => sub ($self) {
    Provider->new(tls => $self->tls)->answer(sub ($request) {
        ($self->answer // sub ($request) { $self->exchange($request) })
            ->($request);
    });
};

sub url ($self) {
    my $scheme = $self->tls ? 'https' : 'http';
    my $host   = $self->tls ? 'localhost:' . $self->provider->port
        : $self->provider->address;
    return "$scheme://$host/oauth/token";
}

sub asked ($self) {
    settle;
    return scalar @{$self->provider->requests};
}

# Answers as the real one does.
sub exchange ($self, $request) {
    my $given = decode_json($request->body)->{refresh_token};
    return $self->refuse($request, 401, 'refresh_token_reused')
        if $given ne $self->login->{tokens}{refresh_token};
    $self->login(auth(
        expires  => time + $self->left,
        lifetime => 3600,
        account  => $self->login->{tokens}{account_id}));
    my %tokens = map { $_ => $self->login->{tokens}{$_} } @{$self->members};
    return $request->reply(200, undef, encode_json(\%tokens));
}

# With the token in it, as no good server would: it may not be shown.
sub refuse ($self, $request, $status, $code) {
    return $request->reply($status, undef, encode_json({error => {
        message => 'No good: ' . $request->body, code => $code}}));
}

sub refresh ($self, @arguments) {
    return $self->finish($self->start(@arguments));
}

sub start ($self, $path, @options) {
    my $output = File::Temp->new;
    my @command = (SCRIPT, '--token-url', $self->url, '--reload', 'true',
        @options, $path);
    my @secrets = grep { defined } map { decode_json($_)->{tokens}
            ->@{qw(access_token refresh_token)} }
        grep { /\A\{.*\}\s*\z/s } map { -e $_ ? path($_)->slurp : () } $path;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>&', $output;
        open STDERR, '>&', $output;
        exec @command or POSIX::_exit(127);
    }
    return {pid => $pid, output => $output, secrets => \@secrets};
}

sub finish ($self, $run) {
    await 'the script to end',
        sub { waitpid($run->{pid}, WNOHANG) == $run->{pid} }, 60;
    $run->{status} = $? >> 8 || $?;
    $run->{said}   = path($run->{output}->filename)->slurp;
    my @secrets = (@{$run->{secrets}}, $self->login->{tokens}
            ->@{qw(access_token refresh_token)});
    Test::More::fail('a token is printed')
        if grep { index($run->{said}, $_) >= 0 } @secrets;
    return $run;
}

1;
