package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringway/conf"
	"ringway/resp"
)

// changes is a set of names of keys that have changed. Any goroutine may call its methods.
type changes struct {
	mu    sync.Mutex // guards the fields below
	names map[string]struct{}
	all   bool // all keys may have changed
}

func (c *changes) add(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil {
		c.names = map[string]struct{}{}
	}
	for _, name := range names {
		c.names[name] = struct{}{}
	}
	if len(c.names) > maxNames {
		c.all, c.names = true, nil
	}
}

func (c *changes) addAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all, c.names = true, nil
}

// take removes and returns some names, n at most.
func (c *changes) take(n int) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.names {
		if len(names) == n {
			break
		}
		names = append(names, name)
		delete(c.names, name)
	}
	return names
}

// tookAll reports whether all keys may have changed since the last call.
func (c *changes) tookAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.all
	c.all = false
	return was
}

// count returns how many names there are.
func (c *changes) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.names)
}

// A follower collects the names of all keys of one server that change, whoever changes them, in
// whichever database: by CLIENT TRACKING in broadcast mode. A server names a key at a change
// that follows startFollowing's return, and at expiry, eviction and deletion. A null names all keys
// (FLUSHALL, FLUSHDB).
//
// What servers do not name (docs/adr/0050): a stream whose groups or last ID alone change, see changesUnnamed;
// and the databases of a SWAPDB, see databaseSwaps.
type follower struct {
	c       *conn
	changed changes
	own     func(name string) bool // which names are collected; nil for all

	answered chan error    // answers of PING, in order
	ended    chan struct{} // closed when the connection is lost; err says why
	err      error
}

var errLostTrack = errors.New("connection that follows changes is lost: what has changed since is unknown")

// maxNames is how many names a follower keeps; with more, all keys count as changed.
const maxNames = 4 << 20

// startFollowing connects to a server and follows it until close, or until ctx ends. A connection
// that is silent is taken for one to a server where nothing changes, until barrier.
func startFollowing(ctx context.Context, p *conf.Pool, s *conf.Server) (*follower, error) {
	return startFollowingSome(ctx, p, s, nil)
}

// startFollowingSome collects only the names that own reports true for; nil for all. It is called on a
// goroutine of the follower. The server names only keys that begin with prefix, if there is one, but a null
// always comes.
func startFollowingSome(ctx context.Context, p *conf.Pool, s *conf.Server, own func(name string) bool, prefix ...string) (*follower, error) {
	c, err := dial(ctx, p, s)
	if err != nil {
		return nil, err
	}
	tracking := []string{"CLIENT", "TRACKING", "ON", "BCAST"}
	for _, begin := range prefix {
		tracking = append(tracking, "PREFIX", begin)
	}
	for _, request := range [][]string{{"HELLO", "3"}, tracking} {
		if _, err := c.do(request...); err != nil {
			c.close()
			return nil, fmt.Errorf("server %s: %s: %w", s.Name, request[0], err)
		}
	}
	f := &follower{c: c, own: own, answered: make(chan error, 1), ended: make(chan struct{})}
	go f.run()
	return f, nil
}

// run reads what the server sends.
func (f *follower) run() {
	defer close(f.ended)
	for {
		frame, push, err := f.c.frame(0)
		switch {
		case err != nil:
			f.err = fmt.Errorf("%w (%w)", errLostTrack, err)
			return
		case push:
			f.take(frame)
		default:
			_, err := checked(frame)
			f.answered <- err
		}
	}
}

// take adds the names of an invalidation.
func (f *follower) take(push []byte) {
	elements, ok := resp.ReadPush(push)
	if !ok {
		return
	}
	if kind, _ := elements.Next(); textOf(kind) != "invalidate" {
		return
	}
	list, _ := elements.Next()
	names, ok := resp.ReadArray(list)
	if !ok || resp.IsNull(list) {
		f.changed.addAll()
		return
	}
	var found []string
	for name, ok := names.Next(); ok; name, ok = names.Next() {
		if name := textOf(name); f.own == nil || f.own(name) {
			found = append(found, name)
		}
	}
	f.changed.add(found...)
}

// barrier returns when the names of all changes that the server had executed before the call are in
// changed. An error means that this is not so: an Error that the server is busy or loading, another that
// the connection is lost. One goroutine at a time may call it.
func (f *follower) barrier() error {
	f.c.send("PING")
	if err := f.c.flush(); err != nil {
		f.c.nc.Close()
		<-f.ended
		return f.err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-f.answered:
		return err
	case <-timer.C:
		f.c.nc.Close()
		<-f.ended
	case <-f.ended:
	}
	return f.err
}

// close ends the following.
func (f *follower) close() {
	f.c.close()
	for {
		select {
		case <-f.answered:
		case <-f.ended:
			return
		}
	}
}

// databaseSwaps returns how often the server has executed SWAPDB, in its own words: what differs from
// an earlier answer means that all keys may have changed.
func databaseSwaps(c *conn) (string, error) {
	info, err := c.text("INFO", "commandstats")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if calls, ok := strings.CutPrefix(line, "cmdstat_swapdb:"); ok {
			calls, _, _ = strings.Cut(calls, ",")
			return calls, nil
		}
	}
	return "", nil
}

// namedTypes are the types of values, as a DUMP begins, all of whose changes servers name: strings, lists, sets,
// sorted sets and hashes in all their encodings, those of hashes with fields that expire included.
var namedTypes = [...]byte{0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 22, 23, 24, 25}

// changesUnnamed reports whether the value of a DUMP may change without being named: streams, and what is not
// known. Only another DUMP shows whether it has.
func changesUnnamed(payload []byte) bool {
	return len(payload) > 0 && !slices.Contains(namedTypes[:], payload[0])
}
