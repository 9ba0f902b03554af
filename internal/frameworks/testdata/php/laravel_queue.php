<?php
require __DIR__ . '/laravel.php';
version('illuminate', package_version('php-illuminate-queue'));
version('phpredis', phpversion('redis'));
version('predis', Predis\Client::VERSION);

class Note
{
    public static array $seen = [];
    public function fire($job, $data)
    {
        self::$seen[] = $data['n'];
        $job->delete();
    }
}
class Fails
{
    public function fire($job, $data)
    {
        Note::$seen[] = 'try ' . $job->attempts();
        throw new Exception('no');
    }
}

foreach (['phpredis', 'predis'] as $driver) {
    $app['redis'] = redis($driver);
    $manager = new Illuminate\Queue\QueueManager($app);
    $app['config'] = ['queue.default' => 'redis', 'queue.connections.redis' => ['driver' => 'redis', 'connection' => 'default', 'queue' => 'default', 'retry_after' => 1, 'block_for' => 1]];
    $manager->addConnector('redis', fn () => new Illuminate\Queue\Connectors\RedisConnector($app['redis']));
    $queue = $manager->connection();
    $worker = new Illuminate\Queue\Worker($manager, $app['events'], $app[Illuminate\Contracts\Debug\ExceptionHandler::class], fn () => false);
    $work = fn (string $queues, int $tries = 1) => $worker->runNextJob('redis', $queues, new Illuminate\Queue\WorkerOptions('default', 0, 128, 60, 0, $tries));
    $fresh = function () { Note::$seen = []; };

    check("$driver, push and work", function () use ($queue, $work, $fresh) {
        $fresh();
        for ($i = 0; $i < 10; $i++) {
            $queue->push('Note', ['n' => $i]);
        }
        equal($queue->size(), 10);
        for ($i = 0; $i < 10; $i++) {
            $work('default');
        }
        equal([Note::$seen, $queue->size()], [range(0, 9), 0]);
    });
    check("$driver, three queues in order", function () use ($queue, $work, $fresh) {
        $fresh();
        foreach (['low', 'high', 'mail'] as $i => $name) {
            $queue->push('Note', ['n' => $name], $name);
        }
        for ($i = 0; $i < 3; $i++) {
            $work('high,mail,low');
        }
        equal(Note::$seen, ['high', 'mail', 'low']);
    });
    check("$driver, later", function () use ($app, $queue, $work, $fresh) {
        $fresh();
        $queue->later(1, 'Note', ['n' => 'late']);
        equal([Note::$seen, $app['redis']->connection()->zcard('queues:default:delayed')], [[], 1]);
        until('the job', function () use ($work) { $work('default'); return Note::$seen === ['late']; });
    });
    check("$driver, bulk", function () use ($queue, $work, $fresh) {
        $fresh();
        $queue->bulk(array_fill(0, 5, 'Note'), ['n' => 'b'], 'bulk');
        equal($queue->size('bulk'), 5);
        for ($i = 0; $i < 5; $i++) {
            $work('bulk');
        }
        equal(count(Note::$seen), 5);
    });
    check("$driver, failed job is tried again", function () use ($queue, $work, $fresh) {
        $fresh();
        $queue->push('Fails', [], 'fails');
        $work('fails', 2);
        $work('fails', 2);
        equal(Note::$seen, ['try 1', 'try 2']);
    });
    check("$driver, a job that nobody ended comes again", function () use ($app, $queue, $work, $fresh) {
        $fresh();
        $queue->push('Note', ['n' => 'again'], 'lost');
        equal($queue->pop('lost')->attempts(), 1);
        equal($app['redis']->connection()->zcard('queues:lost:reserved'), 1);
        until('the job', function () use ($work) { $work('lost', 5); return Note::$seen === ['again']; });
    });
    check("$driver, a worker that waits", function () use ($queue, $work, $fresh) {
        $fresh();
        $start = microtime(true);
        $work('empty');
        $queue->push('Note', ['n' => 'w'], 'empty');
        $work('empty');
        equal([Note::$seen, microtime(true) - $start > 0.5], [['w'], true]);
    });
    check("$driver, clear", function () use ($queue) {
        for ($i = 0; $i < 5; $i++) {
            $queue->push('Note', ['n' => $i], 'full');
        }
        equal([$queue->clear('full'), $queue->size('full')], [5, 0]);
    });
}
