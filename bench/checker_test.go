package bench

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// ask queues calls on a new checker as a generator would.
func ask(w Workload, calls ...call) (*checker, *tally) {
	t := new(tally)
	c := newChecker(w, max(1, len(calls)), t)
	for _, q := range calls {
		slot := c.push()
		slot.kind, slot.at = q.kind, q.at
		copy(slot.keys, q.keys)
	}
	return c, t
}

func get(k uint32) call        { return call{kind: OpGet, keys: []uint32{k}} }
func mset() call               { return call{kind: OpMSet, keys: []uint32{1, 2}} }
func mget(keys ...uint32) call { return call{kind: OpMGet, keys: keys} }

// bulk is the right reply to a GET of key k.
func bulk(k, size int) string {
	return fmt.Sprintf("$%d\r\n%s\r\n", size, appendValue(nil, k, size))
}

// judge feeds stream to a checker that awaits calls and returns what it made of
// it: replies, wrong ones and errors, and whether the stream was lost. done is
// how often it said that a call was answered.
func judge(size int, calls []call, stream string, step int) (got *tally, done uint64, err error) {
	c, got := ask(Workload{Value: size, Fanout: 2}, calls...)
	for stream != "" && err == nil {
		n := min(step, len(stream))
		err = c.feed([]byte(stream[:n]), func(*call) { done++ })
		stream = stream[n:]
	}
	return got, done, err
}

func TestRepliesAreChecked(t *testing.T) {
	const size = 40
	f := func(name string, calls []call, stream string, replies, wrong, errs uint64, wantErr error) {
		t.Helper()
		for _, step := range []int{len(stream), 1, 3, 17} {
			got, done, err := judge(size, calls, stream, step)
			if got.replies != replies || done != replies || got.wrong != wrong || got.errors != errs || !errors.Is(err, wantErr) {
				t.Errorf("%s in pieces of %d: %d replies (%d done), %d wrong, %d errors, error %v; want %d, %d, %d, %v",
					name, step, got.replies, done, got.wrong, got.errors, err, replies, wrong, errs, wantErr)
			}
			if wrong+errs > 0 && got.example == "" {
				t.Errorf("%s: no example", name)
			}
		}
	}
	ok := bulk(1, size)
	f("a right value", []call{get(1)}, ok, 1, 0, 0, nil)
	f("two right values", []call{get(1), get(2)}, ok+bulk(2, size), 2, 0, 0, nil)
	f("two replies swapped", []call{get(1), get(2)}, bulk(2, size)+ok, 2, 2, 0, nil)
	f("a missing value", []call{get(1)}, "$-1\r\n", 1, 1, 0, nil)
	f("a value too short", []call{get(1)}, bulk(1, size-1), 1, 1, 0, nil)
	f("a value too long", []call{get(1)}, bulk(1, size+1), 1, 1, 0, nil)
	f("one byte of a value wrong", []call{get(1)}, strings.Replace(ok, "1:", "1;", 1), 1, 1, 0, nil)
	f("a value that does not end", []call{get(1), get(1)}, strings.TrimSuffix(ok, "\n")+"x"+ok, 2, 1, 0, nil)
	f("an error", []call{get(1), get(1)}, "-ERR no\r\n"+ok, 2, 0, 1, nil)
	f("a status to a GET", []call{get(1)}, "+OK\r\n", 1, 1, 0, nil)
	f("a number to a GET", []call{get(1)}, ":1\r\n", 1, 1, 0, nil)
	f("OK to an MSET", []call{mset()}, "+OK\r\n", 1, 0, 0, nil)
	f("another status to an MSET", []call{mset()}, "+QUEUED\r\n", 1, 1, 0, nil)
	f("a value to an MSET", []call{mset()}, ok, 1, 1, 0, nil)
	f("a right array", []call{mget(1, 2)}, "*2\r\n"+ok+bulk(2, size), 1, 0, 0, nil)
	f("an array swapped", []call{mget(1, 2), get(1)}, "*2\r\n"+bulk(2, size)+ok+ok, 2, 1, 0, nil)
	f("an array with a hole", []call{mget(1, 2)}, "*2\r\n"+ok+"$-1\r\n", 1, 1, 0, nil)
	f("an error in an array", []call{mget(1, 2)}, "*2\r\n"+ok+"-ERR no\r\n", 1, 1, 0, nil)
	f("an error in place of an array", []call{mget(1, 2)}, "-ERR no\r\n", 1, 0, 1, nil)
	f("an array too long", []call{mget(1, 2)}, "*3\r\n", 0, 1, 0, errDesync)
	f("an array to a GET", []call{get(1)}, "*1\r\n", 0, 1, 0, errDesync)
	f("a reply without a request", []call{get(1)}, ok+ok, 1, 1, 0, errDesync)
	f("no protocol at all", []call{get(1)}, "HTTP/1.1 400 Bad Request\r\n", 0, 1, 0, errDesync)
	f("a line without a carriage return", []call{get(1)}, "$40\n", 0, 1, 0, errDesync)
	f("a length that is no number", []call{get(1)}, "$4x\r\n", 0, 1, 0, errDesync)
	f("a length beyond all bounds", []call{get(1)}, "$99999999999999999999\r\n", 0, 1, 0, errDesync)
	f("a line without an end", []call{get(1)}, strings.Repeat("-", maxLine+1), 0, 1, 0, errDesync)
}

func TestQueueIsARing(t *testing.T) {
	c, got := ask(Workload{Value: 16, Fanout: 1}, get(0), get(1), get(2))
	if !c.full() {
		t.Fatal("queue of three calls with three places is not full")
	}
	for k := range 20 {
		if err := c.feed([]byte(bulk(k, 16)), func(*call) {}); err != nil {
			t.Fatal(err)
		}
		slot := c.push()
		slot.kind, slot.keys[0] = OpGet, uint32(k+3)
	}
	if got.replies != 20 || got.wrong != 0 {
		t.Errorf("%d replies, %d wrong: %s", got.replies, got.wrong, got.example)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	w := Workload{Op: OpGet}.withDefaults()
	c, _ := ask(w, get(1))
	enc, reply, done := newEncoder(w), []byte(bulk(1, w.Value)), func(*call) {}
	buf := make([]byte, 0, 4096)
	n := testing.AllocsPerRun(1000, func() {
		buf = enc.appendRequest(buf[:0], OpSet, []uint32{1})
		_ = c.feed(reply, done)
		slot := c.push()
		slot.kind, slot.keys[0] = OpGet, 1
	})
	if n != 0 {
		t.Errorf("%v allocations per request, want 0", n)
	}
}

// FuzzChecker feeds streams whole, byte by byte and in halves: the verdict must
// not depend on how a stream was cut.
func FuzzChecker(f *testing.F) {
	f.Add([]byte(bulk(1, 16) + "*2\r\n" + bulk(1, 16) + bulk(2, 16) + "+OK\r\n"))
	f.Add([]byte("$-1\r\n-ERR x\r\n:1\r\n"))
	f.Add([]byte("$9223372036854775807\r\n"))
	f.Add([]byte("*9999999999\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		verdict := func(cuts ...int) string {
			c, got := ask(Workload{Value: 16, Fanout: 2}, get(1), mget(1, 2), mset(), get(3))
			begin := 0
			for _, end := range append(cuts, len(stream)) {
				if err := c.feed(stream[begin:end], func(*call) {}); err != nil {
					return fmt.Sprintf("%d %d %d lost", got.replies, got.wrong, got.errors)
				}
				begin = end
			}
			return fmt.Sprintf("%d %d %d", got.replies, got.wrong, got.errors)
		}
		each := make([]int, len(stream))
		for i := range each {
			each[i] = i
		}
		whole := verdict()
		if bytewise := verdict(each...); bytewise != whole {
			t.Errorf("whole %q, byte by byte %q", whole, bytewise)
		}
		if halves := verdict(len(stream) / 2); halves != whole {
			t.Errorf("whole %q, in halves %q", whole, halves)
		}
	})
}

// BenchmarkGenerator is the generator's own work for one GET, without its
// system calls: encoding the request, and framing and checking a reply of 64 bytes.
func BenchmarkGenerator(b *testing.B) {
	w := Workload{Op: OpGet}.withDefaults()
	c, _ := ask(w, get(1))
	enc, reply, done := newEncoder(w), []byte(bulk(1, w.Value)), func(*call) {}
	buf, keys := make([]byte, 0, 4096), []uint32{1}
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.appendRequest(buf[:0], OpGet, keys)
		_ = c.feed(reply, done)
		slot := c.push()
		slot.kind, slot.keys[0] = OpGet, 1
	}
}
