# README.md says what the code does: the reference has each directive of the
# table, with its arguments, contexts and default; the variables, the errors
# and the words of ./dev are those there are; and nginx takes the examples.
#
# Each comparison is also shown a README that is wrong: a check that has never
# failed has never been seen to work.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Authority;
use CodexAuth;
use Mojo::File qw(path);
use Mojo::Util qw(trim);
use Nginx;

use constant {ANY => 'http, server, location', UNLIMITED => 99};

my $root   = path("$FindBin::Bin/..");
my $README = read_file('README.md');
my %CODE   = map { $_ => read_file("src/http/ngx_http_keystile_$_.cpp") }
    qw(module conf variables);
my $DENIALS = read_file('src/core/denial.cpp');
my $METRICS = read_file('src/core/status_prometheus.cpp');

my %ARITY = (
    NGX_CONF_NOARGS => [0, 0],
    NGX_CONF_TAKE1  => [1, 1],
    NGX_CONF_TAKE2  => [2, 2],
    NGX_CONF_TAKE12 => [1, 2],
    NGX_CONF_TAKE23 => [2, 3],
    NGX_CONF_TAKE1234 => [1, 4],
    NGX_CONF_FLAG   => [1, 1],
    NGX_CONF_1MORE  => [1, UNLIMITED],
    NGX_CONF_2MORE  => [2, UNLIMITED],
);
my %CONTEXT = (
    kAnyLevel          => ANY,
    NGX_HTTP_MAIN_CONF => 'http',
    NGX_HTTP_LOC_CONF  => 'location',
);

sub read_file ($name) {
    return $root->child($name)->slurp('UTF-8');
}

# What differs between two hashes of strings, one line each.
sub differences ($there, $here) {
    my %names = (%$there, %$here);
    return map {
        !defined $here->{$_}        ? "$_: not in README.md"
            : !defined $there->{$_} ? "$_: not in the code"
            : $there->{$_} ne $here->{$_}
            ? "$_: README.md has $here->{$_}; the code, $there->{$_}"
            : ();
    } sort keys %names;
}

# ---- directives ----

# name => { context, least, most, words, field }: the table of the module.
sub table () {
    my %words;
    while ($CODE{module} =~ /constinit \S+ (\w+)\[\] = \{(.*?)^\};/gms) {
        my ($name, $entries) = ($1, $2);
        $words{$name} = [$entries =~ /\{"(\w[\w.]*)"_ngx, /g];
    }
    my %table;
    while ($CODE{module} =~ /\{\.name = "(\w+)"_ngx,(.*?)\},\n/gs) {
        my ($name, $rest) = ($1, $2);
        my ($context, $arity)
            = $rest =~ /\.type = (\w+) \| (\w+),/ or die "$name: no type\n";
        my ($field) = $rest =~ /offsetof\((?:Main|Loc)Conf, ([\w.]+)\)/;
        my ($post)  = $rest =~ /\.post = &?(\w+)/;
        my ($least, $most) = @{$ARITY{$arity} // die "$name: $arity\n"};
        $table{$name} = {
            context => $CONTEXT{$context} // die("$name: $context\n"),
            least   => $least,
            most    => $most,
            flag    => $arity eq 'NGX_CONF_FLAG',
            words   => $words{$post} // [],
            field   => $field,
        };
    }
    return \%table;
}

# name => { syntax, default, context }: the reference of a README.
sub reference ($readme) {
    my %reference;
    while ($readme =~ /^### (keystile_\w+)\n\n(.*?)(?=^\#)/gms) {
        my ($name, $text) = ($1, $2);
        my ($syntax, $default, $context) = $text =~ /\A```text\n
            Syntax:\ +(.+?;)\n Default:\ +(.+)\n Context:\ +(.+)\n ```\n\n
            This\ directive\ appeared\ in\ version\ 0\.1\.0\.\n\n \S/xs
            or die "$name: not in nginx.org's form\n";
        $reference{$name} = {
            syntax  => $syntax =~ s/\s+/ /gr,
            default => $default,
            context => $context,
        };
    }
    return \%reference;
}

# (least, most) arguments that a Syntax line takes.
sub arity ($name, $syntax) {
    my ($arguments) = $syntax =~ /\A\Q$name\E ?(.*);\z/
        or die "$name: the syntax is of something else: $syntax\n";
    my ($least, $most) = ($arguments eq '' ? 0 : UNLIMITED, 0);
    for my $choice (split / \| /, $arguments) {
        my $endless = $choice =~ s/ ?\.\.\.//g;
        my $options = 0;
        $options++ while $choice =~ s/ ?\[[^\[\]]*\]//;
        my $words = () = $choice =~ /\S+/g;
        $least = $words if $words < $least;
        $most = $endless ? UNLIMITED
            : $words + $options > $most ? $words + $options
            :                             $most;
    }
    return ($least, $most);
}

sub directive_faults ($readme) {
    my $table     = table();
    my $reference = reference($readme);
    my @faults    = differences(
        {map { $_ => $table->{$_}{context} } keys %$table},
        {map { $_ => $reference->{$_}{context} } keys %$reference});
    for my $name (grep { $reference->{$_} } sort keys %$table) {
        my ($code, $here) = ($table->{$name}, $reference->{$name});
        my ($least, $most) = arity($name, $here->{syntax});
        my $endless = $code->{most} == UNLIMITED;
        push @faults, "$name: arguments, $here->{syntax}"
            if $least != $code->{least}
            || ($endless ? $most <= $least : $most != $code->{most});
        push @faults, "$name: takes on | off"
            if $code->{flag} != ($here->{syntax} =~ / on \| off;/);
        push @faults, map { "$name: takes $_, too" }
            grep { $here->{syntax} !~ /(?<![\w.])\Q$_\E(?![\w.])/ }
            @{$code->{words}};
    }
    return @faults;
}

# ---- defaults ----

# Times are compared in milliseconds.
sub in_milliseconds ($default) {
    my %unit = (s => 1000, m => 60_000, h => 3_600_000);
    return $default =~ s/ (\d+)([smh]);/' ' . $1 * $unit{$2} . ';'/er;
}

# What the merge functions give where nothing is set, in nginx's notation.
sub defaults_in_code () {
    my $table = table();
    my (%default, %of);
    for my $name (grep { $table->{$_}{field} } keys %$table) {
        $of{$table->{$name}{field} =~ s/\Aupstream\.//r} = $name;
    }
    my $kind = qr/(msec|size|uint|str)?_?value/;
    while ($CODE{conf} =~ /ngx_conf_(?:init|merge)_$kind\(
        conf\.(\w+),(?:\s+prev\.\w+,)?\s+("?\w*"?)\)/gx) {
        my ($type, $field, $value) = ($1 // 'flag', $2, $3);
        my $name  = $of{$field} // next;
        my @words = @{$table->{$name}{words}};
        $value =~ tr/"//d;
        next if $value eq '';
        $default{$name} = "$name " . (
              $type eq 'size' ? $value / 1024 . 'k'
            : $type eq 'flag' ? ($value ? 'on' : 'off')
            : @words          ? $words[$value]
            :                   $value) . ';';
    }
    while ($CODE{conf} =~ /ngx_conf_merge_bitmask_value\(\s*
        conf\.(\w+),.*?\((NGX_CONF_BITMASK_SET[^)]*)\)/gxs) {
        my ($field, $bits) = ($1, $2);
        my @words = map { /\ATLS/ ? tr/_/./r : lc }
            $bits =~ /(?:FT|SSL)_(\w+)/g;
        $default{$of{$field}} = join(' ', $of{$field}, @words) . ';';
    }
    my ($names) = read_file('src/http/ngx_http_keystile_conf.hpp')
        =~ /kDefaultKeyHeaderNames\{(.*?)\}/s;
    $default{keystile_key_headers}
        = join(' ', 'keystile_key_headers', $names =~ /"([\w-]+)"/g) . ';';
    $default{keystile_meter} = 'keystile_meter off;'
        if $CODE{conf} =~ /_ptr_value\(conf\.meter, prev\.meter, nullptr\)/;
    my ($conditions)
        = $CODE{conf} =~ /kDefaultNextCredential\{\s*\.conditions = (.*?),/s;
    $default{keystile_next_credential}
        = join(' ', 'keystile_next_credential',
        map { "http_$_" } $conditions =~ /on_(\d+)/g) . ';';
    $default{keystile_record} = 'keystile_record off;'
        if $CODE{conf} =~ /_ptr_value\(conf\.record, prev\.record, nullptr\)/;
    return \%default;
}

sub default_faults ($readme) {
    my $reference = reference($readme);
    my %here = map {
        my $default = $reference->{$_}{default};
        $default =~ /\Akeystile_/ ? ($_ => in_milliseconds($default)) : ();
    } keys %$reference;
    return differences(defaults_in_code(), \%here);
}

# ---- variables, metrics, errors, words ----

sub variable_faults ($readme) {
    my ($section) = $readme =~ /^## Variables\n(.*?)^## /ms;
    return differences(
        {map { $_ => '' } $CODE{variables} =~ /\{"(\w+)"_ngx, get_/g},
        {map { $_ => '' } $section =~ /^- `\$(\w+)`:/gm});
}

# name => type: what Prometheus is told.
sub metrics () {
    my %metrics;
    my ($counters) = $METRICS =~ /^\} kCounters\[\] = \{(.*?)^\};/ms;
    my ($gauges)   = $METRICS =~ / kLimitGauges\[\] = \{(.*?)^\};/ms;
    $metrics{$_} = 'counter' for $counters =~ /\{"(\w+)",/g;
    $metrics{$_} = 'gauge' for $gauges =~ /\{"(\w+)",/g;
    my $call = qr/\b(gauge|counter|histogram)\(\s*"(\w+)"/;
    $metrics{$2} = $1 while $METRICS =~ /$call/g;
    my ($word, %constant) = qr/"(\w+)"/;
    while ($METRICS =~ /(k\w+)\ =\s+$word;
        |family\((?:(k\w+)|$word),\s+$word/gx) {
        $constant{$1} = $2 if defined $1;
        $metrics{$4 // $constant{$3}} = $5 if defined $5;
    }
    return \%metrics;
}

sub metric_faults ($readme) {
    my ($section) = $readme =~ /^### keystile_status\n(.*?)^### /ms;
    return differences(metrics(),
        {$section =~ /^\| `(\w+)` \| (\w+) \|/gm});
}

# Status, type and code of each reply in denial.cpp, with whether a retry may
# help; the rows of both tables.
sub error_faults ($readme) {
    my %constants = $DENIALS =~ /string_view (k\w+) = "(\w+)"/g;
    my (%code, %here);
    my $reply = qr/\{(\d+|status), (\w+|"\w+"), "(\w+)",.*?(true|false)\}/s;
    while ($DENIALS =~ /$reply/g) {
        my ($status, $type, $code, $retry) = ($1, $2, $3, $4);
        $type = $constants{$type} // $type =~ tr/"//dr;
        next if $code eq 'subrequest_not_allowed';    # never a caller's
        $status = $code eq 'internal_error' ? 500 : 400 if $status eq 'status';
        $code{"$status $type $code"} = $retry eq 'true' ? 'yes' : 'no';
    }
    my ($section) = $readme =~ /^## Errors\n(.*?)^## /ms;
    while ($section =~ /^\| (\d+) \| (\w+) \| (\w+) \|.*\| (yes|no) \|$/gm) {
        $here{"$1 $2 $3"} = $4;
    }
    return differences(\%code, \%here);
}

sub word_faults ($readme) {
    my %words = map { $_ => 1 }
        read_file('dev') =~ /^  ([a-z-]+)(?= {2}|$)/mg;    # of its usage
    my %known = (%{table()}, %{metrics()},
        map { $_ => 1 } $CODE{variables} =~ /\{"(\w+)"_ngx, get_/g);
    my @faults = map { "./dev $_: there is no such word" }
        grep { !$words{$_} } $readme =~ m{\./dev ([a-z-]+)}g;
    push @faults, map { "./dev $_: not in README.md" }
        grep { $readme !~ m{\./dev $_\b} } qw(run test build deb docker);
    push @faults, map { "$_: neither a directive nor a variable" }
        grep { !$known{$_} } $readme =~ /\b(keystile_\w+)/g;
    my %anchors = map { lc(s/ /-/gr) => 1 } $readme =~ /^#+ (.*)/gm;
    push @faults, map { "#$_: leads nowhere" }
        grep { !$anchors{$_} } $readme =~ /\]\(#([\w-]+)\)/g;
    push @faults, map { "$_: no such file" }
        grep { !-e $root->child($_) } $readme =~ /\]\((?!#|https:)([^)]+)\)/g;
    return @faults;
}

# ---- what is compared ----

my @CHECKS = (
    ['directives', \&directive_faults,
        ['one is missing' => qr/^### keystile_inject\n.*?(?=^#)/ms, '',
            qr/keystile_inject: not in README/],
        ['one too many' => qr/^### keystile_inject\n(.*?)(?=^#)/ms,
            sub ($m) { $m . $m =~ s/inject/eject/gr },
            qr/keystile_eject: not in the code/],
        ['a context' => qr/Context: \K http(?=\n)/, ' http, server',
            qr/README.md has http, server; the code, http$/m],
        ['too few arguments' => qr/keystile_set_header name \Kvalue(?=;)/, '',
            qr/keystile_set_header: arguments/],
        ['an argument too many' => qr/keystile_ssl_crl file\K(?=;)/, ' [x]',
            qr/keystile_ssl_crl: arguments/],
        ['a condition' => qr/http_504 \| /, '', qr/takes http_504, too/],
        ['a flag' => qr/request_buffering on \| off;/,
            'request_buffering yes;', qr/takes on \| off/]],
    ['defaults', \&default_faults,
        ['a time' => qr/read_timeout 10m;/, 'read_timeout 60s;',
            qr/read_timeout 60000;; the code, keystile_read_timeout 600000;/],
        ['a list' => qr/^Default: +keystile_next_upstream \Kerror /m, '',
            qr/keystile_next_upstream: README/],
        ['none' => qr/^Default: +\Kkeystile_error_format auto;/m, '—',
            qr/keystile_error_format: not in README/]],
    ['variables', \&variable_faults,
        ['one is missing' => qr/^- `\$keystile_client`.*\n/m, '',
            qr/keystile_client: not in README/]],
    ['metrics', \&metric_faults,
        ['one is missing' => qr/^\| `keystile_open`.*\n/m, '',
            qr/keystile_open: not in README/],
        ['one too many' => qr/^\| `keystile_\Kopen(?=`)/m, 'opened',
            qr/keystile_opened: not in the code/],
        ['another type' => qr/^\| `keystile_limit` \| \Kgauge/m, 'counter',
            qr/keystile_limit: README.md has counter; the code, gauge/]],
    ['errors', \&error_faults,
        ['another status' => qr/^\| 426/m, '| 400',
            qr/400 \w+ websocket_not_allowed: not in the code/],
        ['another answer to a retry' => qr/upstream_timeout .*\| \Kyes/, 'no',
            qr/upstream_timeout: README.md has no; the code, yes/]],
    ['words', \&word_faults,
        ['of ./dev' => qr{\./dev run}, './dev walk', qr/dev walk: there is no/],
        ['of keystile' => qr/keystile_admit any/, 'keystile_admits any',
            qr/keystile_admits: neither/],
        ['a link' => qr/\]\(#limitations\)/, '](#limits)', qr/#limits: leads/]],
);

for my $check (@CHECKS) {
    my ($what, $faults, @wrong) = @$check;
    is join("\n", $faults->($README)), '', "$what are those of the code";
    for my $case (@wrong) {
        my ($name, $pattern, $replacement, $fault) = @$case;
        my $readme = $README;
        my $found  = $readme =~ s{($pattern)}
            {ref $replacement ? $replacement->($1) : $replacement}e;
        ok $found, "there is something to spoil: $name";
        like join("\n", $faults->($readme)), $fault, "would be seen: $name";
    }
}

# ---- examples ----

my $authority = Authority->new;
my $nginx     = Nginx->new;
$nginx->key_file('openai.key', "sk-test-provider-51a3d0\n");
$nginx->auth_file('codex/auth.json', auth());
$nginx->client_file({clients => [{id => 'ada', keys => ['sk-test-caller']}]});

# What an example leaves out, from the outermost level to the innermost.
my %FRAME = (
    credential => 'keystile_credential openai %%DIR%%/openai.key;',
    clients    => 'keystile_client_keys team %%DIR%%/clients.json;',
    zone       => 'keystile_zone main 1m;',
    prices     => 'keystile_prices %%DIR%%/prices.json;',
    upstream   => 'upstream openai { server 127.0.0.1:9; }',
    admit      => 'keystile_admit team;',
    allow      => 'keystile_allow GET /a;',
    meter      => 'keystile_meter main;',
    inject     => 'keystile_inject openai;',
    ssl_name   => 'keystile_ssl_name api.openai.com;',
);

# An example as an http block, with what it leaves out.
sub complete ($example) {
    my $missing = sub (@names) {
        return join "\n", map { $FRAME{$_} } grep {
            $_ eq 'upstream' ? $example !~ /upstream openai/
                : $_ eq 'clients' ? $example !~ /keystile_client_keys/
                : $example !~ /^\s*keystile_$_\b/m
        } @names;
    };
    my $body = $example;
    if ($example =~ /^http \{\n(.*)^\}/ms) {
        $body = $1 =~ s/^ +underscores_in_headers .*\n//mr;
    }
    elsif ($example =~ /^load_module/m) {
        $body = '';
    }
    elsif ($example !~ /^server \{/m) {
        my $pass = 'keystile_pass https://openai;';
        $body = "server { listen 127.0.0.1:%%PORT%%;\n"
            . $missing->(qw(admit allow meter inject ssl_name));
        # Each of several alternatives gets a location of its own.
        my @alternatives = grep { /keystile_pass/ } split /\n/, $example;
        my @locations = @alternatives ? @alternatives : "$example\n$pass";
        my $number    = 0;
        $body .= sprintf "location /%d/ {\n%s\n}\n", $number++, $_
            for @locations;
        $body .= '}';
    }
    $body =~ s{/etc/keystile/}{%%DIR%%/}g;
    $body =~ s{/var/(?:log/nginx|lib/keystile)/}{%%DIR%%/}g;
    $body =~ s{server +[\w.]+:443}{server 127.0.0.1:9};
    $body =~ s{listen 127\.0\.0\.1:8080}{listen 127.0.0.1:%%PORT%%};
    return $missing->(qw(credential clients zone prices upstream))
        . "\n$body";
}

my @prices = grep { /"models": \[$/m && !/"clients"/ }
    $README =~ /^```json\n(.*?)^```$/gms;
is scalar @prices, 1, 'a price file';
$nginx->file('prices.json', $prices[0]);

my @examples = $README =~ /^```nginx\n(.*?)^```$/gms;
cmp_ok scalar @examples, '>', 6, 'examples';
for my $example (@examples) {
    my ($name) = grep { /\S/ } split /\n/, $example;
    my ($exit, $said) = $nginx->test_config(complete($example));
    is $exit, 0, "nginx takes: $name" or diag $said;
    unlike $said, qr/\[(?:warn|error|crit|alert|emerg)\]/, 'without a word';
}
isnt(($nginx->test_config(complete('keystile_allow GET a;')))[0], 0,
    'would be seen: a rule that is wrong');

my @files = grep { /"clients": \[$/m } $README =~ /^```json\n(.*?)^```$/gms;
is scalar @files, 1, 'a client-key file';
$nginx->file('clients.json', $files[0]);
my ($exit, $said) = $nginx->test_config(complete($examples[0]));
is $exit, 0, 'nginx takes it' or diag $said;

done_testing;
