package hatest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// audience is a channel with one publisher, which numbers the messages, and some
// subscribers. A client must get every message that was published while it was
// subscribed, once and in order, unless it learns of a loss because its connection is
// closed.
type audience struct {
	t       *testing.T
	addr    string
	strict  bool // nobody may be closed or get an error
	channel string
	stopped chan struct{} // the publisher is to end
	stop    func()        // closes stopped; may be called again
	ending  atomic.Bool   // the subscribers are closed by the test
	running sync.WaitGroup
	quiet   chan struct{} // closed when the publisher has ended
	members []*member

	mu       sync.Mutex
	outcomes []Outcome // of the messages sent so far; Unknown until the reply is there
}

// member is one subscriber, which connects again after its connection was closed.
type member struct {
	kind, proto string
	got         atomic.Int64 // messages
	mu          sync.Mutex
	conn        net.Conn
	stays       []*stay
}

// stay is the time from a confirmed subscription to the end of its connection.
type stay struct {
	from   int   // messages that had been sent when it was confirmed
	got    []int // numbers of messages
	closed bool
}

// subscribers returns a function that starts an audience. Each member is given by its
// request and its version of the protocol.
func subscribers(strict bool, members ...string) func(*testing.T, string, uint64) soakLoad {
	return func(t *testing.T, addr string, _ uint64) soakLoad {
		a := &audience{t: t, addr: addr, strict: strict, channel: fmt.Sprintf("news%d", loads.Add(1)), stopped: make(chan struct{}), quiet: make(chan struct{})}
		a.stop = sync.OnceFunc(func() { close(a.stopped) })
		for _, m := range members {
			kind, proto, _ := strings.Cut(m, " ")
			a.members = append(a.members, &member{kind: kind, proto: proto})
			m := a.members[len(a.members)-1]
			a.running.Go(func() { a.listen(m) })
		}
		publish := "PUBLISH"
		if strings.HasPrefix(members[0], "SSUBSCRIBE") {
			publish = "SPUBLISH"
		}
		a.running.Go(func() { a.publish(publish) })
		t.Cleanup(a.leave)
		return a
	}
}

// publish sends numbered messages, some at a time, until it is stopped.
func (a *audience) publish(command string) {
	defer close(a.quiet)
	conn, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.t.Error(err)
		return
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		select {
		case <-a.stopped:
			return
		case <-time.After(5 * time.Millisecond):
		}
		const together = 3
		first, text := a.begin(together), ""
		for i := range together {
			text += redistest.Request(command, a.channel, strconv.Itoa(first+i))
		}
		conn.SetDeadline(time.Now().Add(replyWithin))
		if _, err := io.WriteString(conn, text); err != nil {
			a.t.Errorf("a publisher of %s: %v", a.channel, err)
			return
		}
		for i := range together {
			got, err := readReply(in)
			if err != nil {
				a.t.Errorf("a publisher of %s: %v", a.channel, err)
				return
			}
			a.published(first+i, got)
		}
	}
}

// begin records messages that will be sent, and returns the first one's number.
func (a *audience) begin(n int) (first int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first = len(a.outcomes)
	for range n {
		a.outcomes = append(a.outcomes, Unknown)
	}
	return first
}

func (a *audience) published(number int, got reply) {
	outcome := outcomeOf(got)
	if a.strict && outcome != OK || outcome == OK && got.kind != ':' {
		a.t.Errorf("reply %v to a publisher of %s", got, a.channel)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcomes[number] = outcome
}

func (a *audience) sent() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.outcomes)
}

// listen subscribes a member, and again whenever its connection was closed.
func (a *audience) listen(m *member) {
	for !a.ending.Load() {
		s, err := a.stay(m)
		if a.ending.Load() {
			return
		}
		if s != nil {
			m.mu.Lock()
			s.closed = true
			m.mu.Unlock()
		}
		if a.strict {
			a.t.Errorf("a subscriber of %s (%s, RESP%s): %v", a.channel, m.kind, m.proto, err)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// stay runs one connection of a member until its end. It returns nil if the subscription
// was not confirmed.
func (a *audience) stay(m *member) (*stay, error) {
	conn, err := net.Dial("tcp", a.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	m.mu.Lock()
	m.conn = conn
	m.mu.Unlock()
	in := bufio.NewReader(conn)
	conn.SetDeadline(time.Now().Add(replyWithin))
	if _, err := io.WriteString(conn, redistest.Request("HELLO", m.proto)+redistest.Request(m.kind, a.channel)); err != nil {
		return nil, err
	}
	for range 2 {
		got, err := readReply(in)
		if err == nil && got.isError() {
			err = fmt.Errorf("%v", got)
		}
		if err != nil {
			return nil, err
		}
	}
	conn.SetDeadline(time.Time{})
	s := &stay{from: a.sent()}
	m.mu.Lock()
	m.stays = append(m.stays, s)
	m.mu.Unlock()
	for {
		got, err := readReply(in)
		if err != nil {
			return s, err
		}
		if len(got.elements) < 3 || !strings.HasSuffix(got.elements[0].text, "message") {
			return s, fmt.Errorf("%v, which is no message", got)
		}
		number, err := strconv.Atoi(got.elements[len(got.elements)-1].text)
		if err != nil || got.elements[1].text != a.channel {
			a.t.Errorf("a subscriber of %s got %v", a.channel, got)
		}
		m.mu.Lock()
		s.got = append(s.got, number)
		m.mu.Unlock()
		m.got.Add(1)
	}
}

func (a *audience) done() (done []int64) {
	for _, m := range a.members {
		done = append(done, m.got.Load())
	}
	return done
}

func (a *audience) leave() {
	a.stop()
	a.ending.Store(true)
	for _, m := range a.members {
		m.mu.Lock()
		if m.conn != nil {
			m.conn.Close()
		}
		m.mu.Unlock()
	}
	a.running.Wait()
}

func (a *audience) end() (checked, failed int) {
	a.t.Helper()
	a.stop()
	<-a.quiet
	for _, m := range a.members {
		redistest.Eventually(a.t, waitLimit, "a subscriber has the last message", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, s := range m.stays {
				if !s.closed && a.missing(m, s) != "" {
					return a.t.Failed()
				}
			}
			return true
		})
	}
	a.leave()
	closed := 0
	for _, m := range a.members {
		for _, s := range m.stays {
			if wrong := a.wrong(m, s); wrong != "" {
				a.t.Errorf("a subscriber of %s (%s, RESP%s) %s", a.channel, m.kind, m.proto, wrong)
			}
			checked += len(s.got)
		}
		closed += len(m.stays) - 1
	}
	a.t.Logf("%s: %d messages sent, %d times a subscriber was closed", a.channel, len(a.outcomes), closed)
	for _, outcome := range a.outcomes {
		if outcome != OK {
			failed++
		}
	}
	return checked, failed
}

// wrong returns what was wrong during a stay, once it is over.
func (a *audience) wrong(m *member, s *stay) string {
	seen, last := map[int]bool{}, -1
	for _, number := range s.got {
		switch {
		case number >= len(a.outcomes):
			return fmt.Sprintf("got message %d, which was not sent", number)
		case seen[number]:
			return fmt.Sprintf("got message %d twice", number)
		case a.outcomes[number] == NotSent:
			return fmt.Sprintf("got message %d, of which the publisher was told that it was not sent", number)
		case a.outcomes[number] == OK && number < last:
			return fmt.Sprintf("got message %d after %d", number, last)
		case a.outcomes[number] == OK:
			last = number
		}
		seen[number] = true
	}
	return a.missing(m, s)
}

// missing returns the message that was lost during a stay, if one was. Messages with an
// unknown outcome may be lost, and the last ones before the end of the connection. A
// pattern may be confirmed while some servers can't be reached.
func (a *audience) missing(m *member, s *stay) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[int]bool{}
	last := -1
	for _, number := range s.got {
		seen[number] = true
		last = max(last, number)
	}
	from, to := s.from, len(a.outcomes)
	if m.kind == "PSUBSCRIBE" && !a.strict && len(s.got) > 0 {
		from = s.got[0]
	}
	if s.closed {
		to = last
	}
	for number := from; number < to; number++ {
		if a.outcomes[number] == OK && !seen[number] {
			return fmt.Sprintf("did not get message %d; it was subscribed from %d on and got %d to %d", number, s.from, s.got[0:min(1, len(s.got))], last)
		}
	}
	return ""
}
