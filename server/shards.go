package server

import (
	"fmt"
	"strings"
	"time"

	"ringway/pool"
)

// ShardState is a shard of a pool, as all loops see it.
type ShardState struct {
	pool.ShardState
	Phase pool.ShardPhase // on the loop where it is worst
}

// ShardStates returns the shards of a pool, in their order; none if there is no such pool. It waits for
// the loops as HotKeys does; any goroutine may call it but a loop's.
func (srv *Server) ShardStates(poolName string) (states []ShardState) {
	index := srv.poolIndex(poolName)
	if index < 0 {
		return nil
	}
	for _, st := range srv.now().listeners[index].pool.ShardStates() {
		states = append(states, ShardState{ShardState: st})
	}
	for _, phases := range eachLoop(srv, func(l *loop) []pool.ShardPhase { return l.sessions.ShardPhases(index) }) {
		for i := range states {
			if st := &states[i]; st.Index < len(phases) {
				st.Phase = max(st.Phase, phases[st.Index])
			}
		}
	}
	return states
}

// reconnectTimeout is how long one loop may take to connect to a server anew: its requests are
// answered first.
const reconnectTimeout = 30 * time.Second

// Reconnect makes the connections to a server of a pool anew, loop by loop and one after the other, and
// returns how many there were. No request fails because of it. The server is given by its name or its
// address. The error is for the operator. Any goroutine may call it while Run runs, but a loop's.
func (srv *Server) Reconnect(poolName, name string) (connections int, err error) {
	index := srv.poolIndex(poolName)
	if index < 0 {
		return 0, fmt.Errorf("there is no pool %q", poolName)
	}
	addr, names := "", []string(nil)
	for _, s := range srv.now().listeners[index].pool.ServerStates() {
		if names = append(names, s.Name); s.Name == name || s.Addr == name {
			addr = s.Addr
		}
	}
	if addr == "" {
		return 0, fmt.Errorf("pool %s has no server %q; its servers are %s", poolName, name, strings.Join(names, ", "))
	}
	for i, l := range srv.loops {
		told := make(chan int, 1)
		l.Post(func() { l.sessions.Reconnect(index, addr, func(n int) { told <- n }) })
		select {
		case n := <-told:
			connections += n
		case <-time.After(reconnectTimeout):
			return connections, fmt.Errorf("event loop %d has not connected anew within %v: its requests are not answered", i, reconnectTimeout)
		}
	}
	return connections, nil
}
