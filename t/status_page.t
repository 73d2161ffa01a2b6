# The status page as a browser shows it: the figures of real traffic, at the
# width of a desktop and of a phone, kept up to date.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use CodexAuth;
use File::Temp ();
use Mojo::DOM;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Nginx;
use Provider;
use Wire;

my $KEY      = 'sk-test-provider-90aa';
my $ADA      = 'sk-test-ada-1b7f';
my $BOB      = 'sk-test-bob-77c2';
my $MARKUP   = '<img src=x onerror="alert(1)">';
my $provider = Provider->new;
my $nginx    = Nginx->new;
$nginx->key_file('openai.key', $KEY);
$nginx->auth_file('auth.json', auth(expires => time + 86_400));
$nginx->client_file({clients => [
    {
        id     => 'ada',
        keys   => [$ADA],
        limits => [{tokens => 10000, per => 'month'}, {concurrent => 8}],
    },
    {id => 'bob', keys => [$BOB]},
]});
$nginx->start(<<'CONF', PROVIDER => $provider->address);
    keystile_credential  openai %%DIR%%/openai.key;
    keystile_credential  "a b"  %%DIR%%/auth.json format=codex-auth;
    keystile_client_keys team %%DIR%%/clients.json;
    keystile_zone        main 1m;

    server {
        listen 127.0.0.1:%%PORT%%;
        location /v1/ {
            keystile_admit  team;
            keystile_allow  POST /v1/responses;
            keystile_meter  main;
            keystile_inject openai;
            keystile_pass   http://%%PROVIDER%%;
        }
        location = /status { keystile_status main format=html; }
    }
CONF

# Chromium writes what it makes of a page to standard output or into a file.
my $scratch = File::Temp->newdir;
my $errors  = "$scratch/errors.log";
my $url     = 'http://127.0.0.1:' . $nginx->port . '/status';

sub chromium (@arguments) {
    local $ENV{HOME} = "$scratch";
    my @command = (
        'timeout', 60, 'chromium', '--headless', '--disable-gpu',
        '--hide-scrollbars', '--no-first-run',
        '--disable-background-networking', '--lang=en-US',
        '--enable-logging=stderr', "--user-data-dir=$scratch/profile",
        $> == 0 ? '--no-sandbox' : (), @arguments);
    open my $output, '-|:raw', 'sh', '-c', 'exec "$@" 2>>"$0"', $errors,
        @command or die "chromium: $!";
    my $said = do { local $/; <$output> };
    close $output or die "chromium has ended with $?: "
        . path($errors)->slurp;
    return $said;
}

# The page as it is once its scripts have run.
sub dom (@arguments) {
    return Mojo::DOM->new(chromium('--dump-dom', @arguments));
}

sub is_figure ($dom, $name, $value) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $node = $dom->at("[data-figure=$name]");
    is $node && $node->text, $value, "the figure: $name";
    return;
}

sub ask ($key, $model) {
    $provider->answer(sub ($request) {
        $request->reply(200, undef, encode_json({
            id     => 'resp_1',
            object => 'response',
            status => 'completed',
            model  => $model,
            usage  => {
                input_tokens          => 1200,
                input_tokens_details  => {cached_tokens => 800},
                output_tokens         => 34,
                output_tokens_details => {reasoning_tokens => 10},
                total_tokens          => 1234,
            },
        }));
    });
    return request($nginx->port, request_of($key, $model))->status;
}

sub request_of ($key, $model) {
    return (
        method  => 'POST',
        target  => '/v1/responses',
        headers => [
            Authorization  => "Bearer $key",
            'Content-Type' => 'application/json',
        ],
        body => encode_json({model => $model, input => 'hello'}));
}

# The figures of one row, by the titles of their columns.
sub figures_of ($row) {
    return {map { $_->{'data-title'} => $_->text }
            $row->find('td[data-title]')->each};
}

is ask($ADA, 'gpt-5-mini'), 200, 'a turn of ada' for 1 .. 3;
is ask($BOB, $MARKUP), 200, 'one of bob';
is ask('sk-test-nobody-0000', 'gpt-5-mini'), 401, 'and one of nobody';
$provider->forget->hold;
my $open = Wire->connect($nginx->port);
$open->write(compose(request_of($BOB, 'gpt-5-mini')));
my $held = $provider->next_request;

subtest 'the figures' => sub {
    my $dom = dom($url);
    is_figure($dom, @$_) for [input => '4,800'], [output => '136'],
        [open => '1'], [refused => '1'], [missing => '0'];
    like $dom->at('[data-figure=median]')->text, qr/\A[\d.]+ m?s\z/,
        'a median';
    like $dom->at('#headline')->all_text, qr/3,200 cached/, 'cached tokens';
    like $dom->at('#headline')->all_text, qr/40 reasoning/,
        'reasoning tokens';
    like $dom->at('[data-figure=memory]')->text,
        qr/\A[\d.]+ KiB of [\d.]+ [KM]iB in use\z/, 'the memory of the zone';
    is $dom->at('[data-figure=processes]')->text, 1, 'the processes';
    my ($login) = grep { $_->at('dt')->text eq 'Credential a b' }
        $dom->find('#zone-facts > div')->each;
    like $login->at('[data-figure=credential]')->text, qr/\Asent \S+/,
        'how often a login was sent';
    like $login->at('.more')->text, qr/\Aexpires \w+ \d/, 'when it expires';

    my %rows = map { $_->at('button')->text => $_ }
        $dom->find('#clients tr.client')->each;
    is_deeply [sort keys %rows], ['No key', 'ada', 'bob'], 'the clients';
    is_deeply figures_of($rows{ada}), {
        Requests        => 3,
        'Input tokens'  => '3,600',
        Cached          => '2,400',
        'Output tokens' => 102,
        Cost            => '$0.00',
        Open            => 0,
        Refused         => 0,
    }, 'those of one';
    is figures_of($rows{bob})->{Open}, 1, 'another has a request open';
    is figures_of($rows{'No key'})->{Refused}, 1, 'no key, refused';
    my @bars = $rows{ada}->find('[role=meter]')->each;
    is scalar @bars, 2, 'a bar for each limit';
    is $bars[0]{'aria-valuenow'}, 3702, 'which is as long';
    is $bars[0]{'aria-valuemax'}, 10000, 'as it should be';
    like $rows{ada}->at('.limits')->all_text,
        qr/3,702 of 10,000 tokens a month, until \w/, 'and says so';
    like $dom->at('#refusals tbody')->all_text, qr/\Ainvalid key\s*1\z/,
        'refusals by reason';
    ok exists $dom->at('#note')->attr->{hidden}, 'nothing is wrong';
};

subtest 'it stays up to date' => sub {
    my $before = grep { m{ /status\?format=json 200} } $nginx->access_log;
    dom('--virtual-time-budget=5000', $url);
    my $after = grep { m{ /status\?format=json 200} } $nginx->access_log;
    cmp_ok $after, '>', $before, 'it asks again';
};

# nginx holds on to a request until the client has gone, then logs it.
$held->reply(200);
is $open->response->status, 200, 'the open request ends';
$open->close;
await 'its end to be counted', sub {
    my $status = request($nginx->port, target => '/status?format=json')->json;
    return !grep { $_->{open} } @{$status->{clients}};
};
is_figure(dom($url), open => 0);

subtest 'what a browser lets it do' => sub {
    my $reply = request($nginx->port, target => '/status');
    is $reply->status, 200, 'the page';
    like $reply->header('content-security-policy'),
        qr/\Adefault-src 'none'; /, 'has a policy';
    unlike path($errors)->slurp, qr/CONSOLE/, 'and keeps to it';
};

for my $size ([1280, 800], [400, 800]) {
    my $name = join 'x', @$size;
    chromium("--screenshot=$scratch/$name.png",
        '--window-size=' . join(',', @$size), $url);
    my $png = path("$scratch/$name.png")->slurp;
    is_deeply [unpack '@16 N2', $png], $size, "a picture of $name";
    cmp_ok length $png, '>', 10_000, 'with something on it';
}

# A window is never as narrow as a phone, but a frame can be. The page in it
# is a copy, which opens all rows, says how wide it is, and gets no answer.
subtest 'on a phone' => sub {
    my $page  = request($nginx->port, target => '/status')->body;
    my $probe = <<'HTML';
<script>
document.querySelectorAll('button[data-key]').forEach((_, i) =>
    document.querySelectorAll('button[data-key]')[i].click());
const tell = () => parent.postMessage({
    width: document.documentElement.scrollWidth + ' of ' + innerWidth,
    models: document.querySelector('#clients').textContent,
    note: document.querySelector('#note').textContent,
}, '*');
tell();
new MutationObserver(tell).observe(document.querySelector('#note'),
    {childList: true});
</script>
HTML
    $nginx->file('page.html', $page =~ s{(?=</body>)}{$probe}r);
    $nginx->file('frame.html', <<'HTML');
<!DOCTYPE html>
<p id="width"></p><p id="models"></p><p id="note"></p>
<script>
onmessage = ({data}) => Object.keys(data).forEach((name) =>
    document.getElementById(name).textContent = data[name]);
</script>
<iframe src="page.html" width="400" height="800" style="border: 0"></iframe>
HTML
    my $dom = dom('--virtual-time-budget=5000',
        'file://' . $nginx->dir . '/frame.html');
    is $dom->at('#width')->text, '400 of 400', 'nothing is too wide';
    like $dom->at('#models')->text, qr/\Q$MARKUP\E/, 'models are text';
    like $dom->at('#note')->text, qr/\ANot updating: /,
        'without an answer it says that it is not up to date';
};

$nginx->stop;

done_testing;
