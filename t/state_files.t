# Which files the state is written to: only to those that are new, or that it
# can read as its own; and by the newest workers only, each zone its own.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Await;
use Golden;
use Kept;
use Metered;
use Mojo::File qw(path);
use Provider;

# One whose zone can have another name than main.
package Renamed {
    use Mojo::Base 'Kept', -signatures;
    has zone_name => 'main';

    sub http ($self) {
        my $name = $self->zone_name;
        return $self->SUPER::http
            =~ s/keystile_(?:zone|meter|usage|status) +\Kmain\b/$name/gr;
    }
}

on_one_day();
my $provider = Provider->new;

my %NOTES = ('' => "Dear diary,\n" x 1000, '.2' => "And then,\n");

sub start_with (%how) {
    return Kept->new(provider => $provider, %how);
}

sub answers () {
    $provider->forget->answer(sub ($request) {
        $request->reply(200, undef, response_document(input => 5, output => 5));
    });
    return;
}

# Files of someone else, where the state could go.
sub write_notes ($nginx, $name) {
    for my $suffix (sort keys %NOTES) {
        my $path = $nginx->file("state/$name$suffix", $NOTES{$suffix}, 0600);
        $nginx->own($path);
    }
    return;
}

# Turns, and reloads amid them; what is counted is saved at a quit at last.
sub use_and_reload ($nginx) {
    for my $turn (1 .. 3) {
        is $nginx->turn('ci')->status, 200, "turn $turn";
        $nginx->idle;
        is $nginx->reload, '', 'a reload';
    }
    is $nginx->turn('ci')->status, 200, 'another';
    is $nginx->totals('ci')->{requests} // 0, 4, 'all are counted';
    return;
}

sub notes_remain ($nginx, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok path($nginx->dir, "state/$name$_")->slurp eq $NOTES{$_},
        "$name$_ is as it was" for sort keys %NOTES;
    return;
}

# What a start had found out was forgotten by the first reload, as the zone was
# there already and nothing was read.
subtest 'files of others, from the start' => sub {
    my $nginx = start_with();
    write_notes($nginx, 'main');
    $nginx->serve;
    answers();
    use_and_reload($nginx);
    like $nginx->error_log, qr/\[error\].*\Q${\$nginx->state_file}\E/,
        'the log names them';
    $nginx->stop;
    notes_remain($nginx, 'main');
};

# Nothing was read where a reload named the first file of a zone.
subtest 'files of others, from a reload' => sub {
    my $nginx = start_with(name => 'notes');
    write_notes($nginx, 'notes');
    $nginx->zone('1m')->serve;
    answers();
    $nginx->states_in('notes')->write_files;
    is $nginx->reload, '', 'with a state file';
    use_and_reload($nginx);
    $nginx->stop;
    notes_remain($nginx, 'notes');
};

# Nor where it named another.
subtest 'files of others, instead of ours' => sub {
    my $nginx = start_with()->serve;
    answers();
    write_notes($nginx, 'notes');
    $nginx->states_in('notes')->write_files;
    is $nginx->reload, '', 'another state file';
    use_and_reload($nginx);
    $nginx->stop;
    notes_remain($nginx, 'notes');
};

# Only what had changed was written, and after a reload nothing had: a power
# cut lost all that was in the file of the old name.
subtest 'a new path' => sub {
    my $nginx = start_with(clients => {
        ci => {limits => [{requests => 2, per => 'month'}]}})->serve;
    answers();
    is $nginx->turn('ci')->status, $_, "a $_" for 200, 200, 429;
    $nginx->await_save;
    $nginx->states_in('other')->write_files;
    is $nginx->reload, '', 'a reload';
    await 'the new file', sub {
        $nginx->status;
        grep { -s $nginx->state_file($_) } '', '.2';
    };
    $nginx->kill_all->again;
    is $nginx->turn('ci')->status, 429, 'the limit is still used up';
    $nginx->stop;
};

# An old worker, which a slow reply keeps alive, went on to write to the files
# before: what it saved there, no one saved in the new ones.
subtest 'an old worker, of other files' => sub {
    my $nginx = start_with(clients => {slow => {}, ci => {}})->serve;
    $provider->forget->hold;
    my $wire    = $nginx->start_turn('slow');
    my $request = $provider->next_request;
    answers();
    is $nginx->turn('ci')->status, 200, 'a turn';
    $nginx->await_save;
    my @files = map { path($nginx->state_file($_)) } '', '.2';
    $nginx->states_in('other')->write_files;
    is $nginx->reload, '', 'a reload';
    my @before = map { $_->slurp } @files;
    my %saved;
    await 'what is counted to be saved', sub {
        $nginx->turn('ci');
        $saved{$nginx->status->{state}{saved_at}} = 1;
        return keys %saved > 3;
    }, 30;
    is_deeply [map { $_->slurp } @files], \@before, 'it saves no more';
    $request->reply(200, undef, response_document(input => 5, output => 5));
    is $wire->response->status, 200, 'and ends what it had';
    $wire->close;
    $nginx->stop;
};

# A reload that fails late had already said that the zone is another's.
subtest 'a reload that fails, with another size' => sub {
    my $nginx = start_with();
    $nginx->serve;
    answers();
    is $nginx->turn('ci')->status, 200, 'a turn';
    $nginx->states_in('main', size => '2m');
    $nginx->server('listen 192.0.2.1:1;')->write_files;
    like $nginx->reload, qr/bind\(\) to 192/, 'an address that is not ours';
    $nginx->await_save;
    $nginx->tolerate(qr/\[emerg\].*(?:192[.]0[.]2[.]1|bind)/)->stop;
};

# With another size the zone is a new one. The last worker of the old one saved
# what it knew when it went, and that was read at the next start.
subtest 'an old worker, of a zone of another size' => sub {
    my $nginx = start_with(clients => {slow => {},
        ci => {limits => [{requests => 5, per => 'month'}]}})->serve;
    $provider->forget->hold;
    my $wire    = $nginx->start_turn('slow');
    my $request = $provider->next_request;
    my ($old)   = $nginx->worker_pids;
    answers();
    $nginx->states_in('main', size => '2m')->write_files;
    is $nginx->reload, '', 'a reload';
    is $nginx->turn('ci')->status, $_, "a $_" for (200) x 5, 429;
    $nginx->await_save;
    $request->reply(200, undef, response_document(input => 5, output => 5));
    is $wire->response->status, 200, 'the old worker ends what it had';
    $wire->close;
    await 'the old worker to go', sub {
        $nginx->error_log =~ /worker process $old exited/;
    };
    $nginx->kill_all->again;
    is $nginx->turn('ci')->status, 429, 'the limit is still used up';
    $nginx->stop;
};

# An nginx whose old worker, with a WebSocket, goes on to count.
sub with_old_worker (%how) {
    my $nginx = Renamed->new(provider => $provider, %how, clients => {
        slow => {}, ci => {limits => [{requests => 9, per => 'month'}]}});
    $nginx->serve;
    $provider->forget->answer(sub ($request) { $request->accept_websocket });
    my $wire = $nginx->open_socket('slow');
    my $far  = $provider->next_request->connection;
    answers();
    is $nginx->turn('ci')->status, 200, 'a turn' for 1 .. 2;
    $nginx->idle_but_for('slow');
    return ($nginx, $wire, $far);
}

sub Renamed::idle_but_for ($self, $id) {
    await 'nothing else to be open', sub {
        !grep { $_->{open} && $_->{id} ne $id } @{$self->status->{clients}};
    };
    return;
}

# A turn of the new workers, which is saved, and then turns of the old one, until
# it could have saved twice, and once more when it goes.
sub count_on_both ($nginx, $old, $wire, $far) {
    is $nginx->turn('ci')->status, 200, 'a turn of the new zone';
    $nginx->await_save;
    my $end = time + 11;
    while (time < $end) {
        $nginx->socket_turn($wire, $far);
        select undef, undef, undef, 0.2;
    }
    $wire->close;
    await 'the old worker to go', sub {
        $nginx->error_log =~ /worker process $old exited/;
    };
    my $log = length $nginx->error_log;
    $nginx->kill_all->again;
    unlike substr($nginx->error_log, $log), qr/torn|cannot be used/,
        'the files are whole';
    return $nginx->idle;
}

# A zone of another name had the files of one that old workers still wrote to:
# both had a number of their own for what they saved, and one of them won.
subtest 'an old worker, of a zone of another name' => sub {
    my ($nginx, $wire, $far) = with_old_worker();
    my ($old) = $nginx->worker_pids;
    $nginx->zone_name('renamed')->write_files;
    is $nginx->reload, '', 'a reload';
    is $nginx->totals('ci')->{requests}, 2, 'nothing is forgotten';
    my $status = count_on_both($nginx, $old, $wire, $far);
    my $count  = sub ($id) {
        $nginx->client_of($status, $id)->{totals}{requests} // 0;
    };
    is $count->('ci'), 3, 'and they are those of the new zone';
    is $count->('slow'), 0, 'with nothing of what the old one counted';
    $nginx->stop;
};

# Nobody could tell the old workers of the zone, when it was there again.
subtest 'an old worker, of a zone that was gone for a while' => sub {
    my ($nginx, $wire, $far) = with_old_worker();
    my ($old) = $nginx->worker_pids;
    $nginx->zone_name('other')->zone('1m')->write_files;
    is $nginx->reload, '', 'without it';
    is $nginx->totals('ci')->{requests} // 0, 0, 'nothing is counted';
    $nginx->zone_name('main')->states_in('main')->write_files;
    is $nginx->reload, '', 'with it';
    is $nginx->totals('ci')->{requests}, 2, 'what was counted is there';
    my $status = count_on_both($nginx, $old, $wire, $far);
    is $nginx->client_of($status, 'ci')->{totals}{requests}, 3,
        'and goes on in the new zone';
    $nginx->stop;
};

done_testing;
