# CodexAuth: an auth.json as "codex login" writes it, with tokens that nobody
# has signed.
#
#     my $auth = auth(expires => time + 86_400);
#     $nginx->auth_file('auth.json', $auth);    # no token may be in a log
#     is $request->header('authorization'), "Bearer $auth->{tokens}{access_token}";
#
# auth(%) takes account, expires (in ten days), lifetime (ten days), fedramp and
# opaque (an access token that is no JWT). Each token ends in 40 characters that
# occur nowhere else.

package CodexAuth;

use Mojo::Base -strict, -signatures;
use Exporter     qw(import);
use Memory       ();
use MIME::Base64 qw(encode_base64url);
use Mojo::JSON   qw(encode_json false true);
use POSIX        qw(strftime);

our @EXPORT = qw(auth jwt lines_of timestamp);

use constant TEN_DAYS => 864_000;
use constant CLAIM    => 'https://api.openai.com/auth';

sub jwt ($claims, $signature = _random()) {
    return join '.', encode_base64url('{"alg":"RS256","typ":"JWT"}'),
        encode_base64url(encode_json($claims)), $signature;
}

sub auth (%with) {
    my $account = $with{account} // 'acc-0c1d2e3f';
    my $expires = $with{expires} // time + TEN_DAYS;
    my $own     = {
        chatgpt_account_id         => $account,
        chatgpt_plan_type          => 'pro',
        chatgpt_user_id            => 'user-ada',
        chatgpt_account_is_fedramp => $with{fedramp} ? true : false,
    };
    my $access = $with{opaque} ? 'opaque-' . _random() : jwt({
        iat => $expires - ($with{lifetime} // TEN_DAYS),
        exp => $expires,
        jti => _random(),
        CLAIM, $own,
    });
    return {
        auth_mode      => 'chatgpt',
        OPENAI_API_KEY => undef,
        tokens         => {
            id_token => jwt({email => 'ada@example.com', jti => _random(),
                CLAIM, $own}),
            access_token  => $access,
            refresh_token => 'rt_test-' . _random(),
            account_id    => $account,
            oauth_provenance => {issuer => 'https://auth.openai.com',
                client_id => 'app_test'},
        },
        last_refresh => timestamp(time),
    };
}

# The header lines that go up with it.
sub lines_of ($auth, %with) {
    my $tokens = $auth->{tokens};
    return ("Authorization: Bearer $tokens->{access_token}",
        "ChatGPT-Account-ID: $tokens->{account_id}",
        $with{fedramp} ? 'X-OpenAI-Fedramp: true' : ());
}

sub timestamp ($time) { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $time) }

sub _random () { return substr Memory::fresh_key('x'), -40 }

1;
