<?php
require __DIR__ . '/laravel.php';
version('illuminate', package_version('php-illuminate-cache'));
version('phpredis', phpversion('redis'));
version('predis', Predis\Client::VERSION);

foreach (['phpredis', 'predis'] as $driver) {
    $redis = redis($driver);
    $store = fn (string $connection = 'default') => new Illuminate\Cache\Repository(new Illuminate\Cache\RedisStore($redis, $driver . '_cache', $connection));
    $cache = $store();
    check("$driver, get, put, add, remember", function () use ($cache) {
        equal([$cache->put('a', ['b' => 1], 60), $cache->get('a')], [true, ['b' => 1]]);
        equal([$cache->add('once', 'a', 60), $cache->add('once', 'b', 60), $cache->get('once')], [true, false, 'a']);
        equal([$cache->remember('made', 60, fn () => 'x'), $cache->remember('made', 60, fn () => 'y')], ['x', 'x']);
        equal([$cache->increment('n', 5), $cache->decrement('n')], [5, 4]);
        equal([$cache->pull('a'), $cache->has('a'), $cache->forget('once')], [['b' => 1], false, true]);
    });
    check("$driver, many", function () use ($cache) {
        $cache->put('m1', 'x', 60);
        equal($cache->many(['m1', 'none']), ['m1' => 'x', 'none' => null]);
    });
    check("$driver, putMany", function () use ($cache) {
        $all = array_combine(array_map(fn ($i) => "k$i", range(0, 19)), range('a', 't'));
        equal([$cache->putMany($all, 60), $cache->many(array_keys($all))], [true, $all]);
    });
    check("$driver, the connection after putMany", function () use ($cache) {
        equal([$cache->add('after', 'x', 60), $cache->add('after', 'y', 60), $cache->get('after')], [true, false, 'x']);
    });
    check("$driver, locks", function () use ($cache) {
        $a = $cache->lock('door', 10);
        equal([$a->get(), $cache->lock('door', 10)->get(), $a->release(), $cache->lock('door', 10)->get()], [true, false, true, true]);
        equal($cache->lock('hall', 10)->block(5, fn () => 'inside'), 'inside');
    });
    check("$driver, throttle", function () use ($redis, $driver) {
        $did = 0;
        for ($i = 0; $i < 5; $i++) {
            $redis->connection()->throttle("$driver-api")->allow(3)->every(10)->block(0)->then(function () use (&$did) { $did++; }, fn () => null);
        }
        equal($did, 3);
    });
    check("$driver, funnel", function () use ($redis) {
        $most = 0;
        $inside = function () use ($redis, &$inside, &$most) {
            $most++;
            $redis->connection()->funnel('gate')->limit(3)->block(0)->then($inside, fn () => null);
        };
        $redis->connection()->funnel('gate')->limit(3)->block(0)->then($inside, fn () => null);
        equal($most, 3);
    });
    check("$driver, rate limiter", function () use ($cache) {
        $limiter = new Illuminate\Cache\RateLimiter($cache);
        for ($i = 0; $i < 3; $i++) {
            $limiter->hit('login', 60);
        }
        equal([$limiter->tooManyAttempts('login', 3), $limiter->remaining('login', 5)], [true, 2]);
    });
    check("$driver, tags", function () use ($cache) {
        $cache->tags(['people', 'artists'])->put('ada', 'a', 60);
        $cache->tags(['people'])->put('bob', 'b', 60);
        equal([$cache->tags(['people', 'artists'])->get('ada'), $cache->tags(['people'])->get('bob')], ['a', 'b']);
        $cache->tags('artists')->flush();
        equal([$cache->tags(['people', 'artists'])->get('ada'), $cache->tags(['people'])->get('bob')], [null, 'b']);
    });
    check("$driver, transaction on several keys", function () use ($redis) {
        $replies = $redis->connection()->transaction(function ($tx) { $tx->set('t1', 1); $tx->set('t2', 2); });
        equal(count($replies), 2);
    });
    check("$driver, database 1", function () use ($store) {
        equal([$store('cache')->put('d', 'x', 60), $store('cache')->get('d'), $store()->get('d')], [true, 'x', null]);
    });
    check("$driver, flush", function () use ($store) {
        $store('cache')->put('f', 1, 60);
        equal([$store('cache')->flush(), $store('cache')->get('f')], [true, null]);
    });
}
