# Other models that a request may ask, beside the one that it names: in the
# members that providers have for that, wherever these come. What only speaks
# of models, as the schema of a function does, is content.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Metered;
use Mojo::JSON qw(encode_json);
use Verdict;

my $nginx = Metered->new(
    clients => {
        ci  => {models => ['gpt-5*']},
        all => {models => ['*']},
        one => {limits => [{requests => 99, per => 'month', model => 'x'}]},
        any => {},
    })->serve;
my $verdict = Verdict->new(provider => $nginx->provider, key => Metered::KEY,
    secrets => [map { key_of($_) } qw(ci all one)]);

sub ask ($id, $body) {
    return $nginx->turn($id, body => $body);
}

# Where models are checked, and a body names one.
sub refused ($name, $body) {
    for my $id (qw(ci all one)) {
        $verdict->refused("$name ($id)", ask($id, $body), 400,
            'bad_request_body');
    }
    $verdict->admitted("$name, where no model is looked for",
        ask('any', $body));
    return;
}

sub passes ($name, $body) {
    $verdict->admitted("$name ($_)", ask($_, $body)) for qw(ci all one);
    return;
}

# Deeper than can be looked into.
sub nested ($depth) {
    return $depth == 0 ? {type => 'x'}
        : {type => 'namespace', tools => [nested($depth - 1)]};
}

my %TOOLS = (
    'a tool with a model' => {type => 'image_generation', model => 'x'},
    'parameters with one' => {type => 'y:advisor', parameters => {model => 'x'}},
    'parameters with some' =>
        {type => 'y:fusion', parameters => {analysis_models => ['x']}},
    'one whose provider chooses' => {type => 'openrouter:fusion'},
    'parameters with tools' => {type => 'x', parameters => {tools =>
        [{type => 'y', parameters => {analysis_models => ['x']}}]}},
    'tools in tools' => nested(6),
    'one in a namespace' =>
        {type => 'namespace', tools => [{type => 'x', model => 'x'}]},
);
subtest 'tools' => sub {
    for my $name (sort keys %TOOLS) {
        my $tools = [{type => 'web_search'}, $TOOLS{$name}];
        refused($name, encode_json({model => 'gpt-5', tools => $tools}));
        refused("$name, in an item of the input ($_)", encode_json({
            model => 'gpt-5', input => [{role => 'user', content => 'Hi'},
                {type => $_, tools => $tools}]}))
            for qw(additional_tools tool_search_output);
    }
};

subtest 'members' => sub {
    my %more = (
        fallbacks => ['x'],
        models    => ['x'],
        plugins   => [{id => 'web'}, {id => 'auto', allowed_models => ['x']}],
        providerOptions => {gateway => {models => ['x']}},
        preset          => 'x',
        compound_custom => {models => {answering_model => 'x'}},
        "model\xC5\xBF" => ['x'],    # an "s" where Go folds it
    );
    for my $name (sort keys %more) {
        my $value = encode_json($more{$name});
        refused($name, qq({"model":"gpt-5","$name":$value}));
        refused("$name before it", qq({"$name":$value,"model":"gpt-5"}));
    }
    refused('a plugin that chooses',
        '{"model":"gpt-5","plugins":[{"id":"web"},{"id":"fusion"}]}');
    refused('a preset behind a name', '{"model":"gpt-5@preset/x"}');
    refused('a name that is escaped',
        '{"model":"gpt-5","fallbac\u212as":["x"]}');
};

subtest 'what only speaks of models' => sub {
    my $schema = {type => 'object', required => ['model'], properties => {
        model => {type => 'string'}, models => {type => 'array'}}};
    my @tools = ({type => 'function', name => 't', parameters => $schema},
        {type => 'function', function => {name => 't', parameters => $schema}},
        {name => 't', input_schema => $schema});
    push @tools, {type => 'namespace', name => 'n', tools => [@tools]};
    passes('functions', encode_json({model => 'gpt-5', tools => [@tools]}));
    passes('in the input', encode_json({model => 'gpt-5', input => [
        {type => 'tool_search_output', tools => [@tools]}]}));
    passes('content', encode_json({model => 'gpt-5',
        input => [{model => 'x', models => ['x']}],
        messages => [{model => 'x'}], metadata => {models => 'x'}}));
    passes('what is null', '{"model":"gpt-5","fallbacks":null,"tools":[]}');
};

$nginx->stop;
done_testing;
