# conf-examples/agent-check: the other places where it looks for keys, and
# whether gateways can be reached.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/clients/lib";
use Test::More;
use AgentCheck;
use Await;
use File::Temp ();
use Mojo::File qw(path);
use Provider;

sub write_file ($path, $content) {
    $path->dirname->make_path;
    open my $file, '>', $path or die "$path: $!";
    print {$file} $content;
    close $file or die "$path: $!";
    return;
}

subtest 'files of logins' => sub {
    my $jwt   = 'eyJhbGciOiJSUzI1NiIsInR5.eyJzdWIiOiIxMjM0.Sg0aVq';
    my %files = (
        '.codex/auth.json' => qq({"OPENAI_API_KEY":"sk-proj-Zk83hdn2LLq0aP"}),
        '.codex/config.toml' =>
            'experimental_bearer_token = "sk-proj-Zk83hdn2LLq0aP"',
        '.claude/.credentials.json' =>
            '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-Zk83hdn2LLq0"}}',
        '.claude/settings.json' =>
            '{"env":{"ANTHROPIC_API_KEY":"sk-ant-api03-Qm2v8dj3KKz1"}}',
        '.claude.json'          => '{"primaryApiKey":"sk-ant-api03-Qm2v8dj3K"}',
        '.gemini/oauth_creds.json' =>
            '{"refresh_token":"1//0gQm2v8dj3KKz1aPxw0L-L9"}',
        '.gemini/.env' => 'GEMINI_API_KEY=AIzaSyD3k29fjQ0aLmX81zPqT',
        '.copilot/config.json' => '{"t":"gho_Qm2v8dj3KKz1aPxw0L"}',
        '.config/github-copilot/apps.json' =>
            '{"oauth_token":"ghu_Qm2v8dj3KKz1aPxw0L"}',
        '.config/gh/hosts.yml' => 'oauth_token: gho_Qm2v8dj3KKz1aPxw0L',
        '.config/gcloud/application_default_credentials.json' =>
            "{\"private_key\":\"-----BEGIN PRIVATE KEY-----\\nMIIEvQ\"}",
    );
    my @cases = ((map { [$_, $files{$_}] } sort keys %files),
        ['.codex/auth.json', qq({"tokens":{"access_token":"$jwt"}})],
        ['.codex/auth.json', "sk-proj-\nsk-proj-Zk83hdn2LLq0aPxw"]);
    for my $case (@cases) {
        my ($name, $content) = @$case;
        my $home = File::Temp->newdir('keystile-home-XXXXXX', TMPDIR => 1);
        my $file = path($home, $name);
        write_file($file, $content);
        my $base = $file->basename;
        fails $name, {HOME => "$home"}, qr/.*\Q$base\E holds /;
        my (undef, $said) = check({HOME => "$home"});
        is_free_of $said, $name, $content =~ /([\w\/-]{20,})/g;
        passes "$name, not looked at", {HOME => "$home"}, '--no-files';
        write_file($file, $content =~ s/\d|PRIVATE//gr);
        passes "$name, no key", {HOME => "$home"};
    }
    for my $variable (qw(CODEX_HOME CLAUDE_CONFIG_DIR XDG_CONFIG_HOME
        GOOGLE_APPLICATION_CREDENTIALS)) {
        my $home = File::Temp->newdir('keystile-home-XXXXXX', TMPDIR => 1);
        write_file(path($home, $_),
            '"sk-proj-Zk83hdn2LLq0aPxw" gho_Qm2v8dj3KKz1aPxw0L')
            for qw(auth.json settings.json gh/hosts.yml);
        my $google = $variable =~ /\AGOOGLE/;
        fails "where $variable is", {$variable => "$home"
            . ($google ? '/auth.json' : '')}, '.* holds ';
    }
};

SKIP: {
    my @alone = qw(unshare --fork --pid --mount-proc);
    skip 'no process namespace can be made here'
        if system("@alone true 2>/dev/null") != 0;

    subtest 'other processes' => sub {
        my $KEY = 'sk-test-other-b2kX0aVq81';
        my $run = sub ($value, @options) {
            return AgentCheck::run({}, @alone, 'sh', '-c',
                "env OPENAI_API_KEY=$value sleep 60 & until grep -qa "
                    . 'OPENAI_API_KEY /proc/$!/environ; do :; done; '
                    . 'sh "$@"; code=$?; kill $!; exit $code', 'sh', script(),
                @options);
        };
        my ($exit, $said) = $run->($KEY);
        is $exit, 1, 'a key in the environment of another';
        like $said,
            qr/^agent-check: FAIL: OPENAI_API_KEY in the \S+ of process \d/m,
            'it says where';
        is_free_of $said, 'it', $KEY;
        is +($run->($KEY, '--no-processes'))[0], 0, 'not looked at';
        ($exit, $said) = $run->($PLACEHOLDER{openai});
        is $exit, 0, 'a placeholder' or diag $said;
    };
}

subtest 'gateways' => sub {
    my $provider = Provider->new->hold;
    my $open     = $provider->address;
    my $closed   = do {
        my $other = Provider->new;
        $other->close->address;
    };
    my @names = qw(OPENAI_BASE_URL ANTHROPIC_BASE_URL COPILOT_API_URL
        COPILOT_PROVIDER_BASE_URL GOOGLE_GEMINI_BASE_URL
        GOOGLE_VERTEX_BASE_URL);
    my $bin = File::Temp->newdir('keystile-bin-XXXXXX', TMPDIR => 1);
    my $use = sub (@tools) {
        unlink glob "$bin/*";
        for my $tool (qw(tr grep env sleep), @tools) {
            chomp(my $where = `command -v $tool 2>/dev/null`);
            symlink $where, "$bin/$tool" or die "$tool: $!";
        }
    };
    for my $tool (grep { system("command -v $_ >/dev/null") == 0 }
        qw(bash perl curl wget nc))
    {
        $use->($tool);
        my %path = (PATH => "$bin");
        # wget and curl want an answer, and take their time without one.
        $provider->answer(sub ($request) { $request->reply(401) });
        for my $name (@names) {
            my $before = $provider->connections;
            passes "$tool: $name", {%path, $name => "http://$open/v1"};
            ok eval {
                await 'a connection',
                    sub { $provider->connections > $before };
            }, 'was connected to';
            fails "$tool: $name, closed",
                {%path, $name => "http://$closed/v1"}, "$name cannot be r";
        }
        passes "$tool: past a proxy", {%path, http_proxy => "http://$closed",
            OPENAI_BASE_URL => "http://$open"};
    }
    $use->();
    fails 'with none of them', {PATH => "$bin",
        OPENAI_BASE_URL => "http://$open"}, 'OPENAI_BASE_URL cannot be tried';
    passes 'not tried', {PATH => "$bin", OPENAI_BASE_URL => "http://$open"},
        '--no-connect';
    unlink "$bin/tr";
    fails 'without tr', {PATH => "$bin"}, 'nothing can be looked at';

    my $secret = 'pass-0123456789';
    fails $_, {OPENAI_BASE_URL => $_}, 'OPENAI_BASE_URL has a user '
        for "http://user:$secret\@$open/", "https://$secret\@$open";
    for my $url ("ftp://$open", $secret, "http://$secret;id/", 'http://a$(id)/',
        'http:///', 'http://:80/', 'http://-e:1/', 'http://a:b:c:/',
        'http://a:/', 'http://a:1x/', 'http://[::1/', 'http://[a.example]/')
    {
        fails $url, {OPENAI_BASE_URL => $url}, 'OPENAI_BASE_URL ';
    }
    fails 'Copilot\'s two URLs', {COPILOT_API_URL => 'http://a.example/',
        COPILOT_PROVIDER_BASE_URL => 'http://b.example/'},
        'COPILOT_PROVIDER_BASE_URL is not ', '--no-connect';
    passes 'which are the same', {COPILOT_API_URL => "http://$open/",
        COPILOT_PROVIDER_BASE_URL => "http://$open/"};
};

done_testing;
