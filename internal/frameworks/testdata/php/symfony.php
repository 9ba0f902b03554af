<?php
require __DIR__ . '/checks.php';
foreach (['Cache', 'Lock', 'Messenger', 'Messenger/Bridge/Redis'] as $part) {
    require_once LIBRARIES . "Symfony/Component/$part/autoload.php";
}
require_once LIBRARIES . 'Predis/autoload.php';
use Symfony\Component\Cache\Adapter\{RedisAdapter, RedisTagAwareAdapter, TagAwareAdapter};
use Symfony\Component\Cache\Marshaller\DefaultMarshaller;
use Symfony\Component\Lock\{LockFactory, Key};
use Symfony\Component\Lock\Store\RedisStore;
use Symfony\Component\Messenger\Bridge\Redis\Transport\{Connection, RedisTransport};
use Symfony\Component\Messenger\Envelope;
use Symfony\Component\Messenger\Stamp\DelayStamp;

version('symfony', package_version('php-symfony-messenger'));
version('phpredis', phpversion('redis'));
version('predis', Predis\Client::VERSION);
class Order
{
    public function __construct(public int $n) {}
}
$dsn = sprintf('redis://%s:%d', HOST, PORT);
$names = array_map(fn ($i) => "k$i", range(0, 19));

foreach (['phpredis' => \Redis::class, 'predis' => \Predis\Client::class] as $name => $class) {
    $redis = RedisAdapter::createConnection($dsn, ['class' => $class, 'timeout' => 10]);
    check("cache with $name, get and save", function () use ($redis) {
        $c = new RedisAdapter($redis, 'app', 60);
        equal([$c->get('made', fn () => 7), $c->get('made', fn () => 8)], [7, 7]);
        $c->save($c->getItem('a')->set(['b' => 1]));
        equal([$c->getItem('a')->get(), $c->hasItem('a'), $c->deleteItem('a'), $c->hasItem('a')], [['b' => 1], true, true, false]);
    });
    check("cache with $name, many", function () use ($redis, $names) {
        $c = new RedisAdapter($redis, 'many', 60);
        foreach ($names as $n) {
            $c->saveDeferred($c->getItem($n)->set($n));
        }
        equal($c->commit(), true);
        $got = array_map(fn ($i) => $i->get(), iterator_to_array($c->getItems($names)));
        equal(array_values($got), $names);
        equal([$c->deleteItems(array_slice($names, 1)), $c->hasItem('k0'), $c->hasItem('k19')], [true, true, false]);
    });
    check("cache with $name, clear of a namespace", function () use ($redis) {
        [$a, $b] = [new RedisAdapter($redis, 'one', 60), new RedisAdapter($redis, 'two', 60)];
        foreach ([$a, $b] as $c) {
            $c->save($c->getItem('x')->set(1));
        }
        equal([$a->clear(), $a->hasItem('x'), $b->hasItem('x')], [true, false, true]);
    });
    check("cache with $name, TagAwareAdapter", function () use ($redis, $names) {
        $c = new TagAwareAdapter(new RedisAdapter($redis, "tags", 60));
        foreach ($names as $i => $n) {
            $c->save($c->getItem($n)->set($n)->tag($i % 2 ? 'odd' : 'even'));
        }
        $c->invalidateTags(['odd']);
        equal([$c->hasItem('k0'), $c->hasItem('k1'), $c->hasItem('k18'), $c->hasItem('k19')], [true, false, true, false]);
    });
    check("cache with $name, RedisTagAwareAdapter", function () use ($redis, $names) {
        $c = new RedisTagAwareAdapter($redis, 'fast', 60);
        foreach ($names as $i => $n) {
            $c->save($c->getItem($n)->set($n)->tag($i % 2 ? 'odd' : 'even'));
        }
        equal($c->invalidateTags(['odd']), true);
        $left = array_filter($names, fn ($n) => $c->hasItem($n));
        equal(array_values($left), array_values(array_filter($names, fn ($n) => substr($n, 1) % 2 == 0)));
    });
    check("lock with $name", function () use ($redis) {
        $f = new LockFactory(new RedisStore($redis));
        $a = $f->createLock('door', 10);
        equal([$a->acquire(), $f->createLock('door', 10)->acquire(), $a->isAcquired()], [true, false, true]);
        $a->refresh(20);
        $a->release();
        equal($f->createLock('door', 1)->acquire(), true);
        [$r1, $r2] = [$f->createLock('hall', 10), $f->createLock('hall', 10)];
        equal([$r1->acquireRead(), $r2->acquireRead(), $f->createLock('hall', 10)->acquire()], [true, true, false]);
    });
}

$transport = fn (string $stream, array $options = []) => new RedisTransport(Connection::fromDsn("$dsn/$stream/group/" . ($options['consumer'] ?? 'me'), $options));
$taken = function ($t) {
    $all = [];
    foreach ($t->get() as $e) {
        $all[] = $e->getMessage()->n;
        $t->ack($e);
    }
    return $all;
};
check('messenger, send and get', function () use ($transport, $taken) {
    $t = $transport('orders');
    for ($i = 0; $i < 10; $i++) {
        $t->send(new Envelope(new Order($i)));
    }
    $all = [];
    until('10 messages', function () use (&$all, $taken, $t) { $all = array_merge($all, $taken($t)); return count($all) == 10; });
    equal($all, range(0, 9));
});
check('messenger, delayed', function () use ($transport, $taken) {
    $t = $transport('later');
    $t->send(new Envelope(new Order(1), [new DelayStamp(700)]));
    $t->send(new Envelope(new Order(2)));
    $all = [];
    until('both', function () use (&$all, $taken, $t) { $all = array_merge($all, $taken($t)); return count($all) == 2; });
    equal($all, [2, 1]);
});
check('messenger, two consumers', function () use ($transport, $taken) {
    [$a, $b] = [$transport('shared', ['consumer' => 'a']), $transport('shared', ['consumer' => 'b'])];
    for ($i = 0; $i < 10; $i++) {
        $a->send(new Envelope(new Order($i)));
    }
    $all = [];
    until('10 messages', function () use (&$all, $taken, $a, $b) { $all = array_merge($all, $taken($a), $taken($b)); return count($all) == 10; });
    sort($all);
    equal($all, range(0, 9));
});
check('messenger, abandoned message', function () use ($transport, $taken) {
    $a = $transport('lost', ['consumer' => 'a', 'redeliver_timeout' => 1, 'claim_interval' => 200]);
    $a->send(new Envelope(new Order(1)));
    iterator_to_array($a->get());
    $b = $transport('lost', ['consumer' => 'b', 'redeliver_timeout' => 1, 'claim_interval' => 200]);
    until('the message again', fn () => $taken($b) === [1]);
});
check('messenger, reject', function () use ($transport) {
    $t = $transport('bad');
    $t->send(new Envelope(new Order(1)));
    foreach ($t->get() as $e) {
        $t->reject($e);
    }
    equal(iterator_to_array($t->get()), []);
});
