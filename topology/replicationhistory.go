package topology

import "fmt"

// replicationHistory decides which server of a shard is its primary where no Sentinel or
// Cluster does: the one that says that it is, and whose data descends from the last primary's.
// It does no I/O and has no clock.
//
// Redis names each history of data with a replication ID. A replica has its primary's ID; when
// it is promoted, it begins a new history and remembers which one that continues
// (master_replid2). So of two primaries the one whose history continues the other's is the
// newer, whatever their offsets, and the older one must get no more writes: they would be lost
// when it is demoted. Offsets can't decide that: an old primary that is still written to
// overtakes the new one.
type replicationHistory struct {
	shard string // its name, for errors

	current string      // the address of the last primary; "" before the first
	last    replication // what it said last as primary

	parents       map[string]string // by replication ID, the one that it continues
	order         []string          // the keys of parents, oldest first
	replicaRunIDs map[string]string // by address, the process that was last seen as a replica
}

// historiesMost bounds how many replication IDs are remembered.
const historiesMost = 256

func newReplicationHistory(shard string) *replicationHistory {
	return &replicationHistory{shard: shard, parents: map[string]string{}, replicaRunIDs: map[string]string{}}
}

// A serverReport is what a server said last.
type serverReport struct {
	addr     string
	answered bool // it answers and is not loading; otherwise the rest is empty
	replication
}

// isPrimary reports whether the server says that it is primary, which proves nothing yet.
func (r *serverReport) isPrimary() bool { return r.answered && r.role == "master" }

// A decision is what is to be done about a shard.
type decision struct {
	do     action
	addr   string // whom to follow
	atOnce bool   // it need not be confirmed by a second round: the last primary itself says so, or there is none
	refuse string // the error that writes get
	reason string // for the log
}

type action uint8

const (
	keep   action = iota // leave everything as it is
	follow               // follow the primary addr
	await                // have no primary: the last one is a replica, and no other server is primary
	refuse               // refuse writes: it is not certain who is primary
)

// decide says what is to be done, by the reports of all servers of the shard. It learns from
// them, but changes nothing by itself: the caller calls adopt when a decision was carried out.
func (h *replicationHistory) decide(all []serverReport) decision {
	var claimants []*serverReport
	var current *serverReport
	for i := range all {
		r := &all[i]
		if r.answered {
			h.addContinuation(r.replID, r.replID2)
		}
		if r.answered && !r.isPrimary() {
			h.replicaRunIDs[r.addr] = r.runID
		}
		if r.isPrimary() {
			claimants = append(claimants, r)
		}
		if r.addr == h.current {
			current = r
		}
	}
	if h.current == "" {
		return h.first(claimants)
	}
	if current == nil {
		current = &serverReport{addr: h.current}
	}
	if found := h.newest(h.successors(claimants, current)); len(found) > 0 {
		if len(found) > 1 {
			return h.undecided(found, "each of them took over from the same one")
		}
		why := "it took over from the last primary"
		return decision{do: follow, addr: found[0].addr, atOnce: current.answered && !current.isPrimary(), reason: why}
	}
	switch {
	case current.isPrimary():
		return h.currentIsPrimary(current, claimants)
	case current.answered:
		return h.currentIsReplica(current, claimants)
	case len(claimants) > 0:
		return h.unrelated(claimants, "the last one does not answer")
	}
	return decision{}
}

// first finds the first primary: of all that say that they are primary, the one from which no
// other descends.
func (h *replicationHistory) first(claimants []*serverReport) decision {
	switch newest := h.newest(claimants); len(newest) {
	case 0:
		return decision{}
	case 1:
		return decision{do: follow, addr: newest[0].addr, atOnce: true, reason: "no other is newer"}
	default:
		return h.undecided(newest, "neither took over from the other")
	}
}

// currentIsPrimary decides where the last primary says that it is primary and no other server
// took over from it. It stays primary, even next to others whose data has nothing to do with
// its own. If it was restarted without its history, its replicas are about to copy it and lose
// what they have, so nothing is gained by refusing it; the log warns.
func (h *replicationHistory) currentIsPrimary(current *serverReport, claimants []*serverReport) decision {
	if h.keptHistory(current) {
		return decision{}
	}
	if len(claimants) > 1 {
		return h.undecided(claimants, "the last one has lost its history")
	}
	return decision{do: follow, addr: current.addr, reason: "it was restarted without its replication history; if it lost its data, so will its replicas"}
}

// currentIsReplica decides where the last primary says that it is a replica: its own primary
// is followed. During FAILOVER there is none for a moment.
func (h *replicationHistory) currentIsReplica(current *serverReport, claimants []*serverReport) decision {
	for _, r := range claimants {
		if current.primary == r.addr || current.replID == r.replID {
			return decision{do: follow, addr: r.addr, atOnce: true, reason: "the last primary follows it"}
		}
	}
	if len(claimants) > 0 {
		return h.unrelated(claimants, "the last one is a replica now")
	}
	return decision{do: await, atOnce: true, reason: "the last primary is a replica now"}
}

// keptHistory reports whether a server that was primary still has the same data. A primary
// without replicas for an hour (repl-backlog-ttl) begins a new history that continues none; it
// is recognised by its process and offset.
func (h *replicationHistory) keptHistory(r *serverReport) bool {
	return h.descends(r.replID, h.last.replID) || r.runID != "" && r.runID == h.last.runID && r.offset >= h.last.offset
}

// successors returns the servers other than the last primary that say that they are primary
// and whose data descends from its data.
//
// A replica that is restarted without the setting replicaof looks the same, because of the
// copy that it has on disk, though nobody promoted it. So a successor must be the process that
// was seen as a replica; any other counts only if the last primary is gone and the copy lacks
// nothing that was seen of it.
func (h *replicationHistory) successors(claimants []*serverReport, current *serverReport) (found []*serverReport) {
	for _, r := range claimants {
		if r.addr == h.current || !h.descends(r.replID, h.last.replID) {
			continue
		}
		promoted := r.runID == h.replicaRunIDs[r.addr]
		whole := r.replID2 == h.last.replID && r.forkOffset >= h.last.offset
		if promoted || whole && !current.isPrimary() {
			found = append(found, r)
		}
	}
	return found
}

// newest returns those of the claimants from which no other descends.
func (h *replicationHistory) newest(claimants []*serverReport) (newest []*serverReport) {
	for _, r := range claimants {
		older := false
		for _, other := range claimants {
			older = older || other != r && other.replID != r.replID && h.descends(other.replID, r.replID)
		}
		if !older {
			newest = append(newest, r)
		}
	}
	return newest
}

// addContinuation remembers that the history id continues the history of.
func (h *replicationHistory) addContinuation(id, of string) {
	if id == "" || of == "" || id == of || h.parents[id] == of {
		return
	}
	if _, known := h.parents[id]; !known {
		if h.order = append(h.order, id); len(h.order) > historiesMost {
			delete(h.parents, h.order[0])
			h.order = h.order[1:]
		}
	}
	h.parents[id] = of
}

// descends reports whether the history id is the history of, or continues it, directly or over
// others.
func (h *replicationHistory) descends(id, of string) bool {
	if of == "" {
		return false
	}
	for range historiesMost {
		if id == of {
			return true
		}
		if id = h.parents[id]; id == "" {
			return false
		}
	}
	return false // a circle, which only a faulty server can make
}

// undecided refuses writes because several servers say that they are primary, and none is
// newer than the others. Serving one of them would lose the writes that the others have taken.
func (h *replicationHistory) undecided(claimants []*serverReport, why string) decision {
	return decision{
		do: refuse,
		refuse: fmt.Sprintf("ERR %d servers of shard %s say that they are primary, and %s: writes are refused until all but one are demoted with REPLICAOF",
			len(claimants), h.shard, why),
		reason: fmt.Sprintf("%v say that they are primary, and %s: demote all but one with REPLICAOF", addrs(claimants), why),
	}
}

// unrelated refuses writes because the servers that say that they are primary did not take
// over from the last one: they were restarted without data, or belong to another shard.
func (h *replicationHistory) unrelated(claimants []*serverReport, why string) decision {
	return decision{
		do: refuse,
		refuse: fmt.Sprintf("ERR a server of shard %s says that it is primary, but its data does not descend from the last primary's: writes are refused; let the last one return, or make it a replica of the new one with REPLICAOF",
			h.shard),
		reason: fmt.Sprintf("%v says that it is primary, but its data does not descend from that of %s, and %s", addrs(claimants), h.current, why),
	}
}

func addrs(ws []*serverReport) (list []string) {
	for _, r := range ws {
		list = append(list, r.addr)
	}
	return list
}

// adopt makes the server the primary, by its report.
func (h *replicationHistory) adopt(r serverReport) { h.current, h.last = r.addr, r.replication }

// confirm updates what is known of the primary while it stays primary.
func (h *replicationHistory) confirm(r serverReport) {
	if r.addr == h.current && r.isPrimary() && h.keptHistory(&r) {
		h.last = r.replication
	}
}
