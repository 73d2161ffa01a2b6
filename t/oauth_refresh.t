# conf-examples/oauth-refresh: when the script renews a login, what it asks for
# and writes, and what it makes of each answer.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use CodexAuth;
use File::Temp ();
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use TokenEndpoint;

my $dir  = File::Temp->newdir;
my $file = "$dir/auth.json";

# Writes a login; returns it, and an endpoint that knows it.
sub login (%with) {
    unlink glob "$file*";
    my $auth = auth(expires => time + 60, %with);
    write_auth($auth);
    return ($auth, TokenEndpoint->new(login => $auth));
}

sub write_auth ($auth) { return write_text(encode_json($auth)) }

sub write_text ($text) {
    open my $to, '>:raw', $file or die "$file: $!";
    print {$to} $text;
    close $to;
    chmod 0600, $file;
    return;
}

sub written () { return decode_json(path($file)->slurp) }

# What is beside the file, without its lock.
sub beside () {
    return [sort map { s/\A\Q$file\E\.//r } grep { !/\.lock\z/ }
            glob "$file.*"];
}

sub is_untouched ($run, $endpoint, $auth, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $run->{status}, 0, $name or diag $run->{said};
    is $endpoint->asked, 0, 'nothing is asked';
    is_deeply written(), $auth, 'nothing is written';
    return;
}

subtest 'a token that expires is renewed' => sub {
    my ($auth, $endpoint) = login();
    my $mark = "$dir/mark";
    link $file, "$dir/before" or die $!;
    my $run = $endpoint->refresh($file, '--reload', "echo reloaded >> $mark");
    is $run->{status}, 0, 'all is well' or diag $run->{said};
    is $run->{said}, "$file: renewed\n", 'and said';
    is $endpoint->asked, 1, 'one request';
    my $request = $endpoint->provider->last;
    is $request->method . ' ' . $request->target, 'POST /oauth/token', 'its line';
    is $request->header('content-type'), 'application/json', 'its type';
    is_deeply decode_json($request->body), {
        client_id     => 'app_test',
        grant_type    => 'refresh_token',
        refresh_token => $auth->{tokens}{refresh_token},
    }, 'what it asks for';
    my $now = written();
    my %expected = %{$auth->{tokens}};
    $expected{$_} = $endpoint->login->{tokens}{$_}
        for qw(id_token access_token refresh_token);
    is_deeply $now->{tokens}, \%expected, 'the new tokens are there';
    like $now->{last_refresh}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, 'a time';
    is path($mark)->slurp, "reloaded\n", 'nginx is told, once';
    is_deeply decode_json(path("$dir/before")->slurp), $auth,
        'nothing is written over what was there';
    is_deeply beside(), [], 'nothing is left beside it';

    is_untouched($endpoint->refresh($file, '--margin', 60),
        TokenEndpoint->new(login => $auth), $now, 'then there is time');
    is $endpoint->asked, 1, 'and no second request';
};

subtest 'when it is due' => sub {
    my %early = (
        'two hours and more'      => [expires => time + 7300],
        'half of an hour is left' =>
            [expires => time + 1900, lifetime => 3600],
        'an opaque one, new' => [opaque => 1],
    );
    for my $name (sort keys %early) {
        my ($auth, $endpoint) = login(@{$early{$name}});
        is_untouched($endpoint->refresh($file), $endpoint, $auth, $name);
    }
    my %due = (
        'less than two hours' => [[expires => time + 7100], {}],
        'expired'             => [[expires => time - 100],  {}],
        'less than half'      =>
            [[expires => time + 1700, lifetime => 3600], {}],
        'an opaque one, old' => [[opaque => 1],
            {last_refresh => timestamp(time - 8 * 86_400 - 60)}],
        'with a fraction' => [[opaque => 1],
            {last_refresh => '2026-01-01T00:00:00.123456+01:00'}],
        'of an unknown age' => [[opaque => 1], {last_refresh => undef}],
    );
    for my $name (sort keys %due) {
        my ($auth, $endpoint) = login(@{$due{$name}[0]});
        write_auth({%$auth, %{$due{$name}[1]}});
        is $endpoint->refresh($file)->{status}, 0, $name;
        is $endpoint->asked, 1, 'is renewed';
    }
};

subtest 'members of the answer that are absent keep what was there' => sub {
    for my $names (['access_token'], [qw(access_token refresh_token)]) {
        my ($auth, $endpoint) = login();
        $endpoint->members($names);
        is $endpoint->refresh($file)->{status}, 0, "@$names";
        my %expected = (%{$auth->{tokens}},
            map { $_ => $endpoint->login->{tokens}{$_} } @$names);
        is_deeply written()->{tokens}, \%expected, 'the rest stays';
    }
    my ($auth, $endpoint) = login();
    $endpoint->members(['refresh_token']);
    my $run = $endpoint->refresh($file);
    is $run->{status}, 2, 'no access token';
    is written()->{tokens}{refresh_token},
        $endpoint->login->{tokens}{refresh_token},
        'but the refresh token is not lost';
};

subtest 'what is not for it stays as it is' => sub {
    my ($auth, $endpoint) = login();
    my $more = '"more":{"n":12345678901234567890123,"f":1.10,"t":true,'
        . "\"z\":null,\"s\":\"7\",\"u\":\"\xC3\xA9\xF0\x9F\x98\x80\",\"l\":[]}";
    write_text(encode_json($auth) =~ s/\A\{/{$more,/r);
    is $endpoint->refresh($file)->{status}, 0, 'renewed';
    my $text = path($file)->slurp;
    like $text, qr/"$_/, $_ for 'n" : 12345678901234567890123\b',
        'f" : 1\.1', 't" : true', 'z" : null', 's" : "7"', 'l" : \[\]',
        "u\" : \"\xC3\xA9\xF0\x9F\x98\x80\"", 'oauth_provenance"';
    is written()->{auth_mode}, 'chatgpt', 'the mode';
    ok !defined written()->{OPENAI_API_KEY}, 'the key that is none';
};

subtest 'owner and mode stay' => sub {
    for my $mode (0600, 0400, 0640) {
        my ($auth, $endpoint) = login();
        chmod $mode, $file;
        chown 65534, 65534, $file if $> == 0;
        is $endpoint->refresh($file)->{status}, 0, sprintf 'mode %04o', $mode;
        my @now = stat $file;
        is $now[2] & 07777, $mode, 'the mode';
        is $now[4], $> == 0 ? 65534 : $>, 'the owner';
        is_deeply beside(), [], 'and nothing beside it';
    }
    my ($auth, $endpoint) = login();
    rename $file, "$dir/real.json";
    symlink 'real.json', $file;
    is $endpoint->refresh($file)->{status}, 0, 'a symbolic link';
    ok -l $file, 'stays one';
    is written()->{tokens}{access_token},
        $endpoint->login->{tokens}{access_token}, 'to what is new';
    unlink glob "$dir/real.json*";
};

subtest 'refused for good' => sub {
    my %words = (
        refresh_token_expired     => qr/has expired/,
        refresh_token_reused      => qr/used before/,
        refresh_token_invalidated => qr/revoked/,
    );
    my %forms = (
        'a member "code"' => sub ($code) { {error => {code => $code}} },
        'a word'          => sub ($code) { {error => $code} },
        'at the top'      => sub ($code) { {code  => $code} },
    );
    for my $code (sort keys %words) {
        for my $form (sort keys %forms) {
            my ($auth, $endpoint) = login();
            $endpoint->answer(sub ($request) {
                $request->reply(401, undef,
                    encode_json($forms{$form}->($code)));
            });
            my $run = $endpoint->refresh($file);
            is $run->{status}, 3, "$code, $form";
            like $run->{said}, qr/$words{$code}.*Someone must log in again/s,
                'said in plain words';
            is_deeply written(), $auth, 'the file is as it was';
            my $again = $endpoint->refresh($file);
            is $again->{status}, 3,            'the next run';
            is $again->{said},   $run->{said}, 'says the same';
            is $endpoint->asked, 1,            'and asks nobody';
        }
    }
    my ($auth, $endpoint) = login();
    $endpoint->answer(sub ($request) {
        $endpoint->refuse($request, 401, 'refresh_token_reused');
    });
    is $endpoint->refresh($file)->{status}, 3, 'a login that is of no use';
    my $next = auth(expires => time + 60);
    write_auth($next);
    $endpoint->login($next)->answer(undef);
    is $endpoint->refresh($file)->{status}, 0, 'another login is renewed';
    is_deeply beside(), [], 'and the old one forgotten';
};

subtest 'refused for now' => sub {
    my %answers = (
        'status 500'   => [500, '{"error":{"code":"server_error"}}'],
        'status 503'   => [503, 'no'],
        'status 429'   => [429, '{}'],
        'another 401'  => [401, '{"error":{"code":"invalid_client"}}'],
        'a bare 401'   => [401, ''],
        'a 400 of that code' =>
            [400, '{"error":{"code":"refresh_token_expired"}}'],
        'a redirect'   => [302, ''],
        'no JSON'      => [200, 'hello'],
        'a list'       => [200, '[]'],
        'no tokens'    => [200, '{"token_type":"Bearer"}'],
        'empty ones'   => [200, '{"access_token":"","refresh_token":null}'],
        'bad ones'     => [200, '{"access_token":"a\r\nb"}'],
        'a huge one'   => [200, '{"access_token":"' . 'x' x 100_000 . '"}'],
    );
    for my $name (sort keys %answers) {
        my ($status, $body) = @{$answers{$name}};
        my ($auth, $endpoint) = login();
        $endpoint->answer(sub ($request) {
            $request->reply($status, ['Location' => '/elsewhere',
                    'Content-Type' => 'application/json'], $body);
        });
        my $run = $endpoint->refresh($file);
        is $run->{status}, 2, $name or diag $run->{said};
        is $endpoint->asked, 1, 'is asked once';
        is_deeply written(), $auth, 'nothing is written';
        $endpoint->answer(undef);
        is $endpoint->refresh($file)->{status}, 0, 'the next run does it';
    }
    my ($auth, $endpoint) = login();
    for my $how (qw(close reset)) {
        $endpoint->answer(sub ($request) { $request->connection->$how });
        is $endpoint->refresh($file)->{status}, 2, "$how instead of an answer";
    }
    $endpoint->answer(sub ($request) {
        $request->write($request->body . "\r\n\r\n");
        $request->connection->close;
    });
    is $endpoint->refresh($file)->{status}, 2, 'what is no HTTP';
    $endpoint->answer(sub ($request) { });
    is $endpoint->refresh($file, '--timeout', 1)->{status}, 2, 'no answer';
    $endpoint->provider->close;
    is $endpoint->refresh($file)->{status}, 2, 'nobody there';
    is_deeply written(), $auth, 'and the file is as it was';
};

subtest 'over TLS' => sub {
    my $authority = Authority->new;
    my ($auth) = login();
    my $endpoint = TokenEndpoint->new(login => $auth,
        tls => $authority->issue('localhost'));
    is $endpoint->refresh($file)->{status}, 2, 'an unknown authority';
    is $endpoint->asked, 0, 'is told nothing';
    my @trusted = ('--ca-file', $authority->cert);
    my $other = TokenEndpoint->new(login => $auth,
        tls => $authority->issue('other.example.com'));
    is $other->refresh($file, @trusted)->{status}, 2, 'another name';
    is $other->asked, 0, 'is told nothing';
    is $endpoint->refresh($file, @trusted)->{status}, 0, 'a known one';
    is $endpoint->asked, 1, 'is asked';
};

subtest 'faults here' => sub {
    my ($auth, $endpoint) = login();
    for my $url (qw(http://auth.example.com/oauth/token ftp://localhost/a
        http://localhost.example.com/ http://localhost:80@example.com/ x)) {
        my $run = $endpoint->refresh($file, '--token-url', $url);
        is $run->{status}, 1, $url;
        like $run->{said}, qr/must begin with https/, 'says why';
    }
    is $endpoint->refresh($file, '--nonsense')->{status}, 1, 'an option';
    is $endpoint->refresh($file, '--margin', 'x')->{status}, 1, 'a number';
    my %bad = (
        'no JSON'   => 'sk-test-secret-1f',
        'a list'    => '["sk-test-secret-1f"]',
        'cut short' => substr(encode_json($auth), 0, 300),
        'no tokens' => '{"OPENAI_API_KEY":"sk-test-secret-1f"}',
        'no refresh token' => '{"tokens":{"access_token":"sk-test-secret-1f"}}',
        'a huge one' => '{"x":"' . 'x' x 70_000 . '"}',
    );
    for my $name (sort keys %bad) {
        write_text($bad{$name});
        my $run = $endpoint->refresh($file);
        is $run->{status}, 1, $name;
        unlike $run->{said}, qr/secret-1f|eyJ|xxx/, 'which is not shown';
        is path($file)->slurp, $bad{$name}, 'nor changed';
    }
    unlink $file;
    is $endpoint->refresh($file)->{status}, 1, 'no file';
    ok !-e $file, 'and none is made';
    is $endpoint->asked, 0, 'nobody was asked';
};

done_testing;
