<?php
// What every program here shares: where Redis is, and how a check is told.
error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
const LIBRARIES = '/usr/share/php/';
define('HOST', getenv('REDIS_HOST'));
define('PORT', (int) getenv('REDIS_PORT'));

function version(string $name, string $number): void { echo "version $name $number\n"; }

// package_version returns the version of a Debian package without Debian's own part.
function package_version(string $package): string
{
    $full = shell_exec('dpkg-query -W -f \'${Version}\' ' . $package);
    return preg_replace('/\+dfsg.*|-[^-]*$/', '', preg_replace('/^\d+:/', '', $full));
}

// check runs one check and tells how it went.
function check(string $name, callable $f): void
{
    try {
        $f();
        echo "ok $name\n";
    } catch (Throwable $e) {
        echo "not ok $name: ", get_class($e), ': ', substr(preg_replace('/\s+/', ' ', $e->getMessage()), 0, 300), "\n";
    }
}

function equal($got, $want): void
{
    if ($got !== $want) {
        throw new Exception(json_encode($got) . ', not ' . json_encode($want));
    }
}

function until(string $what, callable $condition, float $seconds = 15): void
{
    for ($end = microtime(true) + $seconds; !$condition(); usleep(20000)) {
        if (microtime(true) > $end) {
            throw new Exception("waiting for $what");
        }
    }
}
