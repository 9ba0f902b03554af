<?php
// The parts of Laravel that laravel_cache.php and laravel_queue.php use.
require_once __DIR__ . '/checks.php';
foreach (['Support', 'Redis', 'Cache', 'Queue', 'Events', 'Bus', 'Container'] as $part) {
    require_once LIBRARIES . "Illuminate/$part/autoload.php";
}
require_once LIBRARIES . 'Predis/autoload.php';

class Application extends Illuminate\Container\Container
{
    public function isDownForMaintenance() { return false; }
    public function environment(...$names) { return false; }
}

$app = new Application();
Illuminate\Container\Container::setInstance($app);
Illuminate\Support\Facades\Facade::setFacadeApplication($app);
$app->instance('app', $app);
$app->singleton('events', fn () => new Illuminate\Events\Dispatcher($app));
$app->singleton(Illuminate\Contracts\Events\Dispatcher::class, fn () => $app['events']);
$app->singleton(Illuminate\Contracts\Bus\Dispatcher::class, fn () => new Illuminate\Bus\Dispatcher($app));
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, fn () => new class implements Illuminate\Contracts\Debug\ExceptionHandler {
    public function report(Throwable $e) {}
    public function shouldReport(Throwable $e) { return false; }
    public function render($request, Throwable $e) {}
    public function renderForConsole($output, Throwable $e) {}
});

// redis returns Laravel's manager of connections, for phpredis or predis.
function redis(string $driver): Illuminate\Redis\RedisManager
{
    global $app;
    $server = ['host' => HOST, 'port' => PORT, 'database' => 0, 'read_write_timeout' => 15, 'read_timeout' => 15];
    return new Illuminate\Redis\RedisManager($app, $driver, ['options' => ['prefix' => 'laravel_database_'], 'default' => $server, 'cache' => ['database' => 1] + $server]);
}
