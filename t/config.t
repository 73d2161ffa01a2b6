# What `nginx -t` says: a mistake in the configuration is found there, named,
# with its place; and what is right passes without a word.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Configuration;
use Nginx;

my $KEY       = 'sk-test-provider-c0ff';
my $authority = Authority->new;
my $leaf      = $authority->issue('client.example.com');
my $nginx     = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-client']}]});

configure_with($nginx, $KEY, CA => $authority->cert,
    CERT => $leaf->{cert}, KEY => $leaf->{key});

subtest 'what is right' => sub {
    passes 'the least';
    passes 'admit any', admit => 'keystile_admit any;', clients => '';
    passes 'placeholders', admit => 'keystile_admit placeholder sk-a sk-b;';
    passes 'everything on the outermost level', map({ $_ => '' }
            qw(admit allow inject)),
        http => join "\n", map { piece($_) } qw(admit allow inject);
    passes 'health', more => '} location = /h { keystile_health;';
    passes 'each style', http => join "\n",
        map { "keystile_credential c-$_ %%DIR%%/openai.key style=$_;" }
        qw(bearer x-api-key api-key x-goog-api-key);
    passes 'a header and prefix', http =>
        'keystile_credential c %%DIR%%/openai.key header=X-T "prefix=T ";';
    passes 'format=raw and permissions=strict', http => 'keystile_credential'
        . ' c %%DIR%%/openai.key format=raw permissions=strict;';
    passes 'a relative path', credential =>
        'keystile_credential openai openai.key;';
};

subtest 'what is missing' => sub {
    fails "no keystile_$_", "keystile_$_", $_ => ''
        for qw(admit allow inject);
    fails 'an unknown credential', 'azure', inject => 'keystile_inject azure;';
    fails 'an unknown set', 'guests', admit => 'keystile_admit team guests;';
    fails 'a credential defined elsewhere', 'openai', credential => '';
    fails 'placeholder without a value', 'placeholder',
        admit => 'keystile_admit placeholder;';
    fails 'any and something else', 'any', admit => 'keystile_admit any team;';
    fails 'a set named any', 'any',
        http => 'keystile_client_keys any %%DIR%%/clients.json;';
    fails 'an unknown one in a pool', 'azure',
        inject => 'keystile_inject openai azure;';
    fails 'an unknown one behind passthrough', 'azure',
        inject => 'keystile_inject passthrough azure;';
    fails 'passthrough that comes last', 'passthrough',
        inject => 'keystile_inject openai passthrough;';
    fails 'one given twice', 'given twice: openai',
        inject => 'keystile_inject openai openai;';
    fails 'a credential named passthrough', 'a meaning of its own',
        http => 'keystile_credential passthrough %%DIR%%/openai.key;';
    my @many = map { "c$_" } 1 .. 33;
    my $many = join '', map { "keystile_credential $_ %%DIR%%/openai.key;\n" }
        @many;
    fails 'more than 32', 'more than 32 names',
        http => $many, inject => "keystile_inject @many;";
    pop @many;
    passes 'as many as that', http => $many, inject => "keystile_inject @many;";
    fails 'off and something else', '"keystile_inject off" stands alone',
        inject => 'keystile_inject off openai;';
    fails 'a credential named off', 'a meaning of its own',
        http => 'keystile_credential off %%DIR%%/openai.key;';
    passes 'off', inject => 'keystile_inject off;';
    passes 'passthrough alone', inject => 'keystile_inject passthrough;';
    passes 'passthrough and two', http => $many,
        inject => 'keystile_inject passthrough c1 c2;';
};

subtest 'the next credential' => sub {
    passes $_, more => "keystile_next_credential $_;"
        for 'http_401', 'http_403 http_429 error timeout', 'off',
        'http_401 cooldown=5m tries=2', 'tries=1 http_429';
    my %faults = (
        'http_500'            => 'expected "http_401"',
        'off http_401'        => '"off" stands alone',
        'cooldown=5m'         => 'names no condition',
        'http_401 cooldown=x' => 'expected a time',
        'http_401 cooldown=0' => 'expected a time',
        'http_401 tries=0'    => 'expected a number',
        'http_401 tries=-1'   => 'expected a number',
    );
    fails $_, $faults{$_}, more => "keystile_next_credential $_;"
        for sort keys %faults;
};

subtest 'duplicates' => sub {
    my %twice = (
        keystile_pass                    => 'http://127.0.0.1:9',
        keystile_admit                   => 'team',
        keystile_inject                  => 'openai',
        keystile_key_headers             => 'authorization',
        keystile_foreign_keys            => 'strip',
        keystile_next_credential         => 'off',
        keystile_error_format            => 'auto',
        keystile_connect_timeout         => '1s',
        keystile_send_timeout            => '1s',
        keystile_read_timeout            => '1s',
        keystile_websocket_timeout       => '1s',
        keystile_buffer_size             => '8k',
        keystile_request_buffering       => 'on',
        keystile_next_upstream_tries     => '1',
        keystile_next_upstream_timeout   => '1s',
        keystile_bind                    => '127.0.0.1',
        keystile_socket_keepalive        => 'on',
        keystile_ssl_name                => 'a',
        keystile_ssl_trusted_certificate => '%%CA%%',
        keystile_ssl_verify_depth        => '1',
        keystile_ssl_crl                 => '%%CA%%',
        keystile_ssl_ciphers             => 'DEFAULT',
        keystile_ssl_session_reuse       => 'on',
        keystile_ssl_certificate         => '%%CERT%%',
        keystile_ssl_certificate_key     => '%%KEY%%',
    );
    for my $name (sort keys %twice) {
        my $line = "$name $twice{$name};";
        my ($part) = $name =~ /\Akeystile_(pass|admit|inject)\z/;
        fails $name, "\"$name\" directive is duplicate",
            $part ? ($part => "$line $line") : (more => "$line $line");
    }
    fails 'keystile_health next to keystile_pass', 'is duplicate',
        more => 'keystile_health;';
    fails 'two credentials of one name', 'openai',
        http => piece('credential');
    fails 'two sets of one name', 'team', http => piece('clients');
    passes 'headers, as often as wanted', more =>
        join ' ', map { "keystile_set_header X-$_ 1; keystile_hide_header"
            . " X-$_; keystile_pass_header Y-$_;" } 1, 2;
};

subtest 'words' => sub {
    my $arguments = 'invalid number of arguments in "%s" directive';
    my %needs_one = map { ("keystile_$_" => 1) } qw(admit inject key_headers
        foreign_keys error_format hide_header pass_header connect_timeout
        send_timeout read_timeout websocket_timeout buffer_size bind
        next_upstream next_upstream_tries next_upstream_timeout
        ssl_name ssl_trusted_certificate ssl_verify_depth ssl_crl
        ssl_protocols ssl_ciphers ssl_certificate ssl_certificate_key
        request_buffering socket_keepalive ssl_session_reuse pass);
    fails "$_ without a word", sprintf($arguments, $_), more => "$_;"
        for sort keys %needs_one;
    fails "$_", sprintf($arguments, (split)[0]), more => "$_;"
        for 'keystile_set_header X', 'keystile_allow GET',
        'keystile_health on', 'keystile_ssl_conf_command a',
        'keystile_foreign_keys strip reject', 'keystile_error_format a b';
    fails "$_", sprintf($arguments, (split)[0]), http => "$_;"
        for 'keystile_credential a', 'keystile_client_keys a',
        'keystile_client_keys a b c';

    my @values = ('foreign_keys maybe', 'error_format gemini',
        'read_timeout soon', 'connect_timeout -1', 'buffer_size big',
        'request_buffering maybe', 'socket_keepalive 1',
        'ssl_session_reuse yes', 'next_upstream http_999',
        'next_upstream non_idempotent', 'next_upstream_tries x',
        'ssl_protocols TLSv9', 'ssl_verify_depth x', 'bind nowhere',
        'key_headers "a b"', 'key_headers host', 'key_headers a A',
        'key_headers x-a x_a', 'buffer_size 1k', 'ssl_name $host');
    fails "keystile_$_", 'invalid|keystile_', more => "keystile_$_;",
        pass => 'keystile_pass https://127.0.0.1:9;' for @values;

    # Found once the TLS context is made: nginx names the file, not the line.
    my @files = ('ssl_trusted_certificate %%DIR%%/none', 'ssl_crl %%DIR%%/none',
        'ssl_ciphers NONE-SUCH', 'ssl_conf_command NoSuchCommand 1');
    fails "keystile_$_", 'none|NONE-SUCH|NoSuchCommand',
        more => "keystile_$_;", place => 0,
        pass => 'keystile_pass https://127.0.0.1:9;' for @files;

    my %certificates = (
        '%%CERT%%' => 'no "keystile_ssl_certificate_key"[^\n]*'
            . quotemeta $leaf->{cert},
        '$host.pem' => 'cannot hold variables',
        '%%CERT%%; keystile_ssl_certificate_key $host.pem' =>
            'cannot hold variables',
    );
    fails "keystile_ssl_certificate $_", $certificates{$_},
        more => "keystile_ssl_certificate $_;",
        pass => 'keystile_pass https://127.0.0.1:9;'
        for sort keys %certificates;

    my @most = map {"keystile_credential c$_ %%DIR%%/openai.key;"} 2 .. 256;
    passes '256 credentials', http => join "\n", @most;
    fails 'one more', 'more than 256 "keystile_credential"',
        http => join "\n", @most, 'keystile_credential d %%DIR%%/openai.key;';
    fails "keystile_credential $_", 'keystile_credential|invalid',
        http => "keystile_credential c %%DIR%%/openai.key $_;"
        for qw(style=basic style= header= header=a:b header=Host prefix=x
        header=X-Request-Id header=content_type header=Content-Length format=codex to= permissions=lax bearer),
        'style=api-key header=X-A';
    fails 'verification cannot be turned off',
        'unknown directive "keystile_ssl_verify"',
        more => 'keystile_ssl_verify off;';
};

subtest 'contexts' => sub {
    my $here = 'is not allowed here';
    fails 'keystile_pass in a server', $here, server => piece('pass');
    fails 'keystile_health in a server', $here, server => 'keystile_health;';
    fails 'keystile_credential in a server', $here,
        server => 'keystile_credential c %%DIR%%/openai.key;';
    fails 'keystile_client_keys in a location', $here,
        more => 'keystile_client_keys c %%DIR%%/clients.json;';
};

subtest 'rules' => sub {
    my @bad = ('get /v1', 'GET,, /v1', ',GET /v1', 'GET,P/ST /v1', 'GET v1',
        'GET //v1', 'GET /v1/../a', 'GET /v1/%2e', 'GET "/v1;a"', 'GET "/v1#a"',
        'GET /v1?a=1', 'GET /v1/a*', 'GET /v1/**/a', 'GET /v1/***',
        'GET /v1 anything', 'GET /v1 query=', 'GET /v1 query=key',
        'GET /v1 query=a,api_key', 'GET /v1 query=apiKey',
        'GET /v1 query=access_token', 'GET /v1 query=a query=b',
        'POST /v1 websocket', 'GET,POST /v1 websocket',
        'GET /v1 websocket websocket', 'GET /v1 identity=key', 'GET /v1 to=',
        'GET /v1 to=v2', 'GET /v1 to=//v2', 'GET /v1 to=http://a/b',
        'GET /v1 to=/a/../b', 'GET /v1 to=/a to=/b', 'GET /v1 to=/a/*',
        'GET /v1/* to=/a/*/*', 'GET /v1/* to=/a/**',
        'GET /v1 query=a to=/b?a=1');
    fails "keystile_allow $_", 'keystile_allow',
        allow => "keystile_allow $_;" for @bad;
    my @good = ('GET /v1', 'GET,POST /', 'GET /**', 'M-SEARCH /v1',
        'GET /v1/*/a', 'GET /v1/*/**', 'GET /v1 query=a,b', 'GET /v1 query=*',
        'GET /v1 websocket query=model', 'GET /v1 identity=bearer',
        'GET /v1 to=/v2?a=1&b=2', 'GET /v1/* to=/a/*/b', 'GET /v1/* to=/a',
        'GET /v1/a%20b');
    passes "keystile_allow $_", allow => "keystile_allow $_;" for @good;
};

$nginx->stop;
done_testing;
