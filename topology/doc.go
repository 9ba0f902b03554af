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
//	event loops ── Watcher.Suspect ──▶ sharedState.suspects ──┐
//	                                                          ▼
//	one per server    poller.run             PING, INFO, ROLE   ──▶ ┌──────────────┐
//	one per server    closeWatcher.run   (S) it was closed      ──▶ │ mailbox of   │ SetView, SetReplicas,
//	one per shard     askRole            (S) INFO, ROLE         ──▶ │ follower.run │ Hold, HoldReplies, …
//	one per Sentinel  sentinelLink.run   (S) SENTINEL MASTER …  ──▶ │ (decides)    │ ──▶ pool.Pool ──▶ event loops
//	one per Sentinel  sentinelLink.listen(S) its events         ──▶ └──────────────┘
//
//	event loops ── Watcher.Suspect ──▶ clusterFollower.wake ──┐
//	                                                          ▼
//	one per question  clusterAsker.ask   (C) CLUSTER SHARDS …   ──▶ clusterFollower.run ──▶ Pool.SetCluster
//
// (S) marks what only Sentinel pools have, (C) Cluster pools; the others are for both
// replicated and Sentinel pools. Besides, each pool has a goroutine that learns the servers'
// version and commands, and with resolve_interval one that resolves host names.
//
// A pollInterval is shared by those that ask about the same thing. They ask once in a
// probe_interval (1 s by default), and every 20 ms while something may be changing: after a
// suspicion of the data path, an event of a Sentinel, or an answer that differs from before.
//
// All of these goroutines run under supervise: a panic ends what one of them does, is counted
// and logged, and the work begins anew. All end with the Watcher's context, and Stop waits for
// them.
package topology
