# Containers: what conf-examples/compose.yaml and kubernetes.yaml say of the image
# and of nginx in it.
#
#     my $example = container_example('compose.yaml');
#
# It checks what a container must have, and returns a hash: the image, the
# capabilities, the tmpfs and their mode, the secrets by name with their paths
# (linked: as links, as Kubernetes has them), the port, the site and the target
# where it goes, and the probes.

package Containers;

use Mojo::Base -strict, -signatures;
use Exporter   qw(import);
use Mojo::File qw(path);
use Test::More;
use YAML::XS ();

our @EXPORT = qw(container_example);

my $EXAMPLES = path(__FILE__)->dirname->child('../../conf-examples');

sub container_example ($name) {
    return $name eq 'compose.yaml' ? _compose() : _kubernetes();
}

sub _compose () {
    my $yaml    = YAML::XS::Load($EXAMPLES->child('compose.yaml')->slurp);
    my $service = $yaml->{services}{keystile};
    my ($site)  = @{$service->{configs}};
    ok $service->{read_only}, 'read-only';
    is_deeply [grep {/\Aenv/} keys %$service], [], 'no environment';
    is_deeply $service->{cap_drop}, ['ALL'], 'without capabilities';
    is_deeply $service->{security_opt}, ['no-new-privileges:true'],
        'nor new ones';
    # Compose can only mount a file into what is read-only.
    is_deeply [map { keys %$_ } values %{$yaml->{configs}},
        values %{$yaml->{secrets}}], [('file') x 3], 'from files';
    is_deeply [sort @{$service->{secrets}}], [sort keys %{$yaml->{secrets}}],
        'the secrets are there';
    return {
        image        => $service->{image},
        capabilities => $service->{cap_add},
        tmpfs        => $service->{tmpfs},
        mode         => '1777',
        secrets => {map { $_ => "/run/secrets/$_" } @{$service->{secrets}}},
        port    => $service->{ports}[0] =~ s/.*://r,
        site    =>
            $EXAMPLES->child($yaml->{configs}{$site->{source}}{file})->slurp,
        target  => $site->{target},
    };
}

sub _kubernetes () {
    my %yaml = map { $_->{kind} => $_ }
        YAML::XS::Load($EXAMPLES->child('kubernetes.yaml')->slurp);
    my $pod         = $yaml{Deployment}{spec}{template};
    my ($container) = @{$pod->{spec}{containers}};
    my $security    = $container->{securityContext};
    my %volumes     = map { $_->{name} => $_ } @{$pod->{spec}{volumes}};
    my %path = map { $_->{name} => $_->{mountPath} }
        @{$container->{volumeMounts}};
    my ($port) = @{$container->{ports}};
    is_deeply [sort keys %path], [sort keys %volumes], 'each volume is used';
    is_deeply $yaml{Service}{spec}{selector}, $pod->{metadata}{labels},
        'the service has its pods';
    is $yaml{Service}{spec}{ports}[0]{targetPort}, $port->{name}, 'their port';
    is_deeply $yaml{Deployment}{spec}{selector}{matchLabels},
        $pod->{metadata}{labels}, 'so has the deployment';
    is $volumes{site}{configMap}{name}, $yaml{ConfigMap}{metadata}{name},
        'the configuration is there';
    is oct $volumes{secret}{secret}{defaultMode}, 0400, 'the key is root\'s';
    ok $security->{readOnlyRootFilesystem}, 'read-only';
    is_deeply [grep {/\Aenv/} keys %$container], [], 'no environment';
    is_deeply $security->{capabilities}{drop}, ['ALL'], 'without capabilities';
    my ($file) = keys %{$yaml{ConfigMap}{data}};
    return {
        image        => $container->{image},
        capabilities => $security->{capabilities}{add},
        tmpfs        => [map { $path{$_} }
            grep { $volumes{$_}{emptyDir} } sort keys %volumes],
        mode    => '0777',
        secrets => {map { $_ => "$path{secret}/$_" }
            qw(openai.key clients.json)},
        linked => 1,
        port   => $port->{containerPort},
        site   => $yaml{ConfigMap}{data}{$file},
        target => "$path{site}/$file",
        probes => [map { $container->{$_}{httpGet}{path} }
            qw(livenessProbe readinessProbe)],
    };
}

1;
