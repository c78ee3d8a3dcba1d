# Redis.pm: what its users do. Tells tests/integration/real.py.
use strict;
use warnings;
use Redis;

my $path = $ENV{SOCKET};
$| = 1;

sub claim {
    my ($name, $test) = @_;
    if (eval { $test->(); 1 }) {
        print "ok $name\n";
    } else {
        (my $why = $@) =~ s/\s+/ /g;
        print "not ok $name: $why\n";
    }
}

sub ask {
    print "ask $_[0]\n";
    <STDIN> eq "done\n" or die "the runner did not answer";
}

sub equal {
    my ($got, $wanted) = map { defined ? "$_" : "undef" } @_;
    die substr($got, 0, 300), ", not ", substr($wanted, 0, 300) if $got ne $wanted;
}

sub fails {
    my ($words, $test) = @_;
    die "no error" if eval { $test->(); 1 };
    die "$@ does not say $words" if index($@, $words) < 0;
}

sub connection { return Redis->new(sock => $path, reconnect => 20, every => 20_000, name => 'claims') }

my $r = connection();

claim 'everyday commands' => sub {
    $r->flushall;
    equal($r->client_getname, 'claims');
    equal($r->set(k => 'v', EX => 100), 'OK');
    equal($r->get('k'), 'v');
    equal($r->get('gone'), undef);
    equal($r->ttl('k'), 100);
    equal($r->mset(a => 1, b => 2), 'OK');
    equal(join(' ', map { $_ // 'undef' } $r->mget('a', 'gone', 'b')), '1 undef 2');
    equal(join(' ', $r->incr('n'), $r->incrby('n', 5), $r->decr('n')), '1 6 5');
    equal($r->exists('a'), 1);
    equal($r->del('a', 'b'), 2);
    equal(substr($r->info->{redis_version}, 0, 4), '7.0.');
    equal(join(' ', sort $r->keys('*')), 'k n');
};

claim 'pipelines, MULTI and WATCH' => sub {
    my $sum = 0;
    $r->del('count');
    $r->incr('count', sub { $sum += $_[0] }) for 1 .. 2000;
    $r->wait_all_responses;
    equal($sum, 2000 * 2001 / 2);
    $r->multi;
    $r->set(n => 5);
    $r->incr('n');
    equal(join(' ', $r->exec), 'OK 6');
};

claim 'binary and large values' => sub {
    my $large = join('', map { chr } 0 .. 255) x 4096;
    $r->set(substr($large, 0, 1024), $large);
    equal($r->get(substr($large, 0, 1024)) eq $large, 1);
};

claim 'publish and subscribe' => sub {
    my ($sub, $heard) = (connection());
    $sub->subscribe('news', sub { $heard = "$_[1] $_[0]" });
    equal($r->publish('news', 'hello'), 1);
    $sub->wait_for_messages(0.05) until $heard;
    equal($heard, 'news hello');
};

claim 'errors are told' => sub {
    $r->set(text => 'x');
    fails('ERR value is not an integer or out of range', sub { $r->incr('text') });
    fails("ERR unknown command 'LPUSH', with args beginning with: 'l' 'x'", sub { $r->lpush('l', 'x') });
    equal($r->get('text'), 'x');
};

claim 'a password is asked for' => sub {
    fails('NOAUTH', sub { Redis->new(sock => $ENV{GUARDED})->get('k') });
    fails('WRONGPASS', sub { Redis->new(sock => $ENV{GUARDED}, password => 'x')->get('k') });
    equal(Redis->new(sock => $ENV{GUARDED}, password => $ENV{PASSWORD})->set(k => 'v'), 'OK');
};

claim 'it comes back when the daemon does' => sub {
    $r->set(k => 'v');
    ask('restart');
    equal($r->get('k'), undef);
};
