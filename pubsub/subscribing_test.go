package pubsub

import "testing"

// A mark means what is unconfirmed when it is made: nothing that comes later, so that who waits
// gets its turn while others subscribe all the time.
func TestMarkMeansWhatCameBefore(t *testing.T) {
	t.Parallel()
	p := &Pool{}
	l := &Local{Pool: p}
	topic := func(shard int) *unconfirmedTopic {
		u := &unconfirmedTopic{kind: Channel, name: "c", shard: shard, scriptsAt: shard, scripts: shard == 1}
		p.subscribing.add(u)
		return u
	}
	waits := func(shard int, mark uint64, want bool) {
		t.Helper()
		if got := l.IsUnconfirmed(shard, mark); got != want {
			t.Errorf("shard %d: waits %v, want %v", shard, got, want)
		}
	}
	if l.MarkUnconfirmed() != 0 {
		t.Error("a mark while nothing is unconfirmed")
	}
	a, b := topic(0), topic(1)
	first := l.MarkUnconfirmed()
	c := topic(0)
	second := l.MarkUnconfirmed()
	waits(0, first, true)
	waits(1, first, true)
	waits(2, first, false)
	p.subscribed(a)
	waits(0, first, false)
	waits(0, second, true)
	waits(1, second, true)
	p.subscribed(b)
	waits(1, second, false)
	everywhere := topic(everyShard)
	waits(2, l.MarkUnconfirmed(), true)
	p.subscribed(everywhere)
	p.subscribed(c)
	if l.MarkUnconfirmed() != 0 || p.Subscribing() || len(p.subscribing.byShard) != 0 {
		t.Error("something is left")
	}
}
