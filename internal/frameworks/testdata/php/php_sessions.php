<?php
require __DIR__ . '/checks.php';
// The program runs itself as the visitor's request: php_sessions.php STEP ID.
if ($argc > 1) {
    ini_set('session.save_handler', 'redis');
    ini_set('session.save_path', sprintf('tcp://%s:%d?timeout=5&database=%s&prefix=sess:', HOST, PORT, $argv[3]));
    ini_set('session.use_cookies', 0);
    ini_set('session.cache_limiter', '');
    ini_set('redis.session.locking_enabled', $argv[4]);
    ini_set('redis.session.lock_wait_time', 20000);
    ini_set('redis.session.lock_retries', 500);
    ob_start();
    session_id($argv[2]);
    session_start();
    switch ($argv[1]) {
        case 'count':
            $n = $_SESSION['n'] ?? 0;
            usleep(20000);
            $_SESSION['n'] = $n + 1;
            break;
        case 'renew':
            session_regenerate_id(true);
            break;
        case 'end':
            session_destroy();
            break;
    }
    $out = (session_id() ?: $argv[2]) . ' ' . ($_SESSION['n'] ?? 'none');
    session_write_close();
    ob_end_clean();
    echo 'reply ', $out;
    exit;
}

function request(string $step, string $id, int $database = 0, int $locking = 1)
{
    $p = popen(escapeshellcmd(PHP_BINARY) . ' ' . escapeshellarg(__FILE__) . " $step $id $database $locking 2>&1", 'r');
    return $p;
}
function reply($p): array
{
    preg_match('/reply (\S+) (\S+)/', $text = stream_get_contents($p), $m) || throw new Exception("no reply: $text");
    pclose($p);
    return [$m[1], $m[2]];
}

version('php', PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION);
version('phpredis', phpversion('redis'));

check('a visitor', function () {
    for ($i = 1; $i <= 3; $i++) {
        equal(reply(request('count', 'ada')), ['ada', (string) $i]);
    }
});
check('twenty visitors at once', function () {
    $all = [];
    for ($i = 0; $i < 20; $i++) {
        $all["v$i"] = request('count', "v$i");
    }
    foreach ($all as $id => $p) {
        equal(reply($p), [$id, '1']);
    }
});
check('with locking, one visitor, eight requests at once', function () {
    $all = [];
    for ($i = 0; $i < 8; $i++) {
        $all[] = request('count', 'bob');
    }
    array_map('reply', $all);
    equal(reply(request('read', 'bob'))[1], '8');
});
check('without locking', function () {
    equal([reply(request('count', 'eve', 0, 0)), reply(request('count', 'eve', 0, 0))], [['eve', '1'], ['eve', '2']]);
});
check('regenerate and destroy', function () {
    [$id, $n] = reply(request('renew', 'ada'));
    equal([$id !== 'ada', $n], [true, '3']);
    equal(reply(request('read', 'ada'))[1], 'none');
    reply(request('end', $id));
    equal(reply(request('read', $id))[1], 'none');
});
check('database 1', function () {
    equal([reply(request('count', 'dan', 1)), reply(request('read', 'dan', 0))], [['dan', '1'], ['dan', 'none']]);
});
