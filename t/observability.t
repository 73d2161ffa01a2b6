# conf-examples/observability/: the dashboard and the alerts ask for metrics and
# labels that there are.

use Mojo::Base -strict, -signatures;
use FindBin;
use File::Temp ();
use Test::More;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use YAML::XS ();

my $root      = path("$FindBin::Bin/..");
my $source    = $root->child('src/core/status_prometheus.cpp')->slurp;
my $directory = $root->child('conf-examples/observability');
my $dashboard
    = decode_json $directory->child('grafana-dashboard.json')->slurp;

# A string of the source is a metric, or a label where label() is called.
my %is_label  = map { $_ => 1 } 'le', $source =~ /label\("(\w+)"/g;
my %is_metric = map { $_ => 1 } grep { !$is_label{$_} }
    $source =~ /"((?:keystile|gen_ai)_\w+)"/g;
for my $histogram ($source =~ /histogram\("(\w+)"/g) {
    $is_metric{"${histogram}_$_"} = 1 for qw(bucket sum count);
}
cmp_ok keys %is_metric, '>', 20, 'the metrics are found';

# What an expression asks for.
sub metrics_of ($expression) {
    return grep { !$is_label{$_} }
        $expression =~ /\b((?:keystile|gen_ai)_\w+|up(?=\{))/g;
}

sub labels_of ($expression) {
    return ($expression =~ /(?:[{,]\s*)(\w+)\s*=/g,
        map { split /\s*,\s*/ } $expression =~ /\bby\s*\(([^)]*)\)/g);
}

for my $panel (@{$dashboard->{panels}}) {
    for my $target (@{$panel->{targets}}) {
        my ($expression, $legend) = @$target{qw(expr legendFormat)};
        my @metrics = metrics_of($expression);
        ok @metrics, "$panel->{title}: a metric";
        ok $is_metric{$_}, "$panel->{title}: the metric $_" for @metrics;
        ok $is_label{$_}, "$panel->{title}: the label $_"
            for labels_of($expression), $legend =~ /\{\{(\w+)\}\}/g;
    }
}
for my $variable (@{$dashboard->{templating}{list}}) {
    my ($metric, $label)
        = ($variable->{definition} // next)
        =~ /\Alabel_values\((\w+).*, (\w+)\)\z/ or die $variable->{name};
    ok $is_metric{$metric}, "variable $variable->{name}: the metric $metric";
    ok $is_label{$label}, "variable $variable->{name}: the label $label";
}

# Where the values of "reason" and "dropped" are, and what Prometheus adds.
my %value_of = (
    keystile_refusals_total            => 'denial_name.cpp',
    keystile_credential_refusals_total => 'credential_state.cpp',
    keystile_records_total             => 'record_loss.cpp',
);
my %is_target = map { $_ => 1 } qw(job instance);
$is_metric{up} = 1;
my ($scrape) = @{YAML::XS::LoadFile($directory->child('prometheus.yml'))
    ->{scrape_configs}};
my $rules = YAML::XS::LoadFile($directory->child('rules.yml'));
my @rules = map { @{$_->{rules}} } @{$rules->{groups}};
cmp_ok scalar @rules, '>', 5, 'alerts';
my $readme = $root->child('README.md')->slurp;
for my $rule (@rules) {
    my ($name, $expression) = @$rule{qw(alert expr)};
    my @metrics = metrics_of($expression);
    ok @metrics, "$name: a metric";
    ok $is_metric{$_}, "$name: the metric $_" for @metrics;
    ok $is_label{$_} || $is_target{$_}, "$name: the label $_"
        for labels_of($expression),
        join(' ', values %{$rule->{annotations}}) =~ /\$labels[.](\w+)/g;
    while ($expression =~ /(\w+)\{(\w+)=~?"([^"]*)"\}/g) {
        my ($metric, $label, $values) = ($1, $2, $3);
        my $names = $label eq 'job' ? qq("$scrape->{job_name}")
            : $root->child('src/core', $value_of{$metric})->slurp;
        like $names, qr/"$_"/, "$name: the $label $_" for split /[|]/, $values;
    }
    like $readme, qr/`\Q$metrics[0]\E\b[^`]*`/, "$name: README names it";
}

# Figures, a minute apart, and which of these alerts they set off at which
# minute. There is always a credential that is in no pool.
my @OUTAGE = qw(KeystileCredentialsCoolDown KeystileDown KeystileNotWatched);
my $HERE   = 'job="keystile",instance="a"';
my @WATCHED = ("up{$HERE}" => '1x30',
    "keystile_build_info{$HERE}" => '1x30',
    qq(keystile_credential_cooldown_seconds{$HERE,credential="lone"})
        => '0x30');
my $REFUSED = "keystile_refusals_total{$HERE,client=";
my @SCENES  = (
    ['all is well', [@WATCHED, qq($REFUSED"x",reason="missing_key"}) =>
            '_x9 1+1x20'], 12, []],
    ['a pool has no credential left: the first request', [@WATCHED,
            qq($REFUSED"x",reason="credentials_rejected"}) => '_x9 1x20'],
        12, ['KeystileCredentialsCoolDown']],
    ['and more later', [@WATCHED,
            qq($REFUSED"x",reason="credentials_limited"}) => '7x9 8x20'],
        12, ['KeystileCredentialsCoolDown']],
    ['it has one again', [@WATCHED,
            qq($REFUSED"x",reason="credentials_rejected"}) => '_x9 1x20'],
        20, []],
    ['refusals of before Prometheus looked', ["up{$HERE}" => '_x9 1x20',
            "keystile_build_info{$HERE}" => '_x9 1x20',
            qq($REFUSED"x",reason="credentials_rejected"}) => '_x9 7x20'],
        12, []],
    ['nginx is down', ["up{$HERE}" => '1x9 0x20',
            "keystile_build_info{$HERE}" => '1x9 _x20'],
        20, ['KeystileDown']],
    ['Prometheus has no target', ['up{job="node"}' => '1x30'],
        10, ['KeystileNotWatched']],
);

# What promtool says of one, against the alerts that are due.
sub played ($series, $minute, $due, $rules = "$directory/rules.yml") {
    my @series = @$series;
    my @input;
    while (my ($name, $values) = splice @series, 0, 2) {
        push @input, {series => $name, values => $values};
    }
    my %is_due = map { $_ => 1 } @$due;
    my $file   = File::Temp->new(SUFFIX => '.yml');
    YAML::XS::DumpFile("$file", {
        rule_files => ["$rules"],
        tests      => [{
            interval          => '1m',
            input_series      => \@input,
            promql_expr_test  => [map { {
                expr => qq(count(ALERTS{alertname="$_",alertstate="firing"})),
                eval_time   => "${minute}m",
                exp_samples => $is_due{$_} ? [{value => 1}] : [],
            } } @OUTAGE],
        }],
    });
    return `promtool test rules $file 2>&1`;
}

SKIP: {
    skip 'no promtool', 1 if system('command -v promtool >/dev/null') != 0;
    is system("promtool check rules $directory/rules.yml >/dev/null"), 0,
        'Prometheus can read them';
    for my $scene (@SCENES) {
        my ($what, $series, $minute, $due) = @$scene;
        like played($series, $minute, $due), qr/^\s*SUCCESS/m, $what;
    }
    unlike played($SCENES[1][1], 12, []), qr/^\s*SUCCESS/m,
        'would be seen: an alert that is not due';
}

like $directory->child('prometheus.yml')->slurp,
    qr{metrics_path: /metrics\b.*targets: \["127\.0\.0\.1:8080"\]}s,
    'Prometheus asks where the README has it';

done_testing;
