package command

import (
	"bytes"
	"testing"
	"time"
)

func TestBlockingTimeIsFound(t *testing.T) {
	for _, test := range []struct {
		request string
		want    int
		unit    time.Duration
	}{
		{"BLPOP a b 5", 3, time.Second},
		{"brpop a 0.5", 2, time.Second},
		{"BLMOVE a b LEFT RIGHT 3", 5, time.Second},
		{"BRPOPLPUSH a b 3", 3, time.Second},
		{"BZPOPMIN a 3", 2, time.Second},
		{"BLMPOP 7 1 a LEFT", 1, time.Second},
		{"BZMPOP 7 1 a MIN", 1, time.Second},
		{"XREAD COUNT 1 BLOCK 500 STREAMS s 0", 4, time.Millisecond},
		{"XREADGROUP GROUP block c BLOCK 500 STREAMS s >", 5, time.Millisecond},
		{"XREAD STREAMS block 0", 0, time.Millisecond},
		{"XREAD BLOCK", 0, time.Millisecond},
		{"GET a", 0, 0},
	} {
		args := bytes.Fields([]byte(test.request))
		cmd, _ := Lookup(args)
		if got, unit := cmd.BlockingTime(args); got != test.want || unit != test.unit {
			t.Errorf("%s: position %d, unit %s; want %d, %s", test.request, got, unit, test.want, test.unit)
		}
	}
}
