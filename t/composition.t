# conf-examples/composition: keystile with nginx's modules that decide on
# requests before it does. What each lets through, and what of a refused
# request goes anywhere: nothing.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Await;
use Composition;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $authority = Authority->new;
my $provider  = Provider->new(tls => $authority->issue('api.openai.com'));
my $TOKEN     = 'sk-test-token-of-the-company';
my $COOKIE    = 'session-cookie-5f0a';

sub starts ($name, @changes) {
    return compose_nginx($name, $authority,
        PROVIDER => $provider->address, @changes);
}

sub verdict () {
    return Verdict->new(provider => $provider, key => KEY,
        secrets => [caller_key('ada'), caller_key('other'), $TOKEN, $COOKIE]);
}

sub asks ($nginx, $headers = [], %more) {
    return request($nginx->port, method => 'POST', target => '/v1/responses',
        headers => $headers, body => '{"model":"m"}', %more);
}

subtest 'auth_request: identity elsewhere' => sub {
    my $identity = Provider->new;
    my $nginx    = starts('auth-request.conf',
        '127.0.0.1:9000' => $identity->address);
    my $verdict = verdict();
    my @headers = (Authorization => "Bearer $TOKEN", Cookie => $COOKIE,
        'x-api-key' => caller_key('ada'), 'X-User' => 'forged');

    $identity->answer(sub ($request) { $request->reply(204, ['X-User' => 7]) });
    my $request = $verdict->admitted('2xx', asks($nginx, [@headers]));
    is $request->header('x-user'), 7, 'who it is goes up';
    is $request->body, '{"model":"m"}', 'with the body';
    my $question = $identity->last;
    is $question->target, '/check', 'what the other server is asked';
    is_deeply [map { "@$_" } grep { $_->[0] ne 'Host' } @{$question->headers}],
        ["Authorization Bearer $TOKEN", 'X-Method POST', 'X-Path /v1/responses',
        'X-Address 127.0.0.1'], 'knows what the configuration names, only';

    for my $case ([401, 401, 'unauthorized'], [403, 403, 'forbidden'],
        [302, 500, 'internal_error'], [500, 500, 'internal_error']) {
        my ($said, $status, $code) = @$case;
        $identity->answer(sub ($request) { $request->reply($said) });
        my $error = $verdict->refused("it says $said", asks($nginx, [@headers]),
            $status);
        is $error->{code}, $code, 'as JSON';
    }
    $identity->close;
    $_->close for grep { !$_->closed } @{$identity->streams};
    $verdict->refused('no answer', asks($nginx, [@headers]), 500);
    $nginx->tolerate(qr/auth request unexpected status|Connection refused/);
    $nginx->stop;
};

subtest 'auth_request: both must agree' => sub {
    my $identity = Provider->new;
    my $nginx    = Nginx->new;
    $nginx->key_file('openai.key', KEY);
    $nginx->client_file({clients => [
        {id => 'ada', keys => [caller_key('ada')]}]});
    $nginx->start(<<'CONF', UPSTREAM => $provider->port,
        keystile_credential  openai  %%DIR%%/openai.key;
        keystile_client_keys team    %%DIR%%/clients.json;
        keystile_ssl_trusted_certificate %%CA%%;

        server {
            listen 127.0.0.1:%%PORT%%;

            location / {
                set                $caller  $keystile_client;
                auth_request       /identity;
                keystile_admit     team;
                keystile_allow     POST  /v1/responses;
                keystile_allow     GET   /v1/responses  websocket;
                keystile_inject    openai;
                keystile_pass      https://127.0.0.1:%%UPSTREAM%%;
                keystile_ssl_name  api.openai.com;
            }

            location = /identity {
                internal;
                proxy_pass                  http://%%IDENTITY%%/check;
                proxy_pass_request_headers  off;
                proxy_pass_request_body     off;
                proxy_set_header  Content-Length  "";
                proxy_set_header  X-Client        $caller;
            }
        }
CONF
        IDENTITY => $identity->address, CA => $authority->cert);
    my $verdict = verdict();
    my $headers = sub ($name) {
        return [Authorization => 'Bearer ' . caller_key($name),
            'x-api-key' => caller_key($name), Cookie => $COOKIE];
    };
    my $is_silent = sub {
        return is_deeply [grep { index($_->received, caller_key('ada')) >= 0
            || index($_->received, $COOKIE) >= 0 } @{$identity->streams}], [],
            'the other server does not learn the key';
    };

    $verdict->admitted('both do', asks($nginx, $headers->('ada')));
    is $identity->last->header('x-client'), 'ada', 'the other knows who it is';
    $is_silent->();
    $identity->answer(sub ($request) { $request->reply(403) });
    $verdict->refused('the other does not', asks($nginx, $headers->('ada')),
        403);
    $is_silent->();
    my $handshake = sub {
        return Wire->handshake($nginx->port, target => '/v1/responses',
            headers => $headers->('ada'));
    };
    $verdict->refused('nor to a WebSocket', $handshake->()->message, 403);
    $identity->answer(sub ($request) { $request->reply(200) });
    $provider->answer(sub ($request) { $request->accept_websocket });
    my $socket = $handshake->();
    $verdict->admitted('now it does', $socket->message, 101);
    $socket->close;
    $provider->forget;
    $verdict = verdict();
    $verdict->refused('keystile does not', asks($nginx, $headers->('other')),
        401, 'invalid_api_key');
    is $identity->last->header('x-client'), undef, 'the other knows nobody';
    $nginx->stop;
};

subtest 'limit_req and limit_conn: each caller by itself' => sub {
    my $nginx   = starts('burst-limits.conf');
    my $verdict = verdict();
    my $ask     = sub ($name) {
        return asks($nginx, [Authorization => 'Bearer ' . caller_key($name)]);
    };
    for (1 .. 21) {
        $verdict->admitted("request $_", $ask->('ada'));
    }
    my $answer;
    for (1 .. 100) {
        last if ($answer = $ask->('ada'))->status != 200;
    }
    verdict();
    is $answer->status, 429, 'too many at once';
    is $answer->json->{error}{code}, 'rate_limit_exceeded', 'as JSON';
    ok $answer->header('x-request-id'), 'with an id';
    $verdict = verdict();
    $verdict->admitted('another caller', $ask->('grace'));
    $verdict->refused('nobody', $ask->('other'), 401, 'invalid_api_key')
        for 1 .. 30;

    $provider->hold;
    my @open = map {
        my $wire = Wire->connect($nginx->port);
        $wire->write(compose(method => 'POST', target => '/v1/responses',
            body => '{}', headers =>
                [Authorization => 'Bearer ' . caller_key('grace')]));
    } 1 .. 8;
    my $before = @{$provider->requests};
    await 'them to be open', sub { @{$provider->requests} >= $before + 8 };
    $verdict = verdict();
    my $error = $verdict->refused('a ninth at a time', $ask->('grace'), 429);
    is $error->{code}, 'rate_limit_exceeded', 'as JSON';
    $_->close for @open;
    $provider->forget;
    $nginx->tolerate(qr/limiting/);
    $nginx->stop;
};

subtest 'ssl_verify_client: a certificate in place of a key' => sub {
    my $nginx    = starts('client-certificates.conf');
    my $verdict  = verdict();
    my $stranger = Authority->new(name => 'Stranger');
    my $ask      = sub ($certificate) {
        return asks($nginx, [Authorization => "Bearer $TOKEN"], tls => {
            $certificate
            ? (SSL_cert_file => $certificate->{cert},
                SSL_key_file => $certificate->{key})
            : ()});
    };
    $verdict->admitted('one of the authority', $ask->(
        $authority->issue('agent-1')));
    my %others = ('none' => undef, 'one of another authority' =>
        $stranger->issue('agent-1'),
        'one that has expired' => $authority->issue({expired => 1}, 'agent-1'));
    for my $name (sort keys %others) {
        my $error = $verdict->refused($name, $ask->($others{$name}), 401);
        is $error->{code}, 'certificate_required', 'as JSON';
    }
    $nginx->stop;
};

subtest 'realip: whom proxies of ours forward for' => sub {
    my $nginx = starts('behind-a-proxy.conf', '192.0.2.10' => '127.0.0.2');
    my %from  = (trusted => '127.0.0.2', other => '127.0.0.1');
    my $verdict = verdict();
    my $ask     = sub ($caller, $peer, @forwarded) {
        return asks($nginx, [Authorization => 'Bearer ' . caller_key($caller),
            map { ('X-Forwarded-For' => $_) } @forwarded],
            from => $from{$peer});
    };

    my $request = $verdict->admitted('from the network that is allowed',
        $ask->('ada', 'trusted', '203.0.113.77'));
    is_deeply [grep { /forwarded|real/ } $request->names], [],
        'the address does not go up';
    $verdict->admitted('behind what the caller says',
        $ask->('ada', 'trusted', '198.51.100.1, 203.0.113.77'));
    $verdict->admitted('through two proxies',
        $ask->('ada', 'trusted', '203.0.113.77, 127.0.0.2'));
    $verdict->admitted('"from" of its entry',
        $ask->('grace', 'trusted', '203.0.113.5'));

    $verdict->refused('from elsewhere',
        $ask->('ada', 'trusted', '198.51.100.1'), 403);
    $verdict->refused('said by the caller only',
        $ask->('ada', 'trusted', '203.0.113.77, 198.51.100.1'), 403);
    $verdict->refused('said by one that is no proxy of ours',
        $ask->('ada', 'other', '203.0.113.77'), 403);
    $verdict->refused('by none', $ask->('ada', 'trusted'), 403);
    $verdict->refused('not "from" of its entry',
        $ask->('grace', 'trusted', '203.0.113.77'), 403,
        'address_not_allowed');
    $verdict->refused('which cannot be forged',
        $ask->('grace', 'trusted', '203.0.113.5, 203.0.113.77'), 403,
        'address_not_allowed');
    $nginx->tolerate(qr/access forbidden by rule/);
    $nginx->stop;
};

# What asks for a variable of keystile before realip has looked was answered by
# the address of the proxy, and so was the request.
subtest 'realip in a location, behind a variable' => sub {
    my $nginx = Nginx->new;
    plan skip_all => 'this nginx has no realip'
        if !$nginx->is_built_with('http_realip_module');
    my $plain = Provider->new;
    $nginx->key_file('openai.key', KEY);
    $nginx->client_file({clients => [
        {id => 'near', keys => [caller_key('ada')], from => ['127.0.0.1']},
        {id => 'far', keys => [caller_key('other')], from => ['203.0.113.5']},
    ]});
    $nginx->start(<<'CONF', PROVIDER => $plain->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_client_keys team   %%DIR%%/clients.json;
    keystile_admit       team;
    keystile_inject      openai;
    keystile_allow       POST /**;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            set_real_ip_from 127.0.0.1;
            real_ip_header   X-Forwarded-For;
            set              $who $keystile_client;
            keystile_pass    http://%%PROVIDER%%;
        }
    }
CONF
    my $verdict = Verdict->new(provider => $plain, key => KEY,
        secrets => [caller_key('ada'), caller_key('other')]);
    my $ask = sub ($caller, @address) {
        return asks($nginx, [Authorization => 'Bearer ' . caller_key($caller),
            map { ('X-Forwarded-For' => $_) } @address]);
    };
    $verdict->refused('near, who says to be far', $ask->('ada', '203.0.113.5'),
        403, 'address_not_allowed');
    $verdict->admitted('near', $ask->('ada'));
    $verdict->admitted('far', $ask->('other', '203.0.113.5'));
    $verdict->refused('far, who is near', $ask->('other'), 403,
        'address_not_allowed');
    $nginx->stop;
};

done_testing;
