// Package reshard is the protocol by which the instances of a fleet change the owner of a group of keys from one server,
// the source, to another, the target. It is pure: it neither reads clocks nor does I/O, and whoever does hands it what
// was seen, and carries out what it says.
//
// # What there is
//
// The source holds a Record, which is changed by compare-and-set only. A Leader, any process that runs the move,
// raises it phase by phase. An instance of the proxy keeps a Follower for each connection set to the source: it learns the
// record, and says where requests may go. Each connection to the source carries the epoch that its
// instance obeys as its name; since a connection's requests are executed in order, a connection that
// is listed with an epoch has executed all that was sent in earlier ones.
//
//	phase     reads    writes   until
//	Source    source   source
//	Holding   source   held     nobody writes at the source, and the target has all
//	Reading   target   held     nobody reads at the source
//	Target    target   target
//
// # What holds
//
//   - One server takes the writes of a key at a time: Holding ends only when all connections obey it.
//   - No read is older than an acknowledged write: Reading ends only when nobody reads at the source.
//   - Nothing is lost: only the leader that the record names writes copies, over connections that were made
//     before it read that record; and who becomes leader disconnects other writers first.
//   - Whoever does not obey is disconnected, after the record was raised. A connection reads the record
//     before its first request. So an instance that was stopped finds its connections closed, and learns the
//     record with the next ones. No clock is trusted.
//
// The tests hold these under random schedules, with instances and leaders that are stopped or killed anywhere.
package reshard

import "fmt"

// Phase is how far a group of keys is on its way.
type Phase uint8

// The phases in their order.
const (
	Source  Phase = iota // the source has the keys
	Holding              // writes are held; reads are at the source
	Reading              // writes are held; reads are at the target
	Target               // the target has the keys
)

var phaseNames = [...]string{"source", "holding", "reading", "target"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// Record is what all agree by. It is at the source, and only Next's and Take's results may replace it, by
// compare-and-set of the whole.
type Record struct {
	Epoch  uint64 // grows with each change
	Phase  Phase
	Leader uint64 // who may raise it, and write copies; 0 for nobody
}

// Take returns the record with another leader.
func (r Record) Take(leader uint64) Record {
	return Record{Epoch: r.Epoch + 1, Phase: r.Phase, Leader: leader}
}

// next returns the record one phase on.
func (r Record) next() Record {
	return Record{Epoch: r.Epoch + 1, Phase: r.Phase + 1, Leader: r.Leader}
}

// back returns the record with the source as owner again, as only a hold permits: nobody has read at the target.
func (r Record) back() Record { return Record{Epoch: r.Epoch + 1, Phase: Source, Leader: r.Leader} }

// Place is where a request may go.
type Place uint8

// The places.
const (
	Nowhere Place = iota // it waits
	AtSource
	AtTarget
)

// Follower is what an instance knows of a record. Its zero value knows nothing, and sends nothing.
type Follower struct {
	known  bool
	record Record
}

// Learn takes a record that was read at the source. It reports whether that is news: then each connection to the
// source gets the new epoch as its name, behind what was sent on it. Records may come late and in any order.
func (f *Follower) Learn(r Record) bool {
	if f.known && r.Epoch <= f.record.Epoch {
		return false
	}
	f.known, f.record = true, r
	return true
}

// Epoch returns the epoch that the instance obeys.
func (f *Follower) Epoch() uint64 { return f.record.Epoch }

// Where returns where a request may go that was not sent yet.
func (f *Follower) Where(write bool) Place {
	switch {
	case !f.known:
		return Nowhere
	case f.record.Phase == Source || f.record.Phase == Holding && !write:
		return AtSource
	case f.record.Phase == Target || f.record.Phase == Reading && !write:
		return AtTarget
	}
	return Nowhere
}

// Seen is what a leader has found out since it read the record that it leads by.
type Seen struct {
	Record   Record // that of the source now
	Led      bool   // an earlier record named this leader
	Obeyed   bool   // CLIENT LIST of the source, read after Record, names no connection with an older epoch
	Overdue  bool   // the phase's deadline has passed
	Alone    bool   // other writers of copies at the target were disconnected, after Record named this leader
	Complete bool   // the target has all, looked at after Obeyed in phase Holding
}

// Do is what a leader does next.
type Do uint8

// What a leader does.
const (
	Wait       Do = iota // look again
	Lead                 // replace the record by Record.Take
	Disconnect           // disconnect other writers of copies at the target
	Copy                 // barrier at the source, then copy what has changed and compare
	Fence                // disconnect from the source whoever does not obey
	Raise                // replace the record by that of Next
	Done                 // the target has the keys
	GiveUp               // another run has taken the lead
)

// Leader decides for one run of a move.
type Leader struct {
	ID      uint64 // another one for each run
	Forward bool   // do not give a hold up once it is overdue, but fence
}

// Next returns what to do, and for Lead and Raise the record to set in place of seen.Record.
func (l Leader) Next(seen Seen) (Do, Record) {
	r := seen.Record
	switch {
	case r.Phase == Target:
		return Done, r
	case r.Leader != l.ID && seen.Led:
		return GiveUp, r
	case r.Leader != l.ID:
		return Lead, r.Take(l.ID)
	case !seen.Alone:
		return Disconnect, r
	case r.Phase == Source:
		return Raise, r.next()
	case !seen.Obeyed && seen.Overdue && r.Phase == Holding && !l.Forward:
		return Raise, r.back()
	case !seen.Obeyed && seen.Overdue:
		return Fence, r
	case !seen.Obeyed:
		return Wait, r
	case r.Phase == Holding && !seen.Complete:
		return Copy, r
	}
	return Raise, r.next()
}
