package acl

import (
	"slices"
	"time"
)

const (
	logLength  = 128              // entries, as Redis's acllog-max-len
	logGroup   = 60 * time.Second // entries about the same that are as close are one
	logLook    = 10               // how many entries are looked at for one about the same
	logLongest = 512              // bytes of an entry's object
)

// Entry is what ACL LOG says of a request or login that was denied, once or several times.
type Entry struct {
	Count   int
	Reason  Denial
	Context string // "toplevel" or "multi"
	Object  string // the command, key or channel; for a login the word AUTH or HELLO as the client wrote it
	User    string
	Time    time.Time // of the last one
	Client  string    // who that was, as in CLIENT LIST
}

// same reports whether two entries are about the same, at nearly the same time.
func (e *Entry) same(o *Entry) bool {
	return e.Reason == o.Reason && e.Context == o.Context && e.Object == o.Object && e.User == o.User && e.Time.Sub(o.Time).Abs() <= logGroup
}

// Log holds the last denials, newest first. The zero value is empty. It belongs to one goroutine.
type Log struct{ entries []Entry }

// Add adds an entry, whose Count is 1, or adds it to one about the same. A long Object is cut.
func (l *Log) Add(e Entry) {
	if len(e.Object) > logLongest {
		e.Object = e.Object[:logLongest]
	}
	for i := range min(logLook, len(l.entries)) {
		if l.entries[i].same(&e) {
			e.Count += l.entries[i].Count
			l.entries = slices.Delete(l.entries, i, i+1)
			break
		}
	}
	l.entries = slices.Insert(l.entries, 0, e)
	l.entries = l.entries[:min(len(l.entries), logLength)]
}

// Entries returns a copy of the entries.
func (l *Log) Entries() []Entry { return slices.Clone(l.entries) }

// Forget forgets the entries for which which returns true.
func (l *Log) Forget(which func(Entry) bool) { l.entries = slices.DeleteFunc(l.entries, which) }

// Joined returns the entries of several logs as those of one.
func Joined(logs [][]Entry) []Entry {
	all := slices.Concat(logs...)
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	joined := Log{}
	for _, e := range all {
		joined.Add(e)
	}
	return joined.entries
}
