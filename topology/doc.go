// Package topology is the control plane of a proxy. It finds out which servers serve each
// pool, and in which role, and keeps package pool informed. It runs on goroutines of its own
// and speaks to servers through go-redis; the data path neither waits for it nor imports it.
//
//	watcher := topology.New(log)
//	defer watcher.Stop()
//	p, err := pool.New(&cfg.Pools[0], &cfg.Proxy, watcher, log)
//	if err != nil {
//		return err
//	}
//	watcher.Watch(p)
//
// # Who decides
//
// What is watched depends on the pool's topology:
//
//	topology    finds                      decides by                       asks
//	static      servers that are back      one PING                         servers that are down
//	replicated  the primary of a shard     replicationHistory               all servers of the shard
//	sentinel    the primary of a master    votes; then the server itself    all Sentinels and all servers
//	cluster     who serves each slot       clusterMap.merge                 some servers, others each round
//
// A Prober serves static pools. Each other pool has a follower: one goroutine (run) that makes
// all decisions for the pool and owns all of its state, so that none of that needs a lock. The
// deciders do no I/O and read no clock; tables and fuzz tests cover them.
//
// # Who runs what
//
// Everything that may block runs on a goroutine of its own and hands its results to the
// follower:
//
//	replicated and Sentinel pools:
//
//	event loops        Watcher.Suspect           sharedState.suspects ──▶ ┐
//	one per server     poller.run                PING, INFO, ROLE ──────▶ │              SetView, SetReplicas,
//	one per server (S) closeWatcher.run          closed by the server ──▶ │ follower.run Hold, HoldReplies …
//	one per shard  (S) askRole                   INFO, ROLE ────────────▶ │ (decides) ─────────────────▶ pool.Pool
//	one per Sentinel   sentinelLink.run          SENTINEL MASTER … ─────▶ │
//	one per Sentinel   sentinelLink.listen       the Sentinel's events ─▶ ┘
//
//	Cluster pools:
//
//	event loops        Watcher.Suspect           clusterFollower.wake ──▶ ┐ clusterFollower.run  SetCluster
//	one per question   clusterAsker.ask          CLUSTER SHARDS … ──────▶ ┘ (decides) ─────────▶ pool.Pool
//
// (S) marks what only Sentinel pools have, besides the links to Sentinels. Goroutines other than
// event loops post to the follower's mailbox, or to a channel of answers in Cluster pools. Each
// pool also has a goroutine that learns the servers' version and commands, and with
// resolve_interval one that resolves host names.
//
// A pollInterval is shared by those that ask about the same thing. They ask once in a
// probe_interval (1 s by default), and every 20 ms while something may be changing: after a
// suspicion of the data path, an event of a Sentinel, or an answer that differs from before.
//
// Goroutines that last run under supervise: a panic ends what one of them does, is counted and
// logged, and the work begins anew. Those that ask one question only catch the panic. All end
// with the Watcher's context, and Stop waits for them.
package topology
