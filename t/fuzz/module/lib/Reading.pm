# Reading: what must hold of bytes, whatever became of them on the way.
#
#     my @faults = faults_of_head($head, keys => \%keys, asked => \@bytes);
#     my @faults = faults_of_reply($bytes, $asked);
#
# faults_of_head() is about the head of a request that came to the provider:
# strictly formed, framed once, with one credential, the one of its place, and
# none of a caller's; faults_of_reply() about what came to the caller, up to the
# end of its first message. `keys` are those of the lane by name, and of callers
# `callers`; `asked` what callers of the lane sent of late.

package Reading;

use Mojo::Base -strict, -signatures;
use Exporter qw(import);
use Message;

our @EXPORT = qw(faults_of_head faults_of_reply);

my $TOKEN = qr/[!#\$%&'*+.^_`|~0-9A-Za-z-]+/;

my %IS_CREDENTIAL = map { $_ => 1 } qw(authorization proxy-authorization
    x-api-key api-key x-goog-api-key openai-api-key);
my %NEVER_GOES_UP = map { $_ => 1 } qw(cookie cookie2 openai-organization
    openai-project forwarded via x-forwarded-for x-real-ip true-client-ip
    origin referer keep-alive proxy-connection te trailer http2-settings expect
    x-original-url x-http-method-override proxy-authenticate);
my %ONCE = map { $_ => 1 } qw(host content-length transfer-encoding connection
    upgrade x-request-id);

# The credential of a place: the names that it may have.
my %LENT = (
    (map { $_ => ['main'] } qw(open strict v1 kept own)),
    moved  => ['main', 'spare'],
    pool   => [qw(first second third)],
    packed => ['azure'],
    off    => [],
);

sub faults_of_head ($head, %about) {
    my ($start, @lines) = split /\r\n/, $head =~ s/\r\n\r\n\z//r, -1;
    return "a start line: $start"
        if $start !~ m{\A$TOKEN /[\x21-\x7E]* HTTP/1\.1\z};
    my ($place) = $start =~ m{\A\S+ /(\w+)};
    my (@faults, %lines, @credentials);
    for my $line (@lines) {
        my ($name, $value) = $line
            =~ /\A($TOKEN): ([\t\x20-\x7E\x80-\xFF]*)\z/
            or return "a header line: $line";
        my $known = lc($name) =~ tr/_/-/r;
        push @{$lines{$known}}, $value;
        push @credentials, [$name, $value] if $IS_CREDENTIAL{$known};
        push @faults, "went up: $line" if $NEVER_GOES_UP{$known};
        push @faults, _astray($name, $value, $known, %about);
    }
    push @faults, map { "more than one $_" }
        grep { $ONCE{$_} && @{$lines{$_}} > 1 } keys %lines;
    push @faults, 'no Host' if !$lines{host};
    push @faults, 'two framings'
        if $lines{'content-length'} && $lines{'transfer-encoding'};
    push @faults, 'a length that is none'
        if grep { !/\A\d+\z/ } @{$lines{'content-length'} // []};
    push @faults, 'a coding that is none'
        if grep { $_ ne 'chunked' } @{$lines{'transfer-encoding'} // []};
    push @faults, _lent($place, $head, \@credentials, %about);
    push @faults, _uninvited($place, $start, \%lines, %about);
    return @faults;
}

# One credential, in one line, and nowhere else.
sub _lent ($place, $head, $credentials, %about) {
    my $names = $LENT{$place // ''} or return "a place: $place";
    my @keys  = map { $about{keys}{$_} } @$names;
    my $is_there = () = $head =~ /sk-test-fz-/g;
    if ($place eq 'own' && !$is_there && @$credentials == 1) {
        my ($name, $value) = @{$credentials->[0]};
        return if $name =~ /\Aauthorization\z/i
            && grep { index($_, $value) >= 0 } @{$about{asked}};
        return "of one's own: $name: $value";
    }
    return $is_there || @$credentials ? 'a credential where there is none' : ()
        if !@keys;
    return "the key is there $is_there times" if $is_there != 1;
    return @$credentials . ' credentials'     if @$credentials != 1;
    my ($name, $value) = @{$credentials->[0]};
    my $line = $place eq 'packed' ? 'api-key: ' : 'Authorization: Bearer ';
    return "another credential: $name: $value"
        if !grep { "$name: $value" eq $line . $_ } @keys;
    return;
}

# A caller's key, which may be somewhere only if the caller put it there.
sub _astray ($name, $value, $known, %about) {
    my @here = grep { index($value, $_) >= 0 } values %{$about{callers}};
    return if !@here;
    return "a caller's key went up: $name: $value" if $IS_CREDENTIAL{$known};
    return if grep {
        /\Q$name\E[ \t]*:[ \t]*\Q$value\E/
            || /\APRI / && index($_, $name) >= 0 && index($_, $value) >= 0
    } @{$about{asked}};
    return "a caller's key went up as $name";
}

# Where a key is asked for, someone must have had one.
sub _uninvited ($place, $start, $lines, %about) {
    return if $place !~ /\A(?:v1|pool|kept|moved)\z/;
    my @good = map { $about{callers}{$_} } qw(free counted tight scant
        talker models);
    return if grep {
        my $asked = $_;
        grep { index($asked, $_) >= 0 } @good
    } @{$about{asked}};
    return "nobody was let in, and it went up: $start";
}

sub faults_of_reply ($bytes, $asked) {
    return if $bytes eq '';
    if ($bytes !~ m{\AHTTP/1\.[01] }) {
        # To a request that has no version: a body, and nothing else.
        return if 'HTTP/1.1 ' =~ /\A\Q$bytes\E/ || $asked !~ m{\A[\r\n]*
            [A-Z_-]+\ [^\n]*\ HTTP/}x;
        return 'what came back is no HTTP';
    }
    my ($method) = $asked =~ /\A[\r\n]*([A-Z_-]+) /;
    my $reply = Message->new(kind => 'response', answers => $method // 'GET');
    my $rest  = $bytes;
    $reply->feed(\$rest);
    return 'a reply: ' . $reply->broken if $reply->broken;
    return if !$reply->head_complete;
    my @faults;
    for my $line (split /\r\n/, $reply->head =~ s/\A[^\n]*\n//r) {
        push @faults, "a header line came back: $line"
            if $line !~ /\A[^\x00-\x20:]+: ?[^\r\n\0]*\z/;
    }
    my %seen;
    $seen{lc $_->[0]}++ for @{$reply->headers};
    push @faults, 'two framings came back'
        if ($seen{'content-length'} // 0) + ($seen{'transfer-encoding'} // 0)
        > 1;
    push @faults, map { "came back: $_" } grep {
        /\A(?:set-cookie2?|openai-(?:organization|project)|x-accel-(?!buffering)
            .*|keep-alive|te|trailer|proxy-connection)\z/x
    } keys %seen;
    return @faults;
}

1;
