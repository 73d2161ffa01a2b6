# Metered: an nginx that meters, with its clients and its provider.
#
#     my $nginx = Metered->new(clients => {
#         ci => {}, capped => {limits => [{requests => 2, per => 'day'}]}});
#     $nginx->serve;
#     my $growth = $nginx->growth('ci', sub { $nginx->turn('ci') });
#     is_deeply $growth, {requests => 1, ...};
#     $nginx->stop;
#
# clients are those of clients.json, by id; each has one key, key_of($id).
# prices is the price file. zone (1m), meter, more (main-level of http), server
# and locations are pieces of the configuration; all is metered, /v1/usage and
# /status tell. serve() may be given more values for %%NAMES%%; write_files()
# writes the files and nginx.conf again, for a reload.
#
# turn($id, %request) posts {"model":"gpt-5.1",...} to /v1/responses; json =>
# {...} is another body. %request is as in Wire; a body is JSON, or of another
# `type`, undef for none. call() and open_socket() are
# the same with other methods; start_turn() only sends it, on a Wire. An id
# that is undef is a caller without a key.
#
# status() is what the status says now; idle() waits until nothing is open
# before. totals() are a client's figures there, growth() those that are other
# than before, less what they were.
#
# The access log's lines are `METHOD URI STATUS`, model, input/cached/output/
# reasoning tokens, cost and time to first token, with tabs between.

package Metered;

use Mojo::Base 'Nginx', -signatures;
use Await;
use Carp       qw(croak);
use Exporter   qw(import);
use Mojo::JSON qw(encode_json);
use Nginx;
use Provider;
use Test::More ();
use Wire;

our @EXPORT = qw(bearer in_one_window key_of on_one_day);

use constant FIGURES => qw(requests usage_missing input_tokens
    cached_input_tokens cache_written_input_tokens output_tokens
    reasoning_output_tokens);
use constant KEY => 'sk-test-provider-4d37';
use constant TEST_TAKES => 180;    # seconds, at most
use constant VARIABLES => join '\t', '$request_method $request_uri $status',
    '$keystile_model', join('/', map { "\$keystile_${_}_tokens" }
        qw(input cached output reasoning)), '$keystile_cost', '$keystile_ttft';

has clients => sub { {ci => {}} };
has prices  => sub { [
    {model => 'gpt-5*', input => 1.25, cached_input => 0.125, output => 10},
    {model => '*', input => 1, output => 2},
] };
has meter => 'keystile_meter main;';
has zone => '1m';
has [qw(more server locations)] => '';
has log      => VARIABLES;
has provider => sub { Provider->new };

sub key_of ($id) { return "sk-test-client-of-$id-77c1" }

sub bearer ($id) {
    return defined $id ? (Authorization => 'Bearer ' . key_of($id)) : ();
}

# Runs $code->($try) once more if a window of that many seconds ended
# meanwhile: what it returns is of one window. Each try needs its own client,
# whose window is as good as new; $try is 1 or 2.
sub in_one_window ($seconds, $code) {
    for my $try (1, 2) {
        my $window = int(time / $seconds);
        my @result = $code->($try);
        return @result if int(time / $seconds) == $window;
    }
    croak "two windows of $seconds seconds ended";
}

# Waits for midnight if it is near: a window of a day, a week or a month, of
# UTC, is then the same for the whole of a test.
sub on_one_day () {
    my $left = 86_400 - time % 86_400;
    return if $left > patience(TEST_TAKES);
    my $midnight = time + $left;
    await 'midnight', sub { time >= $midnight }, TEST_TAKES + 1;
    return;
}

sub serve ($self, %values) {
    $self->start($self->write_files, PROVIDER => $self->provider->address,
        %values);
    return $self;
}

# Writes the files; returns the http block, which it writes to nginx.conf too
# once values are known.
sub write_files ($self) {
    $self->key_file('openai.key', KEY);
    $self->write_clients;
    $self->file('prices.json',
        encode_json({version => 1, models => $self->prices}))
        if @{$self->prices};
    my $http = $self->http;
    $self->configure($http) if $self->master;
    return $http;
}

sub write_clients ($self) {
    my $clients = $self->clients;
    return $self->client_file({clients => [map {
        {id => $_, keys => [key_of($_)], %{$clients->{$_}}}
    } sort keys %$clients]});
}

sub http ($self) {
    my $prices = @{$self->prices} ? 'keystile_prices %%DIR%%/prices.json;' : '';
    return <<"CONF";
        keystile_credential  openai %%DIR%%/openai.key;
        keystile_client_keys team   %%DIR%%/clients.json;
        keystile_zone        main   ${\$self->zone};
        $prices
        ${\$self->more}
        server {
            listen 127.0.0.1:%%PORT%%;
            keystile_admit  team;
            keystile_allow  GET,POST,HEAD /** query=*;
            keystile_allow  GET,POST,HEAD /v1/responses query=*;
            keystile_allow  GET /v1/responses websocket;
            keystile_inject openai;
            ${\$self->meter}
            ${\$self->server}
            location / { keystile_pass http://%%PROVIDER%%; }
            location = /v1/usage { access_log off; keystile_usage main; }
            location = /status {
                access_log off;
                keystile_status main format=json;
            }
            ${\$self->locations}
        }
CONF
}

# ---- what clients do ----

sub call ($self, $id, %request) {
    return request($self->port, $self->_request($id, %request));
}

sub turn ($self, $id, %request) {
    return $self->call($id, _turn(%request));
}

# A turn whose answer is awaited by the test.
sub start_turn ($self, $id, %request) {
    my $wire = Wire->connect($self->port)->expect('POST');
    $wire->write(compose($self->_request($id, _turn(%request))));
    return $wire;
}

# A WebSocket; its answer is in `message`.
sub open_socket ($self, $id, %request) {
    return Wire->handshake($self->port, target => '/v1/responses',
        $self->_request($id, %request));
}

# ---- what is told of it ----

sub status ($self, $query = '') {
    my $r = request($self->port, target => '/status' . $query);
    return $r->json // croak 'no status: ' . $r->head . $r->body;
}

sub idle ($self) {
    my $status;
    await 'nothing to be open', sub {
        $status = $self->status;
        return !grep { $_->{open} } @{$status->{clients}};
    };
    return $status;
}

# A client of a status; one that is not there yet is empty.
sub client_of ($self, $status, $id) {
    my ($client) = grep { ($_->{id} // '') eq ($id // '') }
        @{$status->{clients}};
    return $client // {totals => {}, models => [], limits => [],
        refusals => {}, open => 0};
}

sub totals ($self, $id) {
    return $self->client_of($self->idle, $id)->{totals};
}

sub growth ($self, $id, $code) {
    my $before = $self->totals($id);
    $code->();
    my $after = $self->totals($id);
    return {map { $_->[1] ? @$_ : () }
        map { [$_, ($after->{$_} // 0) - ($before->{$_} // 0)] } FIGURES};
}

# The same of the refusals, by reason.
sub refusals ($self, $id, $code) {
    my $before = $self->client_of($self->idle, $id)->{refusals};
    $code->();
    my $after = $self->client_of($self->idle, $id)->{refusals};
    return {map { $_->[1] ? @$_ : () }
        map { [$_, $after->{$_} - ($before->{$_} // 0)] } keys %$after};
}

# The variables in the newest line of the access log, once there are $count.
# What is not known is ''.
sub logged ($self, $count) {
    my @lines = $self->access_log($count);
    my ($request, @fields) = split /\t/, $lines[$count - 1];
    s{(?:\A|(?<=/))-(?=/|\z)}{}g for @fields;
    my %line;
    @line{qw(request model tokens cost ttft)} = ($request, @fields);
    return \%line;
}

sub _turn (%request) {
    my $json = delete $request{json} // {model => 'gpt-5.1', input => 'Hi'};
    return (method => 'POST', target => '/v1/responses',
        body => encode_json($json), %request);
}

sub _names_type (%headers) {
    return grep {/\Acontent[-_]type\z/i} keys %headers;
}

sub _request ($self, $id, %request) {
    my @headers = @{delete $request{headers} // []};
    my $type    = exists $request{type} ? delete $request{type}
        : 'application/json';
    unshift @headers, 'Content-Type' => $type
        if defined $type && defined $request{body} && !_names_type(@headers);
    return (%request, headers => [bearer($id), @headers]);
}

1;
