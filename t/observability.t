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

# Figures, a minute apart, and which alerts they set off at which minute; all
# others are silent. There is always a credential that is in no pool.
my $HERE    = 'job="keystile",instance="a"';
my @WATCHED = ("up{$HERE}" => '1x30',
    "keystile_build_info{$HERE}" => '1x30',
    qq(keystile_credential_cooldown_seconds{$HERE,credential="lone"})
        => '0x30');
my $REFUSED  = "keystile_refusals_total{$HERE,client=";
my $REJECTED = qq(keystile_credential_refusals_total{$HERE,credential="lone",)
    . 'reason=';
my $EXPIRY
    = qq(keystile_credential_expiry_timestamp_seconds{$HERE,credential="lone"});
my $RECORDS  = "keystile_records_total{$HERE,dropped=";
my $REQUESTS = "keystile_requests_total{$HERE,client=";
my $UNSEEN   = "keystile_usage_missing_total{$HERE,client=";
my $FULL     = qq(keystile_zone_full_total{$HERE,zone="main"});
my $UNSAVED  = qq(keystile_state_save_failures_total{$HERE,zone="main"});
my @SCENES   = (
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
    ['nginx was away for a minute', ["up{$HERE}" => '1x9 0 1x20',
            "keystile_build_info{$HERE}" => '1x9 _ 1x20'],
        11, []],
    ['Prometheus has no target', ['up{job="node"}' => '1x30'],
        10, ['KeystileNotWatched']],
    (map { ["the provider has said: $_", [@WATCHED,
            qq($REJECTED"$_"}) => '0x9 1x20'],
        12, ['KeystileCredentialRejected']] } qw(rejected forbidden)),
    ['and not again', [@WATCHED, qq($REJECTED"rejected"}) => '0x9 1x20'],
        20, []],
    ['it has enough of a credential for now', [@WATCHED,
            qq($REJECTED"rate_limited"}) => '0x9 1x20'], 12, []],
    ['a token expires in 53 minutes', [@WATCHED, $EXPIRY => '5000x30'],
        30, ['KeystileCredentialExpires']],
    ['in 61', [@WATCHED, $EXPIRY => '5000x30'], 22, []],
    ['in 58, for three minutes', [@WATCHED, $EXPIRY => '5000x30'], 26, []],
    ['it was renewed', [@WATCHED, $EXPIRY => '5000x25 90000x5'], 30, []],
    ['it has expired', [@WATCHED, $EXPIRY => '60x30'],
        30, ['KeystileCredentialExpires']],
    (map { ["records are lost: $_", [@WATCHED,
            qq($RECORDS""}) => '9+1x30', qq($RECORDS"$_"}) => '0x9 3x20'],
        12, ['KeystileRecordsLost']] } qw(disk_full file_full write_error)),
    ['a client has gone amid a turn', [@WATCHED,
            qq($RECORDS""}) => '9+1x30',
            qq($RECORDS"client_disconnect"}) => '0x9 3x20'], 12, []],
    ['one turn in sixteen has no usage', [@WATCHED,
            qq($REQUESTS"x"}) => '0+16x30', qq($UNSEEN"x"}) => '0+1x30'],
        20, ['KeystileUsageNotSeen']],
    ['for nine minutes', [@WATCHED,
            qq($REQUESTS"x"}) => '0+16x30', qq($UNSEEN"x"}) => '0+1x30'],
        10, []],
    ['one in sixteen of a client, who has half of the turns', [@WATCHED,
            (map { (qq($REQUESTS"$_"}) => '0+16x30') } qw(x y)),
            qq($UNSEEN"x"}) => '0+1x30', qq($UNSEEN"y"}) => '0x30'],
        20, []],
    ['the zone is full', [@WATCHED, $FULL => '0x9 1x20'],
        12, ['KeystileZoneFull']],
    ['it was full', [@WATCHED, $FULL => '0x9 1x20'], 20, []],
    ['the state is not saved', [@WATCHED, $UNSAVED => '0x9 1+1x20'],
        12, ['KeystileStateNotSaved']],
    ['it is again', [@WATCHED, $UNSAVED => '0x9 1x20'], 20, []],
);

# Whether promtool has it so, with these rules; what it says goes to $said.
my $said;
sub plays ($scene, @rules) {
    my (undef, $series, $minute, $due) = @$scene;
    my @series = @$series;
    my @input;
    while (my ($name, $values) = splice @series, 0, 2) {
        push @input, {series => $name, values => $values};
    }
    my %is_due = map { $_ => 1 } @$due;
    my $place  = File::Temp->newdir(TMPDIR => 1);
    YAML::XS::DumpFile("$place/rules.yml",
        {groups => [{name => 'keystile', rules => \@rules}]});
    YAML::XS::DumpFile("$place/test.yml", {
        rule_files => ['rules.yml'],
        tests      => [{
            interval          => '1m',
            input_series      => \@input,
            promql_expr_test  => [map { {
                expr => qq(count(ALERTS{alertname="$_",alertstate="firing"})),
                eval_time   => "${minute}m",
                exp_samples => $is_due{$_} ? [{value => 1}] : [],
            } } map { $_->{alert} } @rules],
        }],
    });
    $said = `promtool test rules $place/test.yml 2>&1`;
    return $said =~ /^\s*SUCCESS/m;
}

# The scenes in which an alert is due, and those in which it is not though
# there are figures that it is about.
sub scenes_of ($rule) {
    my @about = grep {
        my %given = @{$_->[1]};
        my $names = join ' ', keys %given;
        grep { $names =~ /(?:\A| )\Q$_\E\{/ } metrics_of($rule->{expr});
    } @SCENES;
    my $is_due = sub ($scene) { grep { $_ eq $rule->{alert} } @{$scene->[3]} };
    return ([grep { $is_due->($_) } @SCENES], [grep { !$is_due->($_) } @about]);
}

SKIP: {
    skip 'no promtool', 1 if system('command -v promtool >/dev/null') != 0;
    is system("promtool check rules $directory/rules.yml >/dev/null"), 0,
        'Prometheus can read them';
    for my $scene (@SCENES) {
        ok plays($scene, @rules), "$scene->[0], minute $scene->[2]"
            or diag $said;
    }
    # One that is never due, or always, does not pass.
    for my $rule (@rules) {
        my ($due, $silent) = scenes_of($rule);
        my $with = sub ($expression) {
            my %changed = (%$rule, expr => $expression);
            delete $changed{for};
            return map { $_ == $rule ? \%changed : $_ } @rules;
        };
        my @never  = $with->('vector(1) > 1');
        my @always = $with->('vector(1)');
        ok @$due && !plays($due->[0], @never),
            "$rule->{alert}: a scene in which it is due";
        ok @$silent && !plays($silent->[0], @always),
            "$rule->{alert}: and one in which it is not";
    }
}

like $directory->child('prometheus.yml')->slurp,
    qr{metrics_path: /metrics\b.*targets: \["127\.0\.0\.1:8080"\]}s,
    'Prometheus asks where the README has it';

done_testing;
