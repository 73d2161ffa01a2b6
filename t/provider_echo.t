# Providers repeat parts of a key that they do not accept. Whatever they do,
# nothing of the real key reaches the client: no run of 6 bytes of it. And what
# they repeat of the client's own tells it nothing about the key.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use Compress::Zlib ();
use Memory;
use Nginx;
use Provider;
use Wire;

use constant RUN         => 6;
use constant BUFFER_SIZE => 4096;

my $KEY       = fresh_key('echoed');
my $authority = Authority->new;
my $plain     = Provider->new;
my $secure    = Provider->new(tls => $authority->issue('localhost'));
my $nginx     = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->start(<<'CONF',
    keystile_credential openai %%DIR%%/openai.key;
    keystile_admit       any;
    keystile_inject      openai;
    keystile_allow       GET,HEAD,POST /*/responses;
    keystile_allow       GET /*/responses websocket;
    keystile_buffer_size 4k;
    keystile_ssl_trusted_certificate %%CA%%;
    server {
        listen 127.0.0.1:%%PORT%%;
        location /plain/ { keystile_pass http://%%PLAIN%%; }
        location /tls/   { keystile_ssl_name localhost;
                           keystile_pass https://%%SECURE%%; }
        location /intercepted/ {
            error_page 503 403 = @other;
            keystile_pass http://%%PLAIN%%;
        }
        location @other { return 418 teapot; }
    }
CONF
    CA     => $authority->cert,
    PLAIN  => $plain->address,
    SECURE => $secure->address);

# What of the key is in there.
sub parts_of_key ($bytes) {
    my %runs = map { substr($KEY, $_, RUN) => 1 } 0 .. length($KEY) - RUN;
    return grep { index($bytes, $_) >= 0 } sort keys %runs;
}

# Sends a request; what comes back has nothing of the key in it.
sub silent ($name, $answer, %request) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $at     = delete $request{at} // 'plain';
    my $may_be = delete $request{may_be} // '';
    $_->answer($answer) for $plain, $secure;
    my $wire = Wire->connect($nginx->port);
    $wire->expect($request{method} // 'GET');
    $wire->write(compose(target => "/$at/responses", %request));
    my $r = $wire->response;
    ok !parts_of_key($wire->received), "$name: silent"
        or diag substr $wire->received, 0, 400;
    ok $r->complete, 'a whole reply' if $may_be ne 'cut off';
    $wire->close;
    return $r;
}

my $random = substr $KEY, -40;
my %parts  = (
    'all of it'   => $KEY,
    'its end'     => substr($KEY, -RUN),
    'its middle'  => substr($random, 10, 8),
    'its start'   => substr($KEY, 0, 20),
    'masked'      => substr($KEY, 0, 8) . '*' x 20 . substr($KEY, -6),
);

# The ways to frame a body; those that take the connection with them are last.
my %framings = (
    length  => sub ($request, $status, $headers, $body) {
        $request->reply($status, $headers, $body);
    },
    chunked => sub ($request, $status, $headers, $body) {
        $request->begin($status, $headers)->chunk($body)->last_chunk;
    },
    'tiny chunks' => sub ($request, $status, $headers, $body) {
        $request->begin($status, $headers);
        $request->chunk($_) for $body =~ /.{1,3}/gs;
        $request->last_chunk;
    },
    'tiny chunks, with extensions' => sub ($request, $status, $headers, $body) {
        $request->begin($status, $headers);
        $request->write("2;$_=$_\r\n" . substr("$_..", 0, 2) . "\r\n")
            for $body =~ /.{1,2}/gs;
        $request->last_chunk;
    },
    trailers => sub ($request, $status, $headers, $body) {
        $request->begin($status, [@$headers, Trailer => 'X-Key']);
        $request->chunk($body)->write("0\r\nX-Key: $KEY\r\n\r\n");
    },
    close => sub ($request, $status, $headers, $body) {
        $request->reply($status, $headers, $body, framing => 'close');
    },
    truncated => sub ($request, $status, $headers, $body) {
        $request->reply($status,
            [@$headers, 'Content-Length' => 2 + length $body], $body);
        $request->connection->close;
    },
);

my @JSON = ('Content-Type' => 'application/json');

# A model's name, say: were the reply another where the guess of one byte more is
# right, the key could be found out byte by byte.
subtest 'guesses' => sub {
    my %replies;
    for my $guess ('none', map { substr $KEY, $_ } 0 .. length($KEY) - 1) {
        my $code = '"code":"model_not_found"';
        for my $header ([], ['X-Request-Id' => $guess]) {
            $plain->answer(sub ($request) {
                $request->reply(403, [@JSON, @$header], '{"error":{"message":'
                    . "\"No access to model $guess\",$code}}");
            });
            my $r = request($nginx->port, target => '/plain/responses');
            my $head = $r->head =~ s/^(?:date|x-request-id):[^\n]+\n//gimr;
            $replies{$head . $r->body}++;
        }
    }
    is keys %replies, 1, 'one reply to all of them';
    my ($reply) = keys %replies;
    like $reply, qr/\AHTTP\/1.1 403 /, 'of that status';
    like $reply, qr/"The provider refused this request: model_not_found"/,
        'which says why';
};

for my $at (qw(plain tls)) {
    for my $status (401, 403) {
        subtest "$at, $status: bodies" => sub {
            for my $framing (sort keys %framings) {
                for my $part (sort keys %parts) {
                    my $body = '{"error":{"message":"Who is '
                        . "$parts{$part}?\"}}";
                    my $r = silent("$part, $framing", sub ($request) {
                        $framings{$framing}
                            ->($request, $status, \@JSON, $body);
                    }, at => $at);
                    next if $framing eq 'truncated';
                    is $r->status, $status == 401 ? 503 : 403,
                        'our own status';
                    is $r->json && $r->json->{error}{code},
                        $status == 401 ? 'upstream_credential_rejected'
                        : 'upstream_forbidden', 'and error';
                }
            }
        };
    }
}

subtest 'compressed' => sub {
    my $body = "Who is $KEY?" . 'x' x 100;
    my %encoded = (
        gzip    => Compress::Zlib::memGzip($body),
        deflate => Compress::Zlib::compress($body),
        br      => "not really $KEY",
        Gzip    => Compress::Zlib::memGzip($body),
    );
    for my $status (400, 401, 403) {
        for my $encoding (sort keys %encoded) {
            my $r = silent("$status, $encoding", sub ($request) {
                $request->reply($status, ['Content-Encoding' => $encoding],
                    $encoded{$encoding});
            }, headers => ['Accept-Encoding' => 'gzip, deflate, br']);
            is $r->header('content-encoding'), undef, 'is not passed on';
            unlike $r->body, qr/\Q$encoded{$encoding}\E/, 'nor its body';
        }
    }
};

# xAI's, of which only the framing differs.
subtest 'a 400 for the key' => sub {
    my $body = '{"code":"Client specified an invalid argument",'
        . "\"error\":\"Incorrect API key provided: $KEY.\"}";
    for my $framing (grep { $_ ne 'truncated' } sort keys %framings) {
        my $r = silent($framing, sub ($request) {
            $framings{$framing}->($request, 400, \@JSON, $body);
        });
        is $r->status, 503, 'is about ours';
    }
    my $r = silent('behind spaces, until the end', sub ($request) {
        $request->reply(400, \@JSON, ' ' x 30, framing => 'close');
    });
    is $r->json->{error}{code}, 'upstream_bad_request', 'cannot be read';
    my $echo = '{"error":{"message":"Bad model: Incorrect API key"}}';
    $r = silent('another', sub ($request) {
        $request->reply(400, \@JSON, $echo);
    });
    is $r->body, $echo, 'passes as it is';
};

# The echo beyond what fits into the buffer, or across its end: what came before
# it may have gone to the client by then.
subtest 'long' => sub {
    for my $status (401, 403) {
        for my $before (BUFFER_SIZE - 400 .. BUFFER_SIZE - 380,
            BUFFER_SIZE - 30, BUFFER_SIZE, 3 * BUFFER_SIZE, 500_000) {
            for my $framing ('length', 'chunked', 'close') {
                silent("$status, after $before bytes, $framing",
                    sub ($request) {
                        $framings{$framing}->($request, $status, \@JSON,
                            'x' x $before . $KEY);
                    }, may_be => 'cut off');
            }
        }
    }
};

# A body that comes a byte at a time, and then some at once.
subtest 'slow' => sub {
    for my $status (401, 403) {
        my $r = silent("$status, in pieces", sub ($request) {
            my $body = "Who is $KEY?";
            $request->write("HTTP/1.1 $status No\r\nContent-Length: "
                    . length($body) . "\r\n\r\n");
            my $send = sub ($send) {
                $request->write(substr $body, 0, 5, '');
                Mojo::IOLoop->next_tick(sub { $send->($send) }) if $body ne '';
            };
            $send->($send);
        });
        is $r->status, $status == 401 ? 503 : 403, 'our own status';
    }
};

subtest 'heads' => sub {
    my %heads = (
        'a header'          => ["No", "X-Key: $KEY"],
        'a part in a header' => ["No", 'X-Key: ' . substr $random, 3, 8],
        'WWW-Authenticate'  =>
            ["No", "WWW-Authenticate: Bearer error=\"$KEY\""],
        'Location'          => ["No", "Location: /login?key=$KEY"],
        'a request id'      => ["No", "X-Request-Id: $random"],
        'Content-Type'      => ["No", "Content-Type: text/plain; key=$KEY"],
        'the name of a header' => ["No", "X-$random: 1"],
        'the reason'        => ["No $KEY", 'X-Key: none'],
        'a folded line'     => ["No", "X-Key: a\r\n b-$KEY"],
    );
    for my $status (401, 403) {
        for my $name (sort keys %heads) {
            my ($reason, $header) = @{$heads{$name}};
            my $head = "HTTP/1.1 $status $reason\r\n$header\r\n";
            for my $method (qw(GET HEAD POST)) {
                my $body = $method eq 'HEAD' ? '' : '{}';
                silent("$status, $name, $method", sub ($request) {
                    $request->write("${head}Content-Length: 2\r\n\r\n$body");
                }, method => $method);
            }
            silent("$status, $name, no body", sub ($request) {
                $request->write("${head}Content-Length: 0\r\n\r\n");
            });
            silent("$status, $name, in an interim reply", sub ($request) {
                $request->write("HTTP/1.1 103 Early\r\n$header\r\n\r\n"
                        . "${head}Content-Length: 0\r\n\r\n");
            });
        }
    }
};

subtest 'WebSockets' => sub {
    my @upgrade = (
        Connection              => 'Upgrade',
        Upgrade                 => 'websocket',
        'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key'     => 'c2l4dGVlbiBieXRlcyBvaw==',
    );
    for my $status (401, 403) {
        for my $framing (sort keys %framings) {
            my $r = silent("$status, $framing", sub ($request) {
                $framings{$framing}->($request, $status,
                    ['X-Key' => $KEY], "Who is $KEY?");
            }, headers => \@upgrade);
            like $r->status, qr/\A(?:403|50[23])\z/, 'the handshake fails';
        }
    }
};

# An error page of the operator's sees our reply, and not the provider's.
subtest 'error_page' => sub {
    for my $status (401, 403) {
        silent("$status", sub ($request) {
            $request->reply($status, ['X-Key' => $KEY], "Who is $KEY?");
        }, at => 'intercepted');
    }
};

subtest 'the check can fail' => sub {
    $plain->answer(sub ($request) { $request->reply(200, [], "all: $KEY") });
    my $wire = Wire->connect($nginx->port);
    $wire->ask(target => '/plain/responses');
    cmp_ok scalar parts_of_key($wire->received), '>', 30,
        'a provider that tells the key to everyone is seen to';
};

$nginx->tolerate(qr/upstream/)->stop;
done_testing;
