# conf-examples/agent-check: which variables it accepts and refuses, with
# each shell that is here, and that it never prints a value.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/clients/lib";
use Test::More;
use AgentCheck;

# Which placeholders a variable may hold, and what sends its agent to a gateway.
my %OPENAI    = (url => 'OPENAI_BASE_URL',    good => ['openai']);
my %ANTHROPIC = (url => 'ANTHROPIC_BASE_URL', good => []);
my %COPILOT   = (url => 'COPILOT_API_URL',    good => ['copilot']);
my %GOOGLE    = (url => 'GOOGLE_GEMINI_BASE_URL', good => ['google']);
my %VARIABLES = (
    (map { $_ => \%OPENAI } qw(OPENAI_API_KEY CODEX_API_KEY OPENAI_KEY)),
    (map { $_ => \%ANTHROPIC }
        qw(ANTHROPIC_API_KEY CLAUDE_API_KEY CLAUDE_CODE_OAUTH_TOKEN)),
    ANTHROPIC_AUTH_TOKEN => {%ANTHROPIC, good => ['anthropic']},
    (map { $_ => \%COPILOT }
        qw(COPILOT_GITHUB_TOKEN COPILOT_TOKEN COPILOT_API_KEY)),
    COPILOT_PROVIDER_API_KEY => {%COPILOT, good => [qw(copilot offline)]},
    COPILOT_PROVIDER_BEARER_TOKEN => {%COPILOT, good => []},
    GEMINI_API_KEY => {%GOOGLE, good => ['gemini']},
    GOOGLE_API_KEY => \%GOOGLE,
    GOOGLE_GENERATIVE_AI_API_KEY => {%GOOGLE, good => []},
    AZURE_OPENAI_API_KEY         => {%OPENAI, good => []},
);

my @SHELLS = grep { system("command -v $_->[0] >/dev/null") == 0 }
    ['sh'], ['bash', '--posix'], ['busybox', 'sh'];

for my $shell (@SHELLS) {
    subtest "every variable, with $shell->[0]" => sub {
        for my $name (sort keys %VARIABLES) {
            my ($url, $good) = @{$VARIABLES{$name}}{qw(url good)};
            my %good = map { $_ => 1 } @$good;
            my @args = ($shell, '--no-connect');
            for my $with ({}, {$url => 'http://gateway.example:8080/v1'}) {
                passes "$name, empty", {%$with, $name => ''}, @args;
                for my $kind (sort keys %PLACEHOLDER) {
                    my %env = (%$with, $name => $PLACEHOLDER{$kind});
                    $good{$kind}
                        ? passes "$name, $kind", \%env, @args
                        : fails "$name, $kind", \%env, "$name ", @args;
                }
            }
            my ($near) = $good->[0] // 'openai';
            my $own    = $PLACEHOLDER{$near};
            for my $value ('sk-test-b2kX0aVq81', 'anything', ' ', '|', "\n",
                "$own ", " $own", "$own\n", "\n$own", uc $own, $own x 2,
                "*$own",
                "$PLACEHOLDER{openai}|$PLACEHOLDER{copilot}", '*', '?')
            {
                fails $name, {$name => $value}, "$name ", @args;
            }
        }
    };
}

subtest 'nothing is set' => sub {
    passes 'an empty environment', {};
    passes 'what is no key', {PATH2 => '/usr/bin:/opt/task-4711-longer-name-x',
        TEXT => 'risk-4711-0123456789abcdef and desk-0123456789-abcdefgh',
        SHORT => 'sk-short-1', LETTERS => 'sk-words-without-any-digit-in-it',
        HASH => '0123456789abcdef' x 4, JWT => 'eyJhbGciOiJIUzI1NiJ9.e30.x9',
        LINES => "a\nOPENAI_KEY\nb=c"};
};

subtest 'keys in other variables' => sub {
    my %keys = (
        openai    => 'sk-proj-Zk83hdn2LLq0aPxw',
        anthropic => 'sk-ant-api03-Qm2v8dj3KKz1',
        gemini    => 'AIzaSyD3k29fjQ0aLmX81zPqT',
        (map { $_ => "gh${_}_Qm2v8dj3KKz1aPxw0L" } qw(p o u)),
        github => 'github_pat_11ABCDEFG0Qm2v8dj3KK',
    );
    my %around = (
        alone => ['', ''], quoted => ['{"key":"', '"}'],
        'after a word' => ['Bearer ', ''], 'in a URL' => ['https://a:', '@b/'],
        'in a line' => ["a\nb=", "\nc"], 'after others' => ['sk-a sk-b;', ''],
        'after what is none' => ['sk-placeholder-for-api-proxy,', ''],
    );
    for my $key (sort keys %keys) {
        for my $how (sort keys %around) {
            my ($before, $after) = @{$around{$how}};
            fails "$key, $how", {OTHER => $before . $keys{$key} . $after},
                'OTHER ';
        }
    }
    for my $name ('with-dash', 'with space', 'ghp_Qm2v8dj3KKz1aPxw0L',
        'sk-proj-Zk83hdn2LLq0aPxw', '1st', "a\e[31m")
    {
        my ($exit, $said) = check({$name => $keys{openai}});
        is $exit, 1, 'in one of an unusual name';
        like $said, qr/FAIL: a variable with an unusual name /, 'not printed';
        is_free_of $said, 'such a name', $name, $keys{openai};
    }
};

subtest 'options' => sub {
    my $own = 'sk-team-0123456789abcdef-00';
    fails 'the key of a caller', {OPENAI_API_KEY => $own}, 'OPENAI_API_KEY ';
    passes 'is allowed by its variable', {OPENAI_API_KEY => $own},
        '--allow-variable', 'OPENAI_API_KEY';
    fails 'which is no other', {OPENAI_KEY => $own}, 'OPENAI_KEY ',
        '--allow-variable', 'OPENAI_API_KEY';
    passes 'a placeholder of one\'s own', {ANTHROPIC_API_KEY => $own,
        OPENAI_KEY => 'sk-two', OTHER => $own},
        '--placeholder', $own, '--placeholder', 'sk-two';
    fails 'is no other', {OPENAI_KEY => "$own-1"}, 'OPENAI_KEY ',
        '--placeholder', $own;
    for my $wrong (['--nonsense'], ["--$own"], ['--placeholder'],
        ['--placeholder', ''], ['--placeholder', "a|$own"], [$own]) {
        my ($exit, $said) = check({}, @$wrong);
        is $exit, 2, "not @$wrong";
        is_free_of $said, 'an option', $own;
    }
    my ($exit, $said) = check({}, '--help');
    is $exit, 0, '--help';
    like $said, qr/^\s+$_\b/m, $_ for qw(--placeholder --allow-variable
        --no-files --no-processes --no-connect --help);
};

done_testing;
