# conf-examples/observability/: the dashboard and the alerts ask for metrics and
# labels that there are.

use Mojo::Base -strict, -signatures;
use FindBin;
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
        $expression =~ /\b((?:keystile|gen_ai)_\w+)/g;
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

# The values of "reason" and "dropped" that there are, and what Prometheus adds.
my %value_of = (
    reason  => 'credential_state.cpp',
    dropped => 'record_loss.cpp',
);
my %is_target = map { $_ => 1 } qw(job instance);
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
    while ($expression =~ /(\w+)=~?"([^"]*)"/g) {
        my ($label, $values) = ($1, $2);
        my $names = $root->child('src/core', $value_of{$label})->slurp;
        like $names, qr/"$_"/, "$name: the $label $_" for split /[|]/, $values;
    }
    like $readme, qr/`\Q$metrics[0]\E\b[^`]*`/, "$name: README names it";
}
SKIP: {
    skip 'no promtool', 1 if system('command -v promtool >/dev/null') != 0;
    is system("promtool check rules $directory/rules.yml >/dev/null"), 0,
        'Prometheus can read them';
}

like $directory->child('prometheus.yml')->slurp,
    qr{metrics_path: /metrics\b.*targets: \["127\.0\.0\.1:8080"\]}s,
    'Prometheus asks where the README has it';

done_testing;
