<?php
require __DIR__ . '/checks.php';
require LIBRARIES . 'Predis/autoload.php';
version('predis', Predis\Client::VERSION);
$client = fn (array $options = []) => new Predis\Client(['host' => HOST, 'port' => PORT, 'read_write_timeout' => 15], $options);
$r = $client();

check('commands', function () use ($r) {
    equal([(string) $r->set('a', 1), $r->incr('a'), $r->get('none')], ['OK', 2, null]);
    equal([$r->hmset('h', ['x' => 1, 'y' => 2])->getPayload(), $r->hgetall('h')], ['OK', ['x' => '1', 'y' => '2']]);
});
check('mset, mget, del', function () use ($r) {
    $all = array_combine(array_map(fn ($i) => "m$i", range(0, 29)), array_map('strval', range(0, 29)));
    $r->mset($all);
    equal([$r->mget(array_keys($all)), $r->del(array_keys($all))], [array_values($all), 30]);
});
check('pipeline', function () use ($r) {
    $replies = $r->pipeline(function ($p) {
        for ($i = 0; $i < 50; $i++) {
            $p->set("p$i", $i);
            $p->get("p$i");
        }
    });
    equal([count($replies), $replies[99]], [100, '49']);
});
check('transaction on one key', function () use ($r) {
    $replies = $r->transaction(function ($tx) { $tx->set('t', 1); $tx->incr('t'); });
    equal($replies[1], 2);
});
check('transaction on several keys', function () use ($r) {
    $replies = $r->transaction(function ($tx) { $tx->set('t1', 1); $tx->set('t2', 2); $tx->get('t1'); });
    equal($replies[2], '1');
});
check('the connection after a transaction', function () use ($r) {
    equal([(string) $r->set('lock', 1, 'NX'), $r->set('lock', 1, 'NX')], ['OK', null]);
});
check('optimistic transaction', function () use ($r, $client) {
    $r->set('cas', 1);
    $tries = 0;
    $replies = $r->transaction(['cas' => true, 'watch' => 'cas', 'retry' => 3], function ($tx) use (&$tries, $client) {
        $n = $tx->get('cas'); // the first command sends WATCH
        if (++$tries == 1) {
            $client()->set('cas', 5);
        }
        $tx->multi();
        $tx->set('cas', $n + 1);
    });
    equal([$tries, $r->get('cas')], [2, '6']);
});
check('iterators', function () use ($r) {
    equal(count(array_unique(iterator_to_array(new Predis\Collection\Iterator\Keyspace($r, 'p*', 10), false))), 50);
    equal(iterator_to_array(new Predis\Collection\Iterator\HashKey($r, 'h')), ['x' => '1', 'y' => '2']);
});
check('scripts', function () use ($r) {
    equal([$r->eval('return redis.call("incrby", KEYS[1], ARGV[1])', 1, 'e', 5)], [5]);
    equal($r->evalsha(sha1('return redis.call("incrby", KEYS[1], ARGV[1])'), 1, 'e', 5), 10);
});
check('blocking pop of several keys', function () use ($r) {
    $r->rpush('q3', ['job']);
    equal($r->blpop(['q1', 'q2', 'q3', 'q4'], 5), ['q3', 'job']);
});
check('prefix', function () use ($r, $client) {
    $client(['prefix' => 'app:'])->set('o', 1);
    equal($r->exists('app:o'), 1);
});
check('pubSubLoop', function () use ($client) {
    $loop = $client()->pubSubLoop();
    $loop->subscribe('news', 'sport');
    $got = [];
    foreach ($loop as $m) {
        if ($m->kind == 'subscribe' && $m->payload == 2) {
            $client()->publish('sport', 'hi');
        } elseif ($m->kind == 'message') {
            $got[] = "$m->channel $m->payload";
            $loop->unsubscribe();
        }
    }
    equal($got, ['sport hi']);
});
check('sessions', function () use ($client) {
    $h = new Predis\Session\Handler($client(['prefix' => 'session:']), ['gc_maxlifetime' => 60]);
    $h->write('id', 'data');
    equal([$h->read('id'), $h->destroy('id'), $h->read('id')], ['data', true, '']);
});
