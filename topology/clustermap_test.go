package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ringway/pool"
)

// clusterSaid builds what a server says: lines "a 5 0-99,200" for a primary with its
// epoch and slots, and "b <a" for its replica. A name with ! is failing.
func clusterSaid(t *testing.T, self string, lines ...string) *clusterView {
	t.Helper()
	v := newView(self + ":1")
	v.self = self
	for _, line := range lines {
		fields := strings.Fields(line)
		id, failing := strings.CutSuffix(fields[0], "!")
		n := clusterServer{id: id, addr: id + ":1", healthy: !failing}
		if primary, ok := strings.CutPrefix(fields[1], "<"); ok {
			n.primary, n.epoch = primary, v.servers[primary].epoch
		} else {
			fmt.Sscan(fields[1], &n.epoch)
			v.epoch = max(v.epoch, n.epoch)
		}
		v.servers[id] = n
		if len(fields) < 3 {
			continue
		}
		for part := range strings.SplitSeq(fields[2], ",") {
			var r pool.SlotRange
			if n, _ := fmt.Sscanf(part, "%d-%d", &r.First, &r.Last); n < 2 {
				r.Last = r.First
			}
			v.slots[id] = append(v.slots[id], r)
		}
	}
	return v
}

// owners renders who owns the first slots of each range of a map.
func owners(m *clusterMap) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(m.shards)) {
		fmt.Fprintf(&b, "%s", id)
		for _, r := range m.shards[id] {
			fmt.Fprintf(&b, " %d-%d", r.First, r.Last)
		}
		for _, n := range m.replicas(id) {
			fmt.Fprintf(&b, " <%s", n.id)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestClusterMapFollowsTheHighestEpoch(t *testing.T) {
	before := []string{"a 1 0-99", "b 2 100-199", "a1 <a", "b1 <b"}
	const same = "a 0-99 <a1; b 100-199 <b1"
	failedOver := []string{"a1 3 0-99", "a! 1", "b 2 100-199", "b1 <b"}
	for _, c := range []struct {
		name      string
		views     []*clusterView
		want      string
		undecided int
	}{
		{"nobody answers", nil, same, 0},
		{"nothing new", []*clusterView{clusterSaid(t, "b", before...)}, same, 0},
		{"a failover, seen by one", []*clusterView{clusterSaid(t, "b", failedOver...)}, "a1 0-99; b 100-199 <b1", 0},
		{"a failover that one has missed, who is asked last",
			[]*clusterView{clusterSaid(t, "b", failedOver...), clusterSaid(t, "a", before...)}, "a1 0-99; b 100-199 <b1", 0},
		{"a failover that one has missed, who is asked first",
			[]*clusterView{clusterSaid(t, "a", before...), clusterSaid(t, "b", failedOver...)}, "a1 0-99; b 100-199 <b1", 0},
		{"slots that moved", []*clusterView{clusterSaid(t, "b", "a 1 0-49", "b 4 50-199", "a1 <a", "b1 <b")}, "a 0-49 <a1; b 50-199 <b1", 0},
		{"fewer slots, nobody has the rest", []*clusterView{clusterSaid(t, "b", "a 1 0-49", "b 2 100-199", "a1 <a", "b1 <b")}, same, 0},
		{"a server that was removed and knows only itself", []*clusterView{clusterSaid(t, "b1", "b1 0")}, same, 0},
		{"one of four with a lower epoch", []*clusterView{clusterSaid(t, "b1", "a 1 0-149", "b 2 150-199", "a1 <a", "b1 <b")}, same, 50},
		{"three of four with a lower epoch", []*clusterView{
			clusterSaid(t, "b1", "a 1 0-149", "b 2 150-199", "a1 <a", "b1 <b"),
			clusterSaid(t, "a1", "a 1 0-149", "b 2 150-199", "a1 <a", "b1 <b"),
			clusterSaid(t, "a", "a 1 0-149", "b 2 150-199", "a1 <a", "b1 <b"),
		}, "a 0-149 <a1; b 150-199 <b1", 0},
		{"a lower epoch, and the former owner says so", []*clusterView{clusterSaid(t, "b", "a 1 0-149", "b 2 150-199", "a1 <a", "b1 <b")},
			"a 0-149 <a1; b 150-199 <b1", 0},
		{"slots that were given away, as only the former owner knows yet, without the new epoch", []*clusterView{
			clusterSaid(t, "a1", before...), clusterSaid(t, "b1", before...),
			clusterSaid(t, "a", "a 1 10-99", "b 0 0-9,100-199", "a1 <a", "b1 <b"),
		}, "a 10-99 <a1; b 0-9 100-199 <b1", 0},
		{"slots that two servers both say the other has", []*clusterView{
			clusterSaid(t, "a", "a 1 10-99", "b 0 0-9,100-199", "a1 <a", "b1 <b"), clusterSaid(t, "b", before...),
		}, same, 0},
		{"a new primary without slots", []*clusterView{clusterSaid(t, "b", append(before, "c 0")...)}, same + "; c", 0},
		{"a new primary without slots that fails", []*clusterView{clusterSaid(t, "b", append(before, "c! 0")...)}, same, 0},
		{"a primary that fails and has no successor yet", []*clusterView{clusterSaid(t, "b", "a! 1 0-99", "b 2 100-199", "a1 <a", "b1 <b")}, same, 0},
		{"a replica that fails", []*clusterView{clusterSaid(t, "b", "a 1 0-99", "b 2 100-199", "a1! <a", "b1 <b")}, "a 0-99; b 100-199 <b1", 0},
		{"a replica that follows another primary", []*clusterView{clusterSaid(t, "b", "a 1 0-99", "b 2 100-199", "a1 <b", "b1 <b")}, "a 0-99; b 100-199 <a1 <b1", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			current, _ := new(clusterMap).merge([]*clusterView{clusterSaid(t, "a", before...)}, 4)
			if got := owners(current); got != same {
				t.Fatalf("at first %q, want %q", got, same)
			}
			got, undecided := current.merge(c.views, 4)
			if owners(got) != c.want || undecided != c.undecided {
				t.Errorf("%q and %d undecided slots, want %q and %d", owners(got), undecided, c.want, c.undecided)
			}
			if again, _ := got.merge(c.views, 4); owners(again) != c.want {
				t.Errorf("seen again: %q", owners(again))
			}
		})
	}
}

// An owner's epoch rises when it takes other slots. What it gave away before must
// not come back by that.
func TestSlotsGivenAwayStayAway(t *testing.T) {
	m, _ := new(clusterMap).merge([]*clusterView{clusterSaid(t, "a", "a 1 0-99", "b 2 100-199")}, 2)
	m, _ = m.merge([]*clusterView{clusterSaid(t, "b", "a 5 0-49,100-109", "b 4 50-99,110-199")}, 2)
	if got, want := owners(m), "a 0-49 100-109; b 50-99 110-199"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Where epochs are not told, as by some hosted Clusters, more servers decide.
func TestWithoutEpochsTheMajorityDecides(t *testing.T) {
	before, after := []string{"a 0 0-99", "b 0 100-199"}, []string{"a 0 0-49", "b 0 50-199"}
	current, _ := new(clusterMap).merge([]*clusterView{clusterSaid(t, "", before...)}, 3)
	stay, undecided := current.merge([]*clusterView{clusterSaid(t, "", after...)}, 3)
	if owners(stay) != owners(current) || undecided != 50 {
		t.Errorf("one of three: %q, %d undecided", owners(stay), undecided)
	}
	views := []*clusterView{clusterSaid(t, "", before...), clusterSaid(t, "", after...), clusterSaid(t, "", after...)}
	moved, undecided := current.merge(views, 3)
	if got := owners(moved); got != "a 0-49; b 50-199" || undecided != 0 {
		t.Errorf("two of three: %q, %d undecided", got, undecided)
	}
}

func TestClusterChangesAreTold(t *testing.T) {
	before := []string{"a 1 0-99", "b 2 100-199", "a1 <a", "b1 <b", "c 0"}
	for _, c := range []struct {
		name  string
		now   []string
		want  string
		moved int
	}{
		{"nothing", before, "", 0},
		{"failover", []string{"a! 1", "a1 3 0-99", "b 2 100-199", "b1 <b"}, "failover a a1;", 0},
		{"the failed one is back", []string{"a1 3 0-99", "a <a1", "b 2 100-199", "b1 <b"}, "failover a a1;", 0},
		{"failover, and slots moved", []string{"a! 1", "a1 3 0-99", "b 2 110-199", "c 4 100-109", "b1 <b"}, "failover a a1; added  c;", 10},
		{"slots moved", []string{"a 1 0-49", "b 4 50-199", "a1 <a", "b1 <b"}, "", 50},
		{"a shard added", []string{"a 1 0-49", "b 2 100-199", "c 4 50-99", "a1 <a", "b1 <b"}, "added  c;", 50},
		{"a shard removed", []string{"b 4 0-199", "a <b", "a1 <b", "b1 <b"}, "removed a ;", 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := new(clusterMap).merge([]*clusterView{clusterSaid(t, "a", before...)}, 4)
			next, _ := m.merge([]*clusterView{clusterSaid(t, "b", c.now...)}, 4)
			changes, moved := m.changesTo(next)
			var got []string
			for _, ch := range changes {
				got = append(got, fmt.Sprintf("%s %s %s;", ch.what, ch.from.id, ch.to.id))
			}
			if text := strings.Join(got, " "); text != c.want || moved != c.moved {
				t.Errorf("got %q and %d slots, want %q and %d", text, moved, c.want, c.moved)
			}
		})
	}
}

func TestAgreeingViewIsNothingNew(t *testing.T) {
	view := func(slots string) *clusterView { return clusterSaid(t, "a", "a 1 "+slots, "b 2 100-199", "a1 <a") }
	m, _ := new(clusterMap).merge([]*clusterView{view("0-9,20-99")}, 3)
	if !m.agrees(view("20-99,0-9")) {
		t.Error("the same is taken for news")
	}
	for _, other := range []*clusterView{view("0-99"), view("0-9"), clusterSaid(t, "a", "a 1 0-9,20-99", "b 3 100-199", "a1 <a")} {
		if m.agrees(other) {
			t.Errorf("%v is taken for the same", other)
		}
	}
}
