package conf

// preset is the keys of a framework that belong together, for `together`.
type preset struct {
	name     string   // as in together = ["@NAME"]; the keys' place on the ring, unless their pattern captures
	patterns []string // as hashring.ParsePattern reads them
	tried    string   // the versions that it was tried with
}

// presets are listed in docs/operations.md too. A change of a name or a pattern moves
// keys of pools that have the preset; a further pattern moves those that match it.
var presets = []preset{
	// All queues are together: the parent of a flow may be in another queue, and
	// BullMQ's scripts make up the parent's keys.
	{"bullmq", []string{`bull:*`}, "BullMQ 6.7.0"},

	// Each queue by its name.
	{"bull", []string{`bull:(*):*`}, "Bull 4.16.5"},
	{"bee-queue", []string{`bq:(*):*`}, "bee-queue 2.0.0"},

	{"resque", []string{`resque:*`}, "node-resque 9.7.1"},

	// MULTI has the keys of a job and of its queue.
	{"rq", []string{`rq:*`}, "RQ 1.13.0"},

	// The queue named celery, with its priorities (celery\x06\x163); results and chords
	// (celery-task-meta-ID, celery-taskset-meta-ID.t); the queues of `celery inspect`
	// (NAME@HOST.celery.pidbox, UUID.reply.celery.pidbox); messages that are not
	// acknowledged, which go back to their queue in a MULTI. Other queues have names of
	// their own: an entry with the name celery adds them.
	{"celery", []string{`celery*`, `_kombu.binding.*`, `unacked`, `unacked_index`, `unacked_mutex`, `*.celery.pidbox*`}, "Celery 5.2.6 with kombu 5.2.4"},

	// The heartbeat's MULTI has keys that begin with the name of a host besides: an
	// entry with the name sidekiq adds them.
	{"sidekiq", []string{`queue:*`, `queues`, `schedule`, `retry`, `dead`, `processes`, `paused`, `stat:*`}, "Sidekiq 6.4.1"},

	// Laravel puts a name made of APP_NAME before _database_ and _cache.
	{"laravel", []string{`*_database_queues:(*):*`, `*_database_queues:(*)`}, "Illuminate 8.83"},
	{"laravel-cache", []string{`*_database_*_cache*`}, "Illuminate 8.83"},

	// A message to a group is a script with the keys of many channels.
	{"channels", []string{`asgi*`}, "channels_redis 4.0.0"},

	// set_many is a MULTI. With KEY_PREFIX the keys begin with that.
	{"django-cache", []string{`:*:*`}, "django-redis 5.2.0"},
	{"keyv", []string{`keyv:*`}, "keyv 5.6.0 with @keyv/redis 5.1.6"},
}
