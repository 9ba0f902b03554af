<?php
require __DIR__ . '/checks.php';
version('phpredis', phpversion('redis'));

function connected(): Redis
{
    $r = new Redis();
    $r->connect(HOST, PORT, 2);
    return $r;
}
$r = connected();

check('strings, hashes, sorted sets', function () use ($r) {
    equal([$r->set('a', '1'), $r->incr('a'), $r->get('a'), $r->get('none')], [true, 2, '2', false]);
    equal([$r->hMSet('h', ['x' => 1, 'y' => 2]), $r->hGetAll('h')], [true, ['x' => '1', 'y' => '2']]);
    equal([$r->zAdd('z', 1, 'a', 2, 'b'), $r->zRange('z', 0, -1, true)], [2, ['a' => 1.0, 'b' => 2.0]]);
});
check('mSet, mGet, del, exists', function () use ($r) {
    $all = [];
    for ($i = 0; $i < 30; $i++) {
        $all["m$i"] = (string) $i;
    }
    equal($r->mSet($all), true);
    equal($r->mGet(array_keys($all)), array_values($all));
    equal([$r->exists('m0', 'm29', 'none'), $r->del(array_keys($all))], [2, 30]);
});
check('set nx and ex', function () use ($r) {
    equal([$r->set('once', 'a', ['nx', 'ex' => 60]), $r->set('once', 'b', ['nx', 'ex' => 60]), $r->ttl('once') > 50], [true, false, true]);
});
check('pipeline', function () use ($r) {
    $p = $r->pipeline();
    for ($i = 0; $i < 50; $i++) {
        $p->set("p$i", $i)->get("p$i");
    }
    $replies = $p->exec();
    equal([count($replies), $replies[99]], [100, '49']);
});
check('multi on one key', function () use ($r) { equal($r->multi()->set('t', 1)->incr('t')->exec(), [true, 2]); });
check('multi on several keys', function () use ($r) { equal($r->multi()->set('t1', 1)->set('t2', 2)->get('t1')->exec(), [true, true, '1']); });
check('the connection after a multi', function () use ($r) { equal([$r->getMode(), $r->set('lock', 1, ['nx']), $r->set('lock', 1, ['nx'])], [Redis::ATOMIC, true, false]); });
check('watch', function () use ($r) {
    $c = connected();
    $c->watch('w');
    $r->set('w', 1);
    equal($c->multi()->set('w', 2)->exec(), false);
});
check('scan with both retry modes', function () use ($r) {
    foreach ([Redis::SCAN_NORETRY, Redis::SCAN_RETRY] as $mode) {
        $r->setOption(Redis::OPT_SCAN, $mode);
        $it = null;
        $found = [];
        while (($keys = $r->scan($it, 'p*', 10)) !== false) {
            $found = array_merge($found, $keys);
        }
        equal(count(array_unique($found)), 50);
    }
});
check('eval and evalSha', function () use ($r) {
    $script = 'return redis.call("incrby", KEYS[1], ARGV[1])';
    equal([$r->eval($script, ['e', 5], 1), $r->evalSha(sha1($script), ['e', 5], 1)], [5, 10]);
});
check('blocking pops', function () use ($r) {
    $r->rPush('q3', 'job');
    equal($r->blPop(['q1', 'q2', 'q3', 'q4'], 5), ['q3', 'job']);
    equal($r->brPop(['q1', 'q2'], 1), []);
});
check('streams', function () use ($r) {
    $r->xGroup('CREATE', 's', 'g', '0', true);
    $id = $r->xAdd('s', '*', ['k' => 'v']);
    equal($r->xReadGroup('g', 'me', ['s' => '>']), ['s' => [$id => ['k' => 'v']]]);
    equal($r->xAck('s', 'g', [$id]), 1);
});
check('prefix and serializer', function () {
    $c = connected();
    $c->setOption(Redis::OPT_PREFIX, 'app:');
    $c->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
    equal([$c->set('o', ['a' => 1]), $c->get('o')], [true, ['a' => 1]]);
    equal(connected()->exists('app:o'), 1);
});
check('pconnect', function () {
    $a = new Redis();
    $a->pconnect(HOST, PORT, 2, 'x');
    $a->set('pc', 1);
    $a->close();
    $b = new Redis();
    $b->pconnect(HOST, PORT, 2, 'x');
    equal($b->get('pc'), '1');
});
check('pconnect and select', function () {
    $a = new Redis();
    $a->pconnect(HOST, PORT, 2, 'y');
    equal([$a->select(1), $a->set('pc', 2), $a->select(0), $a->get('pc')], [true, true, true, '1']);
});
check('rawCommand, object, errors', function () use ($r) {
    equal([$r->rawCommand('ECHO', 'x'), $r->object('encoding', 'a'), $r->lPush('a', 1)], ['x', 'int', false]);
    equal(substr($r->getLastError(), 0, 9), 'WRONGTYPE');
});
check('publish and subscribe', function () {
    $code = 'usleep(200000); $r = new Redis(); $r->connect(getenv("REDIS_HOST"), getenv("REDIS_PORT")); $r->publish("news", "hi");';
    $p = proc_open([PHP_BINARY, '-r', $code], [], $pipes);
    $c = connected();
    $c->setOption(Redis::OPT_READ_TIMEOUT, 5);
    $got = [];
    try {
        $c->subscribe(['news', 'sport'], function ($c, $channel, $text) use (&$got) { $got[] = "$channel $text"; });
    } catch (RedisException $e) { // nothing more for 5 s
    }
    proc_close($p);
    equal($got, ['news hi']);
});
