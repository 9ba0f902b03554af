package topology

import "fmt"

// lineage decides which server of a shard is its primary where nobody is told
// but the servers: the one that says so and whose data descends from the last
// primary's. It does no I/O and has no clock.
//
// A history of data has an ID. A replica has its primary's; one that is promoted
// begins a new history and tells which one that continues. So of two primaries
// the one whose history continues the other's is the newer, whatever their
// offsets, and the older one must get no more writes: they would be lost when it
// is demoted.
type lineage struct {
	shard   string
	current string            // address of the last primary; "" before the first
	last    replication       // what it said last as primary
	parents map[string]string // which history a history continues
	order   []string          // the keys of parents, the oldest first
	runs    map[string]string // by address, the process that was seen as a replica last
}

// historiesMost bounds how many histories are remembered.
const historiesMost = 256

func newLineage(shard string) *lineage {
	return &lineage{shard: shard, parents: map[string]string{}, runs: map[string]string{}}
}

// witness is a server and what it said last; nothing if it does not answer.
type witness struct {
	addr  string
	heard bool // it answers, and is not loading
	replication
}

func (w *witness) claims() bool { return w.heard && w.role == "master" }

// verdict is what is to be done.
type verdict struct {
	do     action
	addr   string // whom to follow
	atOnce bool   // the last primary says itself that it is replaced
	refuse string // what writes get
	why    string // for the log
}

type action uint8

const (
	keep   action = iota // as it is
	follow               // another primary
	await                // the last primary is one no more, and nobody else is
	refuse               // it is not certain who is primary
)

// judge decides by what all servers of the shard said last.
func (l *lineage) judge(all []witness) verdict {
	var claimants []*witness
	var current *witness
	for i := range all {
		w := &all[i]
		if w.heard {
			l.learn(w.id, w.id2)
		}
		if w.heard && !w.claims() {
			l.runs[w.addr] = w.run
		}
		if w.claims() {
			claimants = append(claimants, w)
		}
		if w.addr == l.current {
			current = w
		}
	}
	if l.current == "" {
		return l.first(claimants)
	}
	if current == nil {
		current = &witness{addr: l.current}
	}
	if heirs := l.newest(l.heirs(claimants, current)); len(heirs) > 0 {
		if len(heirs) > 1 {
			return l.undecided(heirs, "each of them took over from the same one")
		}
		why := "it took over from the last primary"
		return verdict{do: follow, addr: heirs[0].addr, atOnce: current.heard && !current.claims(), why: why}
	}
	switch {
	case current.claims():
		return l.stay(current, claimants)
	case current.heard:
		return l.replaced(current, claimants)
	case len(claimants) > 0:
		return l.strangers(claimants, "the last one does not answer")
	}
	return verdict{}
}

// first finds the first primary.
func (l *lineage) first(claimants []*witness) verdict {
	switch newest := l.newest(claimants); len(newest) {
	case 0:
		return verdict{}
	case 1:
		return verdict{do: follow, addr: newest[0].addr, atOnce: true, why: "no other is newer"}
	default:
		return l.undecided(newest, "neither took over from the other")
	}
}

// stay is for a last primary that says that it is primary, and from which nobody
// took over.
func (l *lineage) stay(current *witness, claimants []*witness) verdict {
	if l.continues(current) {
		return verdict{}
	}
	if len(claimants) > 1 {
		return l.undecided(claimants, "the last one has lost its history")
	}
	return verdict{do: follow, addr: current.addr, why: "it was restarted, and tells no history; if it lost its data, so will its replicas"}
}

// replaced is for a last primary that says that it is a replica.
func (l *lineage) replaced(current *witness, claimants []*witness) verdict {
	for _, w := range claimants {
		if current.primary == w.addr || current.id == w.id {
			return verdict{do: follow, addr: w.addr, atOnce: true, why: "the last primary follows it"}
		}
	}
	if len(claimants) > 0 {
		return l.strangers(claimants, "the last one is a replica now")
	}
	return verdict{do: await, atOnce: true, why: "the last primary is a replica now"}
}

// continues reports whether a server that was primary is so still, with the same
// data. A primary that has had no replica for an hour begins a new history without
// a word, but it is the same process.
func (l *lineage) continues(w *witness) bool {
	return l.descends(w.id, l.last.id) || w.run != "" && w.run == l.last.run && w.offset >= l.last.offset
}

// heirs returns the claimants, other than the last primary, that took over from
// it: whose data descends from its data. A replica that is restarted without the
// setting replicaof says so too, of the copy that it has on disk. It is taken for
// an heir only if the last primary is gone and that copy lacks nothing that was
// seen of it.
func (l *lineage) heirs(claimants []*witness, current *witness) (heirs []*witness) {
	for _, w := range claimants {
		if w.addr == l.current || !l.descends(w.id, l.last.id) {
			continue
		}
		promoted := w.run == l.runs[w.addr]
		whole := w.id2 == l.last.id && w.forked >= l.last.offset
		if promoted || whole && !current.claims() {
			heirs = append(heirs, w)
		}
	}
	return heirs
}

// newest returns those from which no other descends.
func (l *lineage) newest(claimants []*witness) (newest []*witness) {
	for _, w := range claimants {
		older := false
		for _, other := range claimants {
			older = older || other != w && other.id != w.id && l.descends(other.id, w.id)
		}
		if !older {
			newest = append(newest, w)
		}
	}
	return newest
}

// learn takes note that history id continues the history of.
func (l *lineage) learn(id, of string) {
	if id == "" || of == "" || id == of || l.parents[id] == of {
		return
	}
	if _, known := l.parents[id]; !known {
		if l.order = append(l.order, id); len(l.order) > historiesMost {
			delete(l.parents, l.order[0])
			l.order = l.order[1:]
		}
	}
	l.parents[id] = of
}

// descends reports whether history id is the history of, or continues it.
func (l *lineage) descends(id, of string) bool {
	if of == "" {
		return false
	}
	for range historiesMost {
		if id == of {
			return true
		}
		if id = l.parents[id]; id == "" {
			return false
		}
	}
	return false // a circle, which no honest server makes
}

// undecided refuses writes since several servers say that they are primary.
func (l *lineage) undecided(claimants []*witness, why string) verdict {
	return verdict{
		do: refuse,
		refuse: fmt.Sprintf("ERR %d servers of shard %s say that they are primary, and %s: writes are refused until all but one are demoted with REPLICAOF",
			len(claimants), l.shard, why),
		why: fmt.Sprintf("%v say that they are primary, and %s: demote all but one with REPLICAOF", addrs(claimants), why),
	}
}

// strangers refuses writes since those that say that they are primary did not
// take over from the last one: they were restarted without data, or are others'.
func (l *lineage) strangers(claimants []*witness, why string) verdict {
	return verdict{
		do: refuse,
		refuse: fmt.Sprintf("ERR a server of shard %s says that it is primary, but its data does not descend from the last primary's: writes are refused; let the last one return, or make it a replica of the new one with REPLICAOF",
			l.shard),
		why: fmt.Sprintf("%v says that it is primary, but its data does not descend from that of %s, and %s", addrs(claimants), l.current, why),
	}
}

func addrs(ws []*witness) (list []string) {
	for _, w := range ws {
		list = append(list, w.addr)
	}
	return list
}

// adopt makes the server the primary, by what it says.
func (l *lineage) adopt(w witness) { l.current, l.last = w.addr, w.replication }

// confirm takes what the primary says while it stays so.
func (l *lineage) confirm(w witness) {
	if w.addr == l.current && w.claims() && l.continues(&w) {
		l.last = w.replication
	}
}
