# README.md names what the code has in its lists: the headers that do not go up
# or come back, those that cannot be set or carry a key, and the parameters that
# carry one.
#
# Each comparison is also shown a README that is wrong.

use Mojo::Base -strict, -signatures;
use FindBin;
use Test::More;
use Mojo::File qw(path);

my $root   = path("$FindBin::Bin/..");
my $README = $root->child('README.md')->slurp('UTF-8');

# The strings of an array, in lower case.
sub names_in ($file, $array) {
    my ($names) = $root->child('src', $file)->slurp
        =~ /\b$array(?:\[\] = )?\{(.*?)\};/s
        or die "$file: no $array\n";
    return map {lc} $names =~ /"([^"]+)"/g;
}

# Each list: where README has it, what it has, and a name to take out of it.
my @LISTS = (
    ['parameters with a key',
        qr/Parameters that carry keys are always\s+refused: (.*?), with or/s,
        'oauth_token',
        names_in('core/query.cpp', 'kKeyNames')],
    ['request headers that do not go up',
        qr/^\*\*Up\*\* (.*?^keystile writes .*?`X-Request-Id`)/ms,
        'Cookie2',
        names_in('core/key_header.hpp', 'kCredentialHeaders'),
        names_in('core/codex_auth.hpp', 'kCodexAuthHeaders'),
        map({ names_in('core/request_head.cpp', $_) }
            qw(kDropped kHidingHeaders kHeaderProtocols)),
        map {"$_*"} names_in('core/request_head.cpp', 'kDroppedPrefixes')],
    ['reply headers that do not come back',
        qr/^\*\*Back\*\* .*?^- (.*?),\s+unless/ms,
        'Set-Cookie2',
        names_in('http/ngx_http_keystile_conf.cpp', 'kHiddenHeaders')],
    ['headers that carry no key',
        qr/whichever decides\. (.*?)\scannot be among them/s,
        'sec-websocket-protocol',
        names_in('core/key_header.cpp', 'names')],
    ['headers that are not to be set',
        qr/^Headers that carry credentials are refused, and so are (.*?)\./ms,
        'Expect',
        names_in('http/ngx_http_keystile_set_header.cpp', 'kOwnHeaders')],
);

# What else stands between backquotes there.
my %IS_OTHER = map { $_ => 1 } qw(x_api_key identity models fields
    callback alt json sse);

sub faults ($readme, $what, $pattern, @names) {
    my ($text) = $readme =~ $pattern or die "$what: no list\n";
    my @here = grep { !$IS_OTHER{$_} && /[a-z]/ && !/\Akeystile_/ }
        map {lc} $text =~ /`([^`\s]+)`/g;
    tr/_-//d for $what =~ /parameters/ ? @here : ();
    my %here = map { $_ => 1 } @here;
    my %code = map { $_ => 1 } @names;
    return join "\n", map({"$_ is not in README.md"}
        grep { !$here{$_} } sort keys %code),
        map {"$_ is not in the code"} grep { !$code{$_} } sort keys %here;
}

for my $list (@LISTS) {
    my ($what, $pattern, $one, @names) = @$list;
    cmp_ok scalar @names, '>', 5, $what;
    is faults($README, $what, $pattern, @names), '', 'are those of the code';
    my $missing = $README =~ s/($pattern)/$1 =~ s{`\Q$one\E`}{it}r/er;
    isnt $missing, $README, "there is $one to take out";
    like faults($missing, $what, $pattern, @names),
        qr/\A[\w-]+ is not in README\.md\z/, 'would be seen: one is missing';
    my $added = $README =~ s/($pattern)/$1 =~ s{`\Q$one\E`}{$& `x-one`}r/er;
    like faults($added, $what, $pattern, @names),
        qr/\Ax-?one is not in the code\z/, 'would be seen: one too many';
}

done_testing;
