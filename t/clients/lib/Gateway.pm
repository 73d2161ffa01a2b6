# Gateway: nginx with keystile between real clients and a MockProvider.
#
#     my $gateway = Gateway->start;
#     $gateway->url('MAIN') . '/v1'           # as a client wants its base URL
#     $gateway->authority->cert               # what it has to trust
#     $gateway->mock                          # the MockProvider
#     $gateway->forget;                       # before what is to be judged
#     $gateway->lines(2)                      # access log lines since then
#     $gateway->stop;
#
# Its addresses:
#   MAIN         wants a client key; everything that the clients here may do
#   PLACEHOLDER  the same for a caller who knows the placeholder
#   HTTP         the same for a client key, but no rule allows a WebSocket
#   METERED      MAIN for the clients of metered(), with /v1/usage
#   TLS          MAIN over TLS, with HTTP/2 for those who like; the
#                certificate is one of authority->cert
#
# A line of the access log is METHOD TARGET HTTP/x.y STATUS CLIENT DECISION.

package Gateway;

use Mojo::Base -base, -signatures;
use Authority;
use Await;
use Exporter   qw(import);
use MockProvider;
use Mojo::File qw(curfile);
use Mojo::JSON qw(encode_json);
use Nginx;
use Wire;

our @EXPORT = qw(REAL_KEY CLIENT_KEY PLACEHOLDER_KEY UNKNOWN_KEY metered);

# Long enough to be a key; none is a part of another.
use constant {
    REAL_KEY        => 'sk-test-real-5Jq8vT0yLrW2nXc7',
    CLIENT_KEY      => 'sk-test-client-Zp3mKb9sEhD4gUa6',
    PLACEHOLDER_KEY => 'sk-test-placeholder',
    UNKNOWN_KEY     => 'sk-test-unknown-Qf1wRn6tYxV8jCo5',
    LOG             => '$request $status $keystile_client $keystile_decision',
};

use constant CONFIGURATION => <<'CONF';
    keystile_credential  openai     %%DIR%%/openai.key;
    keystile_credential  anthropic  %%DIR%%/anthropic.key  style=x-api-key;
    keystile_client_keys team       %%DIR%%/clients.json;
    keystile_client_keys metered    %%DIR%%/metered.json;
    keystile_zone        main 1m;
    keystile_prices      %%DIR%%/prices.json;

    upstream provider {
        server    %%PROVIDER%%;
        keepalive 8;
    }

    # As sites have it that care for other things: it must hold no stream back.
    gzip            on;
    gzip_types      *;
    gzip_proxied    any;
    gzip_min_length 1;

    keystile_allow  POST  /v1/responses;
    keystile_allow  GET   /v1/responses  websocket;
    keystile_allow  POST  /v1/chat/completions;
    keystile_allow  GET   /v1/models     query=client_version;
    keystile_allow  GET   /v1/realtime   websocket query=model;

    server {
        listen 127.0.0.1:%%PORT_MAIN%%;
        listen 127.0.0.1:%%PORT_TLS%% ssl %%HTTP2%%;

        ssl_certificate     %%CERTIFICATE%%;
        ssl_certificate_key %%CERTIFICATE_KEY%%;

        keystile_admit team;

        location /v1/ {
            keystile_inject openai;
            keystile_pass   http://provider;
        }

        location /v1/messages {
            keystile_allow  POST  /v1/messages  query=beta;
            keystile_inject anthropic;
            keystile_pass   http://provider;
        }

        location = /fence {
            return 204;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_PLACEHOLDER%%;

        location /v1/ {
            keystile_admit  placeholder %%PLACEHOLDER%%;
            keystile_inject openai;
            keystile_pass   http://provider;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_METERED%%;

        keystile_admit metered;

        location /v1/ {
            keystile_meter  main;
            keystile_inject openai;
            keystile_pass   http://provider;
        }

        location = /v1/usage {
            keystile_usage main;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_HTTP%%;

        location /v1/ {
            keystile_allow  POST  /v1/responses;
            keystile_admit  team;
            keystile_inject openai;
            keystile_pass   http://provider;
        }
    }
CONF

# Clients that are counted, and their limits.
use constant METERED => {
    alone => {models => ['*']},    # so that what clients send is read
    spent => {limits => [{tokens => 100, per => 'day'}]},
};

# The key of one of them.
sub metered ($id) { return "sk-test-metered-$id-Hx2uVb7" }

has authority => sub { Authority->new };
has [qw(mock nginx)];

sub start ($class) {
    my $packages = curfile->dirname->sibling('node_modules');
    die "no $packages: npm ci in " . $packages->dirname . " makes it\n"
        if !-d $packages;
    my $self = $class->SUPER::new;
    $self->mock(MockProvider->start(
        credential => REAL_KEY,
        watch      => {
            client      => CLIENT_KEY,
            placeholder => PLACEHOLDER_KEY,
            unknown     => UNKNOWN_KEY,
        }));
    my $nginx = Nginx->new(log => LOG);
    $nginx->key_file($_, REAL_KEY . "\n") for qw(openai.key anthropic.key);
    $nginx->client_file({clients => [{id => 'ci', keys => [CLIENT_KEY]}]});
    $nginx->client_file({clients => [
        map { +{id => $_, keys => [metered($_)], %{METERED->{$_}}} }
            sort keys %{+METERED}]}, 'metered.json');
    $nginx->file('prices.json', encode_json({version => 1, models => [
        {model => 'mock*', input => 2, cached_input => 0.2, output => 10},
        {model => '*', input => 1000, output => 1000}]}));
    my $certificate = $self->authority->issue('127.0.0.1');
    $nginx->start(CONFIGURATION,
        HTTP2 => $nginx->is_built_with('http_v2_module') ? 'http2' : '',
        CERTIFICATE     => $certificate->{cert},
        CERTIFICATE_KEY => $certificate->{key},
        PROVIDER        => $self->mock->address,
        PLACEHOLDER     => PLACEHOLDER_KEY);
    return $self->nginx($nginx);
}

sub url ($self, $name) {
    my $scheme = $name eq 'TLS' ? 'https' : 'http';
    return "$scheme://127.0.0.1:" . $self->nginx->port("_$name");
}

# nginx writes the line of a request a moment after its client has gone on, so
# a request of our own makes sure that all earlier lines are there.
sub forget ($self) {
    my $fence = '/fence?' . ++$self->{fences};
    my $answer = request($self->nginx->port('_MAIN'), target => $fence);
    die "nginx is not well:\n" . $self->nginx->error_log
        if ($answer->status // 0) != 204;
    await "the log to reach $fence", sub {
        my @lines = $self->nginx->access_log;
        $self->{logged} = @lines;
        return grep { /\AGET \Q$fence\E / } @lines;
    };
    $self->mock->forget;
    return $self;
}

# The access log since forget(), once it has at least $count lines.
sub lines ($self, $count) {
    my $before = $self->{logged} // 0;
    my @lines  = $self->nginx->access_log($before + $count);
    return @lines[$before .. $#lines];
}

sub stop ($self) {
    $self->nginx->stop;
    $self->mock->stop;
    return;
}

1;
