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
		name: "Bull", program: "node/bull.mjs",
		tries: "jobs alone and in bulk, delayed, by priority, retried, repeated; events, rate limits, pause, clean, removal by pattern",
		settings: []setting{
			{line: `together = ["@bull"]`},
			{line: `allow_commands = ["keys"]`, always: true, checks: []string{"empty"}},
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
		name: "Sidekiq", program: "ruby/sidekiq.rb",
		tries: "three weighted queues, bulk, scheduled jobs, retries, dead jobs, statistics, processes",
		settings: []setting{
			{line: `transactions = "per_shard"`},
		},
	},
	{
		name: "Celery", program: "python/celery_jobs.py",
		tries: "three queues, priorities, countdown, retries, group, chord, chain, inspect, revoke; Kombu's SimpleQueue",
		settings: []setting{
			{line: `together = ["@celery", { name = "celery", keys = ["urgent*", "slow*", "kombu*", "nobody*"] }]`},
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
		name: "Laravel's cache", program: "php/laravel_cache.php",
		tries: "with phpredis and Predis: many, putMany, locks, throttle, funnel, rate limiter, tags",
		settings: []setting{
			{line: `allow_commands = ["flushdb"]`, always: true, checks: []string{"phpredis, flush", "predis, flush"}},
			{line: `transactions = "per_shard"`, checks: []string{"phpredis, putMany", "predis, putMany", "phpredis, transaction on several keys", "predis, transaction on several keys"}},
			{line: `together = ["*_database_gate*"]`, checks: []string{"phpredis, funnel", "predis, funnel"}},
		},
	},
	{
		name: "Django's cache and sessions", program: "python/django_cache.py",
		tries: "django-redis: set_many, delete_pattern, versions, locks, serializers, sessions",
		settings: []setting{
			{line: `allow_commands = ["flushdb", "keys"]`, always: true, checks: []string{"clear", "keys"}},
			{line: `transactions = "per_shard"`, checks: []string{"set_many and get_many", "raw pipeline"}},
		},
	},
	{
		name: "Rails' cache", program: "ruby/rails_cache.rb",
		tries: "RedisCacheStore: write_multi, fetch_multi, increment, delete_matched, 3 MB, expiry",
		settings: []setting{
			{line: `allow_commands = ["flushdb"]`, always: true, checks: []string{"clear without a namespace"}},
		},
	},
	{
		name: "PHP's sessions", program: "php/php_sessions.php",
		tries: "with and without locks, twenty visitors, eight requests of one, regenerate, destroy",
	},
	{
		name: "phpredis", program: "php/phpredis.php",
		tries: "pipelines, transactions, WATCH, both modes of SCAN, scripts, blocking pops, streams, pconnect, Pub/Sub",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"multi on several keys"}},
		},
	},
	{
		name: "Predis", program: "php/predis.php",
		tries: "pipelines, transactions, optimistic locking, iterators, scripts, blocking pops, Pub/Sub, sessions",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"transaction on several keys"}},
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
		name: "Keyv", program: "node/keyv.mjs",
		tries: "get, set, many at once, namespaces, iterators, clear, expiry",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"setMany", "deleteMany", "hasMany"}},
		},
	},
	{
		name: "cacheable", program: "node/cacheable.mjs",
		tries: "two layers over Keyv: many at once, take, wrap, clear, expiry",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"setMany and getMany", "deleteMany"}},
		},
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
		name: "Django Channels", program: "python/channels_layers.py",
		tries: "core and pub/sub layer: channels and groups over processes, capacity, flush",
		settings: []setting{
			{line: `together = ["@channels"]`},
		},
	},
	{
		name: "Symfony", program: "php/symfony.php",
		tries: "cache, lock and Messenger, with phpredis and Predis: tags, namespaces, delayed and abandoned messages",
		settings: []setting{
			{line: `together = ["fast:*"]`, checks: []string{"cache with phpredis, RedisTagAwareAdapter", "cache with predis, RedisTagAwareAdapter"}},
		},
	},
	{
		name: "ioredis", program: "node/ioredis.mjs",
		tries: "pipelines, autopipelining, transactions, WATCH, scripts, streams, blocking pops, Pub/Sub, SCAN",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"multi on several keys"}},
		},
	},
	{
		name: "node-redis", program: "node/node-redis.mjs",
		tries: "RESP2 and RESP3: transactions, WATCH, client-side cache, pool, Pub/Sub, functions, streams, iterators",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"RESP2, multi on several keys", "RESP3, multi on several keys"}},
		},
	},
	{
		name: "go-redis", program: "go/goredis",
		tries: "RESP2 and RESP3: pipelines, transactions, WATCH, scripts, Pub/Sub, blocking pops, streams, SCAN",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"RESP2, TxPipelined on several keys", "RESP3, TxPipelined on several keys"}},
		},
	},
	{
		name: "rueidis", program: "go/rueidis",
		tries: "DoMulti, client-side caching, dedicated clients, Pub/Sub, blocking pops, locks",
		settings: []setting{
			{line: `transactions = "per_shard"`, checks: []string{"MGetCache in one command"}},
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
		name: "redis-cli", program: "python/redis_cli.py",
		tries: "--pipe, --scan, --bigkeys, --memkeys, --stat, --latency, -3, -n, -u",
	},
	{
		name: "redis_exporter and HAProxy", program: "python/monitoring.py",
		tries: "the exporter's metrics; redis-check and tcp-check",
	},
}
