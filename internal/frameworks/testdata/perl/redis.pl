# Redis.pm, the usual client of Perl.
use strict;
use warnings;
use Redis;

print "version Redis.pm ", Redis->VERSION =~ s/^v//r, "\n";
$| = 1;
sub connected { Redis->new(server => "$ENV{REDIS_HOST}:$ENV{REDIS_PORT}", reconnect => 2, read_timeout => 15, @_) }

sub check {
    my ($name, $f) = @_;
    if (eval { $f->(); 1 }) { print "ok $name\n" } else { print "not ok $name: ", $@ =~ s/\s+/ /gr, "\n" }
}

sub equal {
    my ($got, $want) = map { join ' ', map { $_ // 'undef' } @$_ } @_;
    die "$got, not $want" if $got ne $want;
}
my $r = connected();
check 'commands', sub {
    equal [$r->set(a => 1), $r->incr('a'), $r->get('none')], ['OK', 2, undef];
    $r->hmset('h', x => 1, y => 2);
    equal [$r->hmget('h', 'x', 'y')], [1, 2];
};
check 'mset, mget, del', sub {
    $r->mset(map { ("m$_" => $_) } 0 .. 29);
    equal [$r->mget(map { "m$_" } 0 .. 29)], [0 .. 29];
    equal [$r->del(map { "m$_" } 0 .. 29)], [30];
};
check 'pipeline', sub {
    my @got;
    for my $i (0 .. 99) {
        $r->set("p$i", $i, sub { });
        $r->get("p$i", sub { push @got, $_[0] });
    }
    $r->wait_all_responses;
    equal \@got, [0 .. 99];
};
check 'multi', sub {
    $r->multi;
    $r->set('t', 1);
    $r->incr('t');
    equal [$r->exec], ['OK', 2];
};
check 'watch', sub {
    my $c = connected();
    $c->watch('w');
    $r->set('w', 1);
    $c->multi;
    $c->set('w', 2);
    equal [scalar $c->exec], [undef];
};
check 'publish and subscribe', sub {
    my ($c, @got) = connected();
    $c->subscribe('news', 'sport', sub { push @got, "$_[1] $_[0]" });
    equal [$r->publish('sport', 'hi')], [1];
    $c->wait_for_messages(5);
    equal \@got, ['sport hi'];
};
check 'blocking pop of several keys', sub {
    $r->rpush('q3', 'job');
    equal [$r->blpop('q1', 'q2', 'q3', 'q4', 5)], ['q3', 'job'];
};
check 'scan', sub {
    my ($cursor, %found) = (0);
    do { ($cursor, my $keys) = $r->scan($cursor, MATCH => 'p*'); @found{@$keys} = () } while $cursor;
    equal [scalar keys %found], [100];
};
check 'errors', sub {
    eval { $r->lpush('a', 1) };
    die $@ if $@ !~ /WRONGTYPE/;
};
check 'list and hash ties', sub {
    require Redis::List;
    tie my @list, 'Redis::List', 'l', server => "$ENV{REDIS_HOST}:$ENV{REDIS_PORT}";
    push @list, 1, 2, 3;
    equal \@list, [1, 2, 3];
};
