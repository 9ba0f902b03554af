package frameworks

import (
	"maps"
	"slices"
)

// framework is one row of the table in docs/frameworks.md.
type framework struct {
	name    string
	program string // its file or package under testdata
	tries   string // what the program does, for the document

	settings []setting

	// Checks that fail on several shards whatever is set, with the reason.
	cannot map[string]string
}

// setting is a line of the pool's configuration that a framework needs.
type setting struct {
	line   string
	always bool     // also with one shard
	checks []string // the checks that need it; none: it is needed for anything
}

// lines returns the pool's settings for so many shards.
func (f framework) lines(shards int) (lines []string) {
	for _, s := range f.settings {
		if s.always || shards > 1 {
			lines = append(lines, s.line)
		}
	}
	return lines
}

// worksByDefault reports whether no setting is needed for the framework as such.
func (f framework) worksByDefault() bool {
	return !slices.ContainsFunc(f.settings, func(s setting) bool { return len(s.checks) == 0 })
}

// failsByDefault returns the checks that need a setting, with its line, and those that
// fail anyway.
func (f framework) failsByDefault() map[string]string {
	checks := maps.Clone(f.cannot)
	if checks == nil {
		checks = map[string]string{}
	}
	for _, s := range f.settings {
		for _, check := range s.checks {
			checks[check] = s.line
		}
	}
	return checks
}

var frameworks = []framework{
	{
		name: "BullMQ", program: "node/bullmq.mjs",
		tries: "jobs alone and in bulk, delayed, by priority, retried; schedulers, flows, events, rate limits, stalled jobs, obliterate",
		settings: []setting{
			{line: `together = ["@bullmq"]`},
		},
	},
	{
		name: "bee-queue", program: "node/bee-queue.mjs",
		tries: "jobs with concurrency 3, saveAll, retries, delays, progress, stalled jobs; a worker that leaves",
		settings: []setting{
			{line: `together = ["@bee-queue"]`},
		},
	},
	{
		name: "node-resque", program: "node/node-resque.mjs",
		tries: "workers on three queues, scheduler, delayed jobs, failed jobs, locks",
		settings: []setting{
			{line: `together = ["@resque"]`},
		},
	},
	{
		name: "RQ", program: "python/rq_jobs.py",
		tries: "workers on three queues, bulk, retries, failures, dependencies, scheduled jobs, cancellation",
		settings: []setting{
			{line: `together = ["@rq"]`},
		},
	},
	{
		name: "Laravel's queue", program: "php/laravel_queue.php",
		tries: "with phpredis and Predis: three queues, later, bulk, failed jobs, lost jobs, a worker that waits, clear",
		settings: []setting{
			{line: `together = ["@laravel"]`},
		},
	},
	{
		name: "PHP's sessions", program: "php/php_sessions.php",
		tries: "with and without locks, twenty visitors, eight requests of one, regenerate, destroy",
		settings: []setting{
			{line: `databases = 16`, always: true, checks: []string{"database 1"}},
		},
	},
	{
		name: "connect-redis", program: "node/connect-redis.mjs",
		tries: "express-session over HTTP: login, regenerate, destroy; all, ids, length, clear, expiry",
	},
	{
		name: "rate-limiter-flexible", program: "node/rate-limiter-flexible.mjs",
		tries: "with ioredis and node-redis: consume, block, penalty, bursts, unions",
	},
	{
		name: "Redlock", program: "node/redlock.mjs",
		tries: "one holder, extension, contention, several resources",
		settings: []setting{
			{line: `together = ["lock:*"]`, checks: []string{"several resources"}},
		},
	},
	{
		name: "Socket.IO adapters", program: "node/socket.io.mjs",
		tries: "pub/sub, sharded pub/sub and streams, each with node-redis and ioredis, over two servers: rooms, broadcast, acknowledgements, fetchSockets",
	},
	{
		name: "Symfony", program: "php/symfony.php",
		tries: "cache, lock and Messenger, with phpredis and Predis: tags, namespaces, delayed and abandoned messages",
		settings: []setting{
			{line: `together = ["fast:*"]`, checks: []string{"cache with phpredis, RedisTagAwareAdapter", "cache with predis, RedisTagAwareAdapter"}},
		},
	},
	{
		name: "redsync", program: "go/redsync",
		tries: "with go-redis and redigo: one holder, extension, contention",
	},
	{
		name: "asynq", program: "go/asynq",
		tries: "three queues, delayed, retried, unique and periodic tasks, groups, results, cancellation, inspection",
	},
	{
		name: "machinery", program: "go/machinery",
		tries: "results, delayed tasks, retries, failures, groups, chords, chains",
	},
	{
		name: "Redis.pm", program: "perl/redis.pl",
		tries: "pipelines, transactions, WATCH, Pub/Sub, blocking pops, SCAN, ties",
	},
	{
		name: "hiredis", program: "c/hiredis.c",
		tries: "a pipeline of 1000, blocking pops, a subscription, a transaction",
	},
	{
		name: "redis_exporter and HAProxy", program: "python/monitoring.py",
		tries: "the exporter's metrics; redis-check and tcp-check",
	},
}
