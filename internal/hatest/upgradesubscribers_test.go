package hatest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// listener is a client that is subscribed, and checks that it gets each message once and in order.
type listener struct {
	conn     net.Conn
	in       *bufio.Reader
	received atomic.Int64
	err      error // why it has ended; read once it has
}

// channelsOfUpgrade is how many channels there are, each with a publisher.
const channelsOfUpgrade = 4

// subscribe makes the client subscribe in one of several ways.
func (l *listener) subscribe(way int) error {
	var requests string
	switch way % 4 {
	case 0:
		requests = redistest.Request("SUBSCRIBE", "c0", "c1", "c2", "c3")
	case 1:
		requests = redistest.Request("PSUBSCRIBE", "c?")
	case 2:
		requests = redistest.Request("HELLO", "3") + redistest.Request("SUBSCRIBE", "c0", "c1", "c2", "c3")
	case 3:
		requests = redistest.Request("HELLO", "3") + redistest.Request("CLIENT", "SETNAME", "x") + redistest.Request("PSUBSCRIBE", "c0", "c1", "c[23]")
	}
	_, err := l.conn.Write([]byte(requests))
	return err
}

// run reads messages until the connection ends or one is missing.
func (l *listener) run() {
	var next [channelsOfUpgrade]int
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			l.err = err
			return
		}
		if strings.HasPrefix(line, "-") {
			l.err = fmt.Errorf("error %q", line)
			return
		}
		channel, n, ok := strings.Cut(strings.TrimSpace(line), "=") // the text of a message is c0=17
		if !ok {
			continue
		}
		c, _ := strconv.Atoi(channel[1:])
		if got, _ := strconv.Atoi(n); got != next[c] {
			l.err = fmt.Errorf("message %s, want %d", line, next[c])
			return
		}
		next[c]++
		l.received.Add(1)
	}
}

// Subscribers move with the other clients, and each gets each message once and in order.
func TestUpgradesOfSubscribers(t *testing.T) {
	redistest.SkipShort(t)
	rounds, clients := upgradeRounds()
	u := runUpgraded(t, "threads = 2", redistest.StartN(t, 3)...)
	var listeners []*listener
	var running sync.WaitGroup
	for i := range clients {
		conn, err := net.Dial("tcp", u.addr)
		if err != nil {
			t.Fatal(err)
		}
		l := &listener{conn: conn, in: bufio.NewReader(conn)}
		t.Cleanup(func() { conn.Close() })
		if err := l.subscribe(i); err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	watcher := redistest.Dial(t, "tcp", u.addr)
	redistest.Eventually(t, time.Minute, "all are subscribed", func() bool {
		return strings.Count(watcher.Do("CLIENT", "LIST"), " flags=P ") == clients
	})
	redistest.Eventually(t, time.Minute, "to all channels", func() bool {
		list := watcher.Do("CLIENT", "LIST")
		return strings.Count(list, " sub=4 ")+strings.Count(list, " psub=1 ")+strings.Count(list, " psub=3 ") == clients
	})
	for _, l := range listeners {
		running.Go(l.run)
	}
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	var published [channelsOfUpgrade]int
	for c := range channelsOfUpgrade {
		p := redistest.Dial(t, "tcp", u.addr)
		publishing.Go(func() {
			pause := time.NewTicker(time.Duration(clients) * 100 * time.Microsecond)
			defer pause.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					published[c] = n
					return
				case <-pause.C:
				}
				if got := p.Do("PUBLISH", fmt.Sprintf("c%d", c), fmt.Sprintf("c%d=%d", c, n)); !strings.HasPrefix(got, ":") {
					t.Errorf("PUBLISH is answered %q", got)
				}
			}
		})
	}
	for range rounds {
		u.upgrade()
	}
	close(stop)
	publishing.Wait()
	want := int64(0)
	for _, n := range published {
		want += int64(n)
	}
	t.Logf("%d messages", want)
	defer func() {
		for i, l := range listeners {
			if n := l.received.Load(); n != want {
				l.conn.Close()
				running.Wait()
				t.Errorf("listener %d has %d messages, want %d: %v", i, n, want, l.err)
			}
		}
	}()
	redistest.Eventually(t, 20*time.Second, "all clients have got all messages", func() bool {
		return !slices.ContainsFunc(listeners, func(l *listener) bool { return l.received.Load() != want })
	})
	if got := watcher.Do("CLIENT", "LIST"); strings.Count(got, " flags=P ") != clients {
		t.Errorf("%d subscribers are left of %d", strings.Count(got, " flags=P "), clients)
	}
	for _, l := range listeners {
		l.conn.Close()
	}
	running.Wait()
	for i, l := range listeners {
		if !strings.Contains(l.err.Error(), "use of closed") {
			t.Errorf("listener %d after %d messages: %v", i, l.received.Load(), l.err)
		}
	}
	if os.Getenv("RINGWAY_LONG") != "" || t.Failed() {
		t.Log(u.Output())
	}
}
