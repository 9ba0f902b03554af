package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ringway/resp"
)

// source copies what moves away from one server. All its work is done by the goroutine of run, so that a key is never
// copied twice at once: what is written last at the target was read last.
type source struct {
	copier *Copier
	server *Server
	pace   *Pace
	settle chan settling

	lag          atomic.Int64
	unnamedCount atomic.Int64
	complete     atomic.Bool

	// Owned by run.
	follower *follower
	c        *conn              // reads
	targets  map[string]*target // by run ID
	dbs      []int64            // all databases in which the pool has keys, or had
	swaps    string             // see databaseSwaps
	unnamed  map[place]struct{}
}

// errAgain means that what has changed is unknown, so that the copy begins again.
var errAgain = errors.New("copying begins again")

// A source that can't be copied is left alone for retryAfter, and for twice as long after each failure
// before all keys were copied, up to longestWait.
const (
	retryAfter  = 500 * time.Millisecond
	longestWait = 30 * time.Second
)

// run copies until ctx ends. An error is one that trying again does not help.
func (s *source) run(ctx context.Context) error {
	defer s.close()
	for wait := retryAfter; ; {
		err := s.copy(ctx)
		if s.complete.Swap(false) {
			wait = retryAfter
		}
		s.close()
		var refused Error
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &refused) && !passes(refused), errors.Is(err, errAnother):
			return err
		}
		s.copier.again.Add(1)
		s.copier.o.Log(fmt.Sprintf("server %s: copying begins again: %v", s.server.Name, err))
		if !errors.Is(err, errAgain) {
			if pause(ctx, wait) != nil {
				return nil
			}
			wait = min(2*wait, longestWait)
		}
	}
}

// passes reports whether a server's refusal is one of its state, which changes.
func passes(refused Error) bool {
	code, _, _ := strings.Cut(string(refused), " ")
	return slices.Contains([]string{"BUSY", "LOADING", "OOM", "MISCONF", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS"}, code)
}

// copy follows the source, removes what its targets have and it does not, copies all, and then what changes.
func (s *source) copy(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	clear(s.unnamed)
	if err := s.findGhosts(ctx); err != nil {
		return err
	}
	for _, db := range s.dbs {
		err := scan(s.c, db, func(keys []string) error {
			s.copier.scanned.Add(int64(len(keys)))
			if err := s.copyKeys(ctx, db, s.moving(keys)); err != nil {
				return err
			}
			return s.drainSome(ctx)
		})
		if err != nil {
			return err
		}
	}
	s.complete.Store(true)
	s.copier.o.Log(fmt.Sprintf("server %s: all keys are copied once; following", s.server.Name))
	return s.follow(ctx)
}

// connect makes the connections, that of the follower before all others.
func (s *source) connect(ctx context.Context) (err error) {
	from, to := s.copier.from, s.copier.to
	own := func(key string) bool { return s.moves(key) }
	if s.follower, err = startFollowingSome(ctx, from.Conf, &s.server.Server, own); err != nil {
		return err
	}
	if s.c, err = dial(ctx, from.Conf, &s.server.Server); err != nil {
		return err
	}
	s.targets = map[string]*target{}
	for _, t := range to.distinct() {
		if t.RunID == s.server.RunID {
			continue
		}
		at, err := connectTarget(ctx, to.Conf, &t.Server, s.server.RunID)
		if err != nil {
			return err
		}
		s.targets[t.RunID] = at
	}
	if s.swaps, err = databaseSwaps(s.c); err != nil {
		return err
	}
	s.dbs, err = from.databases(s.c)
	return err
}

func (s *source) close() {
	if s.follower != nil {
		s.follower.close()
	}
	if s.c != nil {
		s.c.close()
	}
	for _, t := range s.targets {
		t.close()
	}
	s.follower, s.c, s.targets = nil, nil, nil
}

// moves reports whether a key is the source's, and another server's in the second pool.
func (s *source) moves(key string) bool {
	k := []byte(key)
	return !isReserved(key) && s.copier.from.Owner(k) == s.server.RunID && s.copier.to.Owner(k) != s.server.RunID
}

func (s *source) moving(keys []string) []string {
	return slices.DeleteFunc(keys, func(key string) bool { return !s.moves(key) })
}

// findGhosts marks as changed what targets have that they will own and the source does not have.
func (s *source) findGhosts(ctx context.Context) error {
	for _, t := range s.copier.to.distinct() {
		at := s.targets[t.RunID]
		if at == nil {
			continue
		}
		c := at.c
		dbs, err := s.copier.to.databases(c)
		if err != nil {
			return err
		}
		for _, db := range dbs {
			if !slices.Contains(s.dbs, db) {
				s.dbs = append(s.dbs, db) // names are looked for in all of them
			}
			err := scan(c, db, func(keys []string) error {
				keys = slices.DeleteFunc(keys, func(key string) bool {
					return !s.moves(key) || s.copier.to.Owner([]byte(key)) != t.RunID
				})
				if err := s.markMissing(db, keys); err != nil {
					return err
				}
				return ctx.Err()
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// markMissing marks those keys as changed that the source does not have.
func (s *source) markMissing(db int64, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	if err := s.c.selectDB(db); err != nil {
		return err
	}
	for _, key := range keys {
		s.c.send("EXISTS", key)
	}
	return s.c.answers(len(keys), func(i int, reply []byte, err error) error {
		if err == nil && numberOf(reply) == 0 {
			s.follower.changed.add(keys[i])
		}
		return err
	})
}

// follow copies what changes, and answers Settle, until an error.
func (s *source) follow(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for rests := false; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.follower.ended:
			return s.follower.err
		case asked := <-s.settle:
			named, err := s.settleNow(ctx)
			rests = asked.last
			asked.done <- settled{named, err}
			if err != nil {
				return err
			}
		case <-tick.C:
			if rests {
				continue
			}
			if err := s.barrier(); err != nil {
				return err
			}
			if err := s.drain(ctx); err != nil {
				return err
			}
			for _, t := range s.targets {
				if err := t.flushed(); err != nil {
					return err
				}
			}
		}
	}
}

// barrier returns when the names of all that was changed before are there.
func (s *source) barrier() error {
	if err := s.follower.barrier(); err != nil {
		return err
	}
	s.lag.Store(int64(s.follower.changed.count()))
	if s.follower.changed.tookAll() {
		return fmt.Errorf("all keys may have changed (FLUSHALL, FLUSHDB): %w", errAgain)
	}
	return nil
}

// askToSettle has run call settleNow, and returns what that returns. Any goroutine may call it.
func (s *source) askToSettle(ctx context.Context, last bool) settled {
	done := make(chan settled, 1)
	select {
	case s.settle <- settling{done, last}:
	case <-ctx.Done():
		return settled{err: ctx.Err()}
	}
	answer := <-done
	if answer.err != nil {
		answer.err = fmt.Errorf("server %s: %w", s.server.Name, answer.err)
	}
	return answer
}

// settling asks a source to settle.
type settling struct {
	done chan<- settled
	last bool // to write nothing more until the next time
}

// settled is what became of settling a source: how many names of changed keys there were, or an error.
type settled struct {
	named int
	err   error
}

// settleNow copies all that has changed, named or not.
func (s *source) settleNow(ctx context.Context) (named int, err error) {
	pace := s.pace
	s.pace = nil // writes are held meanwhile
	defer func() { s.pace = pace }()
	if err := s.barrier(); err != nil {
		return 0, err
	}
	named = s.follower.changed.count()
	swaps, err := databaseSwaps(s.c)
	if err != nil {
		return 0, err
	}
	if swaps != s.swaps {
		return 0, fmt.Errorf("databases were swapped: %w", errAgain)
	}
	byDB := map[int64][]string{}
	for at := range s.unnamed {
		byDB[at.db] = append(byDB[at.db], at.key)
	}
	for db, keys := range byDB {
		if err := s.copyKeys(ctx, db, keys); err != nil {
			return 0, err
		}
	}
	if err := s.drain(ctx); err != nil {
		return 0, err
	}
	for _, t := range s.targets {
		if err := t.check(); err != nil {
			return 0, err
		}
	}
	return named, nil
}

// drainBatch is how many names are copied at once.
const drainBatch = 500

// drain copies the changed keys that have names now; those that come meanwhile are left for the next time.
func (s *source) drain(ctx context.Context) error {
	for left := s.follower.changed.count(); left > 0; {
		names := s.follower.changed.take(min(left, drainBatch))
		if len(names) == 0 {
			break
		}
		left -= len(names)
		if err := s.copyNamed(ctx, names); err != nil {
			return err
		}
	}
	s.lag.Store(int64(s.follower.changed.count()))
	return nil
}

// drainSome keeps the set of names small, and the following connection alive, while all keys are copied.
func (s *source) drainSome(ctx context.Context) error {
	if s.follower.changed.count() < drainBatch {
		return nil
	}
	if err := s.barrier(); err != nil {
		return err
	}
	return s.copyNamed(ctx, s.follower.changed.take(drainBatch))
}

// copyNamed copies changed keys, in all databases: servers do not say in which.
func (s *source) copyNamed(ctx context.Context, names []string) error {
	dbs, err := s.copier.from.databases(s.c)
	if err != nil {
		return err
	}
	for _, db := range dbs {
		if !slices.Contains(s.dbs, db) {
			s.dbs = append(s.dbs, db) // and those that are empty by now stay
		}
	}
	for _, db := range s.dbs {
		if err := s.copyKeys(ctx, db, names); err != nil {
			return err
		}
	}
	return nil
}

// value is what a source has of a key.
type value struct {
	key     string
	present bool
	expires int64
	payload string
}

// copyKeys makes keys of one database at their targets what they are at the source.
func (s *source) copyKeys(ctx context.Context, db int64, keys []string) error {
	for chunk := range slices.Chunk(keys, copyBatch) {
		if err := s.pace.wait(ctx, len(chunk)); err != nil {
			return err
		}
		fit, err := s.thatFit(db, chunk)
		if err != nil {
			return err
		}
		for len(fit) > 0 {
			n := atOnce(fit)
			if err := s.copySome(db, fit[:n]); err != nil {
				return err
			}
			fit = fit[n:]
		}
	}
	return nil
}

// copyBatch is how many keys are read at once, and copyBytes how many bytes, if not one key has more.
const (
	copyBatch = 100
	copyBytes = 4 << 20
)

// sized is a key and its size.
type sized struct {
	key   string
	bytes int64
}

// atOnce returns how many of the first keys have copyBytes together, at least one.
func atOnce(keys []sized) (n int) {
	total := int64(0)
	for n < len(keys) && (n == 0 || total+keys[n].bytes <= copyBytes) {
		total += keys[n].bytes
		n++
	}
	return n
}

// thatFit returns the keys that are not too big to be copied. One that has grown too big is removed at its
// target, where it would be old.
func (s *source) thatFit(db int64, keys []string) (fit []sized, err error) {
	sizes, err := sizesOf(s.c, db, keys)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		limit := s.copier.o.BigKey
		if limit > 0 && sizes[i] > limit {
			s.copier.noteTooBig(place{db, key}, sizes[i], s.server.Name)
			if err := s.write(db, []value{{key: key}}); err != nil {
				return nil, err
			}
			continue
		}
		if limit > 0 {
			s.copier.noteTooBig(place{db, key}, 0, "")
		}
		fit = append(fit, sized{key, sizes[i]})
	}
	return fit, nil
}

// copySome reads keys and writes them.
func (s *source) copySome(db int64, keys []sized) error {
	if err := s.c.selectDB(db); err != nil {
		return err
	}
	values := make([]value, len(keys))
	for _, k := range keys {
		s.c.send(s.server.expiryCommand(), k.key)
		s.c.send("DUMP", k.key)
	}
	err := s.c.answers(2*len(keys), func(i int, reply []byte, err error) error {
		v := &values[i/2]
		v.key = keys[i/2].key
		switch {
		case err != nil:
			return err
		case i%2 == 0:
			v.expires = s.server.expiry(numberOf(reply))
			return nil
		}
		payload, ok := resp.Bulk(reply)
		v.present, v.payload = ok, string(payload)
		s.noteUnnamed(place{db, v.key}, payload)
		return nil
	})
	if err != nil {
		return err
	}
	return s.write(db, values)
}

// noteUnnamed remembers whether a key may change without being named.
func (s *source) noteUnnamed(at place, payload []byte) {
	if changesUnnamed(payload) {
		s.unnamed[at] = struct{}{}
	} else {
		delete(s.unnamed, at)
	}
	s.unnamedCount.Store(int64(len(s.unnamed)))
}

// write makes the targets' keys these values.
func (s *source) write(db int64, values []value) error {
	byTarget := map[*conn][]value{}
	for _, v := range values {
		t := s.targets[s.copier.to.Owner([]byte(v.key))]
		if t == nil {
			return fmt.Errorf("no connection to the server that is to own %q: %w", v.key, errAgain)
		}
		byTarget[t.c] = append(byTarget[t.c], v)
	}
	for c, values := range byTarget {
		if err := c.selectDB(db); err != nil {
			return err
		}
		for _, v := range values {
			if v.present {
				c.send("RESTORE", v.key, absTTL(v.expires), v.payload, "REPLACE", "ABSTTL")
			} else {
				c.send("UNLINK", v.key)
			}
		}
		err := c.answers(len(values), func(i int, reply []byte, err error) error {
			if err != nil {
				return fmt.Errorf("target of %q: %w", values[i].key, err)
			}
			if values[i].present {
				s.copier.copied.Add(1)
			} else {
				s.copier.removed.Add(numberOf(reply))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
