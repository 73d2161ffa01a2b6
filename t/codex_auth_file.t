# format=codex-auth in `nginx -t`: which files are taken, what is said of
# others, and what does not go with it. No message holds a part of the file.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use CodexAuth;
use Configuration;
use Mojo::JSON qw(encode_json);
use Nginx;

my $SECRET = 'secret-5e0d1f7c';
my $nginx  = Nginx->new;
my $file   = '%%DIR%%/auth.json';
$nginx->key_file('openai.key', 'sk-test-provider-3b1f');
$nginx->client_file({clients => [{id => 'ci', keys => ['sk-test-client']}]});
configure_with($nginx, $SECRET);

sub with ($options = 'format=codex-auth', $name = $file) {
    return credential => "keystile_credential openai $name $options;";
}

# What is written has the secret in each string that could be shown.
sub written ($content, $mode = 0600) {
    return $nginx->file('auth.json', $content, $mode);
}

sub good (%tokens) {
    my $auth = auth();
    $auth->{tokens} = {%{$auth->{tokens}}, refresh_token => $SECRET, %tokens};
    return encode_json($auth);
}

sub refuses ($name, $content, $rule) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    written($content);
    fails $name, "openai[^\\n]*auth\\.json\" (?:$rule)", with();
    return;
}

subtest 'content' => sub {
    my %good = (
        'as codex login writes it' => good(),
        'with a line end'          => good() . "\n",
        'a large one'  => good(other => 'x' x 60_000),
        'an API key'   => qq({"OPENAI_API_KEY":"sk-$SECRET"}),
        'no auth mode' => encode_json({tokens => {
            access_token => $SECRET, account_id => 'a'}}),
    );
    for my $name (sort keys %good) {
        written($good{$name});
        passes $name, with();
    }

    my %bad = (
        'nothing'       => ['', 'must not be empty'],
        'a key'         => ["$SECRET\n", 'must hold one JSON object: line 1'],
        'a list'        => [qq(["$SECRET"]), 'must hold one JSON object'],
        'cut short'     => [substr(good(), 0, -9), 'must be JSON: line 1, '],
        'a comma'       => [qq({"x":"$SECRET",\n }),
            'must be JSON: line 2, column 2'],
        'too deep'      => ['{"x":' . '[' x 50, 'must not have more than 32'],
        'a member twice' =>
            [qq({"tokens":{"access_token":"$SECRET",\n"access_token":1}}),
            'must not have this member twice: line 2, column 1'],
        'too large'     => [good(other => 'x' x 70_000), '[^\n]*65536 bytes'],
        'a long token'  => [good(access_token => 'x' x 16_385),
            '[^\n]*16384 bytes'],
        'no tokens'     => ["{\"x\":\"$SECRET\"}", '[^\n]*"tokens"'],
        'no access token' => [good(access_token => undef),
            '[^\n]*"access_token"'],
        'a space'       => [good(access_token => "$SECRET $SECRET"),
            '[^\n]*printable'],
        'a line end'    => [good(access_token => "$SECRET\r\nX-Evil: 1"),
            '[^\n]*printable'],
        'a placeholder' => [good(access_token => "placeholder-$SECRET"),
            '[^\n]*placeholder'],
        'no account'    => [
            encode_json({tokens => {access_token => $SECRET}}),
            '[^\n]*"account_id"'],
        'a bad account' => [good(account_id => "$SECRET\nX-Evil: 1"),
            '[^\n]*"account_id"'],
        'another mode'  => [qq({"auth_mode":"$SECRET"}), '[^\n]*"auth_mode"'],
        'signatures'    => ['{"auth_mode":"agentIdentity"}',
            '[^\n]*agentIdentity[^\n]* signed'],
        'Bedrock'       => ['{"auth_mode":"bedrockApiKey"}', '[^\n]*Bedrock'],
        'no API key'    => ['{"auth_mode":"apikey","tokens":{}}',
            '[^\n]*"OPENAI_API_KEY"'],
    );
    refuses $_, @{$bad{$_}} for sort keys %bad;

    written(good(access_token => 'sk-test-client'));
    fails 'the key of a client', 'ci', with();
};

subtest 'permissions are those of every credential' => sub {
    for my $mode (0644, 0620, 0640) {
        written(good(), $mode);
        fails sprintf('mode %04o', $mode), 'group or others', with();
    }
    written(good(), 0440);
    warns 'mode 0440, relaxed', 'relaxed',
        with('format=codex-auth permissions=relaxed');
    fails 'a missing file', 'exist', with('format=codex-auth', '%%DIR%%/no');
};

subtest 'options' => sub {
    written(good());
    passes 'format=raw', with('format=raw', '%%DIR%%/openai.key');
    for my $option (qw(style=bearer style=x-api-key header=X-Key prefix=a),
        'header=X-Key prefix=a') {
        fails $option, 'format=codex-auth[^\n]*do not go with it',
            with("format=codex-auth $option");
        fails "$option before it", 'do not go with it',
            with("$option format=codex-auth");
    }
    fails 'standard input', 'needs a file', with('format=codex-auth', '-');
    for my $format ('', 'codex', 'codex_auth', 'json') {
        fails "format=$format", 'codex-auth', with("format=$format");
    }
    for my $name (qw(ChatGPT-Account-ID chatgpt_account_id x-openai-fedramp)) {
        fails "keystile_set_header $name", 'header of credential', with(),
            more => "keystile_set_header $name 1;";
        passes "the same with another credential",
            more => "keystile_set_header $name 1;";
    }
    fails 'to=', 'openai', with('format=codex-auth to=chatgpt.com');
};

subtest 'expiry' => sub {
    my $expires = sub ($time) {
        my $auth = auth(expires => $time);
        written(encode_json($auth));
        return timestamp($time);
    };
    my $time = $expires->(time - 60);
    warns 'expired', "has expired at $time", with();
    $time = $expires->(time + 1800);
    warns 'soon', "expires soon, at $time", with();
    $expires->(time + 7200);
    passes 'later', with();
    written(good(access_token => 'opaque'));
    passes 'not known', with();
    written(good(access_token => jwt({exp => 'tomorrow'})));
    passes 'not to be understood', with();
};

done_testing;
