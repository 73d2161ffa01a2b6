# A key from standard input: read once, at start, and kept over reloads.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Nginx;
use Provider;
use Verdict;
use Wire;

my $provider = Provider->new;
my $BROKER   = <<'CONF';
    keystile_credential openai -STYLE;
    keystile_admit      any;
    keystile_allow      GET /**;
    keystile_inject     openai;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { keystile_pass http://%%PROVIDER%%; }
    }
CONF

sub broker ($style = '') { return $BROKER =~ s/STYLE/$style/r }

# Runs $code while these bytes, and then the end, are on standard input.
sub with_stdin ($bytes, $code) {
    pipe my $read, my $write or die "pipe: $!";
    print {$write} $bytes;
    close $write;
    open my $saved, '<&', \*STDIN or die "dup: $!";
    open STDIN, '<&', $read or die "dup: $!";
    my $result = eval { $code->() };
    my $error  = $@;
    open STDIN, '<&', $saved or die "dup: $!";
    die $error if $error;
    return $result;
}

my $number = 0;
for my $daemon (0, 1) {
    for my $end ("\n", '') {
        my $name = ($daemon ? 'a daemon' : 'in the foreground')
            . ($end ? '' : ', no newline');
        subtest $name => sub {
            my $KEY   = 'sk-test-stdin-' . ++$number . '-4b1c';
            my $nginx = Nginx->new(daemon => $daemon);
            $nginx->key_file('elsewhere', $KEY);    # to be found in no log
            with_stdin("$KEY$end", sub {
                $nginx->start(broker(), PROVIDER => $provider->address);
            });
            my $verdict = Verdict->new(provider => $provider, key => $KEY);
            $verdict->admitted('at start', request($nginx->port));
            for my $turn (1 .. 3) {
                is $nginx->reload, '', "reload $turn";
                $verdict->admitted('the key is kept', request($nginx->port));
            }

            $nginx->configure(broker() =~ s/openai/renamed/gr);
            is $nginx->reload, '', 'under another name';
            $verdict->admitted('it is kept', request($nginx->port));

            $nginx->configure(broker(' style=x-api-key'));
            like $nginx->reload, qr/\[emerg\].*standard\ input/x,
                'in another header it would have to be read again';
            $verdict->admitted('so all stays', request($nginx->port));
            $nginx->tolerate(qr/standard input/);

            $nginx->key_file('openai.key', 'sk-test-file-77f0');
            $nginx->configure(
                broker() =~ s/openai -/openai %%DIR%%\/openai.key/r);
            is $nginx->reload, '', 'from a file';
            Verdict->new(provider => $provider, key => 'sk-test-file-77f0')
                ->admitted('which is used', request($nginx->port));
            $nginx->configure(broker());
            is $nginx->reload, '', 'and back';
            Verdict->new(provider => $provider, key => $KEY)
                ->admitted('to what was read', request($nginx->port));
            $nginx->stop;
        };
    }
}

subtest 'nginx -t does not touch it' => sub {
    my $nginx = Nginx->new;
    pipe my $read, my $write or die "pipe: $!";
    print {$write} "sk-test-unread\n";
    close $write;
    open my $saved, '<&', \*STDIN or die "dup: $!";
    open STDIN, '<&', $read or die "dup: $!";
    my ($exit, $said)
        = $nginx->test_config(broker(), PROVIDER => $provider->address);
    is $exit, 0, 'it succeeds' or diag $said;
    is sysread(STDIN, my $left, 100), 15, 'and leaves what is there';
    open STDIN, '<&', $saved or die "dup: $!";
};

subtest 'what is no key' => sub {
    for my $bytes ('', "\n", "two words\n", "sk-a\nsk-b\n", 'x' x 20_000) {
        my $nginx   = Nginx->new;
        my $started = eval {
            with_stdin($bytes, sub {
                $nginx->start(broker(), PROVIDER => $provider->address);
            });
        };
        ok !$started, 'nginx does not start with ' . length($bytes) . ' bytes';
        like $@, qr/credential "openai": "standard input"/, 'and says why';
        unlike $@, qr/words|sk-[ab]|xxx/, 'without what it read';
    }
};

done_testing;
