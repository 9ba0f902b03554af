package pubsub

import (
	"fmt"
	"testing"
)

func TestExtraReceiversOfPatterns(t *testing.T) {
	var a SubscriberCounts
	for range 2 {
		for i := range 1000 {
			a.add(&Topic{Kind: Pattern, Name: fmt.Sprint("p", i, ".*")}, 1)
		}
	}
	if n := a.ExtraReceivers(Channel, "p1.x"); n != 0 {
		t.Errorf("%d among so many patterns", n) // more than are looked at
	}
	for i := range 900 {
		a.add(&Topic{Kind: Pattern, Name: fmt.Sprint("p", 100+i, ".*")}, -2)
	}
	a.add(&Topic{Kind: Channel, Name: "p1.x"}, 3)
	if n := a.ExtraReceivers(Channel, "p1.x"); n != 5 || !a.AnyShared() || a.ExtraSubscribers(Channel, "p1.x") != 3 {
		t.Errorf("%d receivers", n)
	}
	a.add(&Topic{Kind: Channel, Name: "p1.x"}, -3)
	for i := range 100 {
		a.add(&Topic{Kind: Pattern, Name: fmt.Sprint("p", i, ".*")}, -2)
	}
	if n := a.ExtraReceivers(Channel, "p1.x"); n != 0 || a.AnyShared() {
		t.Errorf("%d receivers when all have left", n)
	}
}
