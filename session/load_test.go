package session_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/hashring"
)

// load is many clients that check every reply. A key is named for its client and a number, and
// its value is the key itself: so a reply to another request is noticed. Its methods are for
// the test's goroutine.
type load struct {
	t    *testing.T
	addr string
	ring *hashring.Ring // of all servers
	stop chan struct{}
	wg   sync.WaitGroup

	replies []atomic.Int64 // good ones for keys of each server

	mu     sync.Mutex // guards the fields below
	errors []loadError
	wrong  []string // replies that no request can have had, and lost connections
}

// loadError is an error reply to a request for keys of certain servers.
type loadError struct {
	at      time.Time
	took    time.Duration // from the request to the reply
	servers map[int]bool
	text    string
}

// loadServers is the most servers a load knows.
const loadServers = 16

// startLoad runs clients until the test ends or finish is called. Each keeps
// depth requests under way.
func startLoad(t *testing.T, p *proxy, clients, depth int) *load {
	t.Helper()
	l := &load{t: t, addr: p.addr, ring: p.server.Pools()[0].Map().Ring(), stop: make(chan struct{}), replies: make([]atomic.Int64, loadServers)}
	for id := range clients {
		l.wg.Go(func() { l.client(id, depth) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.wg.Wait()
}

// finish stops the clients, fails the test if there was a wrong reply, and
// returns the errors.
func (l *load) finish() []loadError {
	l.t.Helper()
	l.end()
	if n := len(l.wrong); n > 0 {
		l.t.Errorf("%d wrong replies, the first: %s", n, strings.Join(l.wrong[:min(n, 5)], "\n"))
	}
	return l.errors
}

// errorsOf counts the errors of one server so far.
func (l *load) errorsOf(server int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.errors {
		if e.servers[server] {
			n++
		}
	}
	return n
}

// progress waits until some more good replies have come for a server's keys.
func (l *load) progress(server int) {
	l.t.Helper()
	from := l.replies[server].Load()
	eventually(l.t, fmt.Sprintf("good replies from server %d", server), func() bool { return l.replies[server].Load() > from+20 })
}

func (l *load) noteWrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// question is a request with a check of its reply.
type question struct {
	text    string
	servers map[int]bool
	right   func(reply string) bool
}

func (l *load) client(id, depth int) {
	conn, err := netDial(l.addr)
	if err != nil {
		l.noteWrong("client %d: %v", id, err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for seq := 0; ; {
		select {
		case <-l.stop:
			return
		default:
		}
		var batch []question
		var text strings.Builder
		for range 1 + rand.N(depth) {
			seq++
			q := l.question(id, seq)
			batch = append(batch, q)
			text.WriteString(q.text)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		sent := time.Now()
		if _, err := io.WriteString(conn, text.String()); err != nil {
			l.noteWrong("client %d: %v", id, err)
			return
		}
		for _, q := range batch {
			reply, err := readReply(r)
			if err != nil {
				l.noteWrong("client %d: %q instead of the reply to %q: %v", id, reply, q.text, err)
				return
			}
			l.checkReply(id, q, reply, sent)
		}
	}
}

func (l *load) checkReply(id int, q question, reply string, sent time.Time) {
	switch {
	case reply[0] == '-':
		l.mu.Lock()
		defer l.mu.Unlock()
		l.errors = append(l.errors, loadError{time.Now(), time.Since(sent), q.servers, reply})
	case !q.right(reply):
		l.noteWrong("client %d: %q is no reply to %q", id, reply, q.text)
	default:
		for server := range q.servers {
			l.replies[server].Add(1)
		}
	}
}

// question makes a request of a client's own keys.
func (l *load) question(id, seq int) question {
	key := func() string { return fmt.Sprintf("%d:%d", id, rand.N(500)) }
	k := key()
	q := question{servers: map[int]bool{l.ring.Index([]byte(k)): true}}
	switch seq % 4 {
	case 0:
		q.text = encode("SET", k, k)
		q.right = func(reply string) bool { return reply == "+OK\r\n" }
	case 1, 2:
		q.text = encode("GET", k)
		q.right = func(reply string) bool { return reply == "$-1\r\n" || reply == bulk(k) }
	case 3:
		keys := []string{key(), key(), k, key(), key()}
		for _, k := range keys {
			q.servers[l.ring.Index([]byte(k))] = true
		}
		q.text = encode(append([]string{"MGET"}, keys...)...)
		q.right = func(reply string) bool {
			rest, ok := strings.CutPrefix(reply, fmt.Sprintf("*%d\r\n", len(keys)))
			for _, k := range keys {
				switch {
				case strings.HasPrefix(rest, "$-1\r\n"):
					rest = rest[len("$-1\r\n"):]
				case strings.HasPrefix(rest, bulk(k)):
					rest = rest[len(bulk(k)):]
				default:
					ok = false
				}
			}
			return ok && rest == ""
		}
	}
	return q
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// readReply reads one RESP2 reply as it came.
func readReply(r *bufio.Reader) (string, error) {
	var b bytes.Buffer
	for left := 1; left > 0; left-- {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		if line == "" || len(line) < 3 {
			return b.String(), errors.New("not a reply")
		}
		n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
		switch {
		case line[0] == '$' && n >= 0:
			if _, err := io.CopyN(&b, r, int64(n)+2); err != nil {
				return b.String(), err
			}
		case line[0] == '*' && n > 0:
			left += n
		}
	}
	return b.String(), nil
}

// eventually waits for a condition, and fails the test if it does not come.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(pause)
	}
}
