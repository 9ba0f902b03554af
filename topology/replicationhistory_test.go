package topology

import (
	"strings"
	"testing"
)

// primaryOf, replicaOf and unreachable return the report of the server at, "A" to "C".
func primaryOf(at, id, of string) serverReport {
	return serverReport{addr: at, answered: true, replication: replication{role: "master", replID: id, replID2: of, runID: "run" + at, offset: 100}}
}

func replicaOf(at, primary, id string) serverReport {
	return serverReport{addr: at, answered: true, replication: replication{role: "slave", primary: primary, linkUp: true, replID: id, runID: "run" + at, offset: 100}}
}

func unreachable(at string) serverReport { return serverReport{addr: at} }

// restarted returns the report of another process at the same address, with a new history.
func restarted(at, id, of string) serverReport {
	r := primaryOf(at, id, of)
	r.runID, r.offset = r.runID+"2", 0
	return r
}

// forkedAt returns r with a history that begins at the offset in the one that it continues.
func forkedAt(r serverReport, offset int64) serverReport {
	r.forkOffset = offset
	return r
}

// later returns r with a higher offset.
func later(r serverReport) serverReport {
	r.offset += 10
	return r
}

func TestReplicationHistoryDecidesWhoIsPrimary(t *testing.T) {
	type all []serverReport
	for _, c := range []struct {
		what string
		last string // A is primary with history "a" unless this is "none"
		seen all
		want string
	}{
		{"one says so at the start", "none", all{primaryOf("A", "a", ""), replicaOf("B", "A", "a")}, "follow A at once"},
		{"nobody says so at the start", "none", all{replicaOf("A", "X", "x"), unreachable("B")}, "keep"},
		{"the promoted one is newer at the start", "none", all{primaryOf("A", "a", ""), primaryOf("B", "b", "a")}, "follow B at once"},
		{"two unrelated ones at the start", "none", all{primaryOf("A", "a", ""), primaryOf("B", "b", "")}, "refuse"},
		{"two were promoted at the start", "none", all{unreachable("A"), primaryOf("B", "b", "a"), primaryOf("C", "c", "a")}, "refuse"},

		{"nothing has changed", "", all{primaryOf("A", "a", ""), replicaOf("B", "A", "a")}, "keep"},
		{"it does not answer", "", all{unreachable("A"), replicaOf("B", "A", "a")}, "keep"},
		{"nobody answers", "", all{unreachable("A"), unreachable("B")}, "keep"},
		{"REPLICAOF NO ONE at a replica", "", all{primaryOf("A", "a", ""), primaryOf("B", "b", "a")}, "follow B"},
		{"promoted after it died", "", all{unreachable("A"), primaryOf("B", "b", "a")}, "follow B"},
		{"promoted twice between two polls", "", all{unreachable("A"), replicaOf("B", "C", "b2"), primaryOf("C", "c", "a")}, "follow C"},
		{"FAILOVER is done", "", all{replicaOf("A", "B", "b"), primaryOf("B", "b", "a")}, "follow B at once"},
		{"FAILOVER is under way", "", all{replicaOf("A", "B", "a"), replicaOf("B", "A", "a")}, "await at once"},
		{"REPLICAOF by hand, without a history in common", "", all{replicaOf("A", "B", "a"), primaryOf("B", "b", "")}, "follow B at once"},
		{"it follows an unrelated server", "", all{replicaOf("A", "X", "x"), primaryOf("B", "b", "")}, "refuse"},

		{"an empty server says that it is primary, too", "", all{primaryOf("A", "a", ""), primaryOf("B", "b", "")}, "keep"},
		{"an empty server says so while it is down", "", all{unreachable("A"), primaryOf("B", "b", "")}, "refuse"},
		{"two replicas were promoted after it died", "", all{unreachable("A"), primaryOf("B", "b", "a"), primaryOf("C", "c", "a")}, "refuse"},
		{"two replicas were promoted while it lives", "", all{primaryOf("A", "a", ""), primaryOf("B", "b", "a"), primaryOf("C", "c", "a")}, "refuse"},
		{"a replica was promoted, and one of that", "", all{primaryOf("A", "a", ""), primaryOf("B", "b", "a"), primaryOf("C", "c", "b")}, "follow C"},

		{"a replica was restarted as primary", "", all{primaryOf("A", "a", ""), restarted("B", "b", "a")}, "keep"},
		{"a replica was restarted as primary with all data, after it died", "", all{unreachable("A"), forkedAt(restarted("B", "b", "a"), 100)}, "follow B"},
		{"a replica was restarted as primary with old data, after it died", "", all{unreachable("A"), forkedAt(restarted("B", "b", "a"), 50)}, "refuse"},
		{"it was restarted and kept its history", "", all{restarted("A", "a2", "a"), replicaOf("B", "A", "a")}, "keep"},
		{"it was restarted without its history", "", all{restarted("A", "x", ""), replicaOf("B", "A", "a")}, "follow A"},
		{"it was restarted without, and an unrelated server says so, too", "", all{restarted("A", "x", ""), primaryOf("B", "b", "")}, "refuse"},
		{"it was restarted without, and a replica was promoted", "", all{restarted("A", "x", ""), primaryOf("B", "b", "a")}, "follow B"},
		{"it began a new history for want of replicas", "", all{later(primaryOf("A", "a2", "")), unreachable("B")}, "keep"},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := newReplicationHistory("jobs1")
			if c.last == "" {
				h.decide([]serverReport{replicaOf("B", "A", "a"), replicaOf("C", "A", "a")})
				h.adopt(primaryOf("A", "a", ""))
			}
			if got := brief(h.decide(c.seen)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func brief(v decision) string {
	text := map[action]string{keep: "keep", follow: "follow", await: "await", refuse: "refuse"}[v.do]
	if v.addr != "" {
		text += " " + v.addr
	}
	if v.atOnce {
		text += " at once"
	}
	return text
}

// An old primary that comes back is not newer than the one that took over from
// it, whether it was restarted or only away, and however much was written to it.
func TestOldPrimaryThatReturnsIsNotFollowed(t *testing.T) {
	for _, old := range []serverReport{primaryOf("A", "a", ""), later(primaryOf("A", "a", "")), restarted("A", "a2", "a"), restarted("A", "x", "")} {
		h := newReplicationHistory("jobs1")
		h.adopt(primaryOf("A", "a", ""))
		h.decide([]serverReport{unreachable("A"), primaryOf("B", "b", "a")})
		h.adopt(primaryOf("B", "b", "a"))
		h.replicaRunIDs["A"] = "earlier, when it was a replica"
		if got := brief(h.decide([]serverReport{old, primaryOf("B", "b", "a")})); got != "keep" {
			t.Errorf("old one %+v: got %s", old, got)
		}
	}
}

func TestRefusalSaysWhatToDo(t *testing.T) {
	h := newReplicationHistory("jobs1")
	v := h.decide([]serverReport{primaryOf("A", "a", ""), primaryOf("B", "b", "")})
	for _, part := range []string{"ERR 2 servers of shard jobs1", "REPLICAOF"} {
		if !strings.Contains(v.refuse, part) {
			t.Errorf("refusal %q does not say %q", v.refuse, part)
		}
	}
	if !strings.Contains(v.reason, "[A B]") {
		t.Errorf("the log does not name them: %q", v.reason)
	}
}

// FuzzReplicationHistory gives any histories: a server that is followed says that it is primary,
// and a circle of histories does not loop for ever.
func FuzzReplicationHistory(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		h := newReplicationHistory("jobs1")
		id := func(b byte) string { return string(rune('a' + b%5)) }
		for len(steps) >= 9 {
			var all []serverReport
			for i, at := range []string{"A", "B", "C"} {
				s := steps[3*i:]
				switch s[0] % 3 {
				case 0:
					all = append(all, unreachable(at))
				case 1:
					all = append(all, replicaOf(at, string('A'+rune(s[1]%3)), id(s[2])))
				case 2:
					all = append(all, primaryOf(at, id(s[1]), id(s[2])))
				}
			}
			steps = steps[9:]
			v := h.decide(all)
			for _, r := range all {
				if r.addr == v.addr && v.do == follow {
					if !r.isPrimary() {
						t.Fatalf("%+v does not say that it is primary", r)
					}
					h.adopt(r)
				}
			}
			if v.do == refuse && v.refuse == "" || v.do == follow && h.current != v.addr {
				t.Fatalf("decision %+v, followed %q", v, h.current)
			}
		}
	})
}
