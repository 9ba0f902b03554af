package mover

import (
	"context"
	"fmt"
	"time"
)

// VerifyOptions say how Verify compares.
type VerifyOptions struct {
	OneIn  int           // of so many keys, one is compared, the same ones each time; 0 or 1 for all
	Rounds int           // how often differing keys are compared again; default 5
	Gap    time.Duration // between two rounds; default 200 ms
	Pace   *Pace         // keys a second; nil for no bound
}

// A Verification is what Verify has found.
type Verification struct {
	Keys      int64        // keys of the first pool that were looked at
	Unmoved   int64        // of these, those that both pools have at one server
	Compared  int64        // of these, those that were compared
	Strays    int64        // keys at servers of the first pool that do not own them: no pool looks for them there
	Checked   int64        // keys at the second pool's servers that must be the first's too
	Differing []Difference // what did not agree in any round; maxDifferences at most
	More      int64        // differences beyond these
}

// Agrees reports whether no difference was found.
func (v *Verification) Agrees() bool { return len(v.Differing) == 0 && v.More == 0 }

// maxDifferences is how many differing keys Verify remembers.
const maxDifferences = 100_000

// verifyBatch is how many keys are compared at once.
const verifyBatch = 100

// Verify compares two pools key by key: each key that the first has at its owner must be at its owner in
// the second, with the same value and expiry; and what the second has, and shall have, must be in the first. Keys change
// meanwhile: those that differ are compared again.
func Verify(ctx context.Context, from, to *Pool, o VerifyOptions) (*Verification, error) {
	v := &verifier{ctx: ctx, from: from, to: to, o: o}
	for _, s := range from.distinct() {
		if err := v.forward(s); err != nil {
			return &v.found, fmt.Errorf("server %s: %w", s.Name, err)
		}
	}
	for _, s := range to.distinct() {
		if err := v.backward(s); err != nil {
			return &v.found, fmt.Errorf("server %s: %w", s.Name, err)
		}
	}
	return &v.found, v.again()
}

type verifier struct {
	ctx      context.Context
	from, to *Pool
	o        VerifyOptions
	found    Verification
}

// pair are the servers that shall have the same keys.
type pair struct{ from, to *Server }

// forward compares the keys of one server of the first pool.
func (v *verifier) forward(s *Server) error {
	return v.scanAll(s, v.from, func(db int64, keys []string) error {
		batches := map[pair][]string{}
		for _, key := range keys {
			owner, target := v.from.Owner([]byte(key)), v.to.byRunID(v.to.Owner([]byte(key)))
			switch {
			case owner != s.RunID:
				v.found.Strays++
				continue
			case target.RunID == s.RunID:
				v.found.Unmoved++
			case chosen(key, v.o.OneIn):
				p := pair{s, target}
				batches[p] = append(batches[p], key)
			}
			v.found.Keys++
		}
		for p, keys := range batches {
			if err := v.compare(p, db, keys); err != nil {
				return err
			}
		}
		return nil
	})
}

// backward looks for keys of one server of the second pool that the first does not have.
func (v *verifier) backward(s *Server) error {
	return v.scanAll(s, v.to, func(db int64, keys []string) error {
		missing, checked, err := absent(v.from, v.to, s, db, keys)
		v.found.Checked += checked
		if err != nil {
			return err
		}
		for p, keys := range missing {
			if err := v.compare(p, db, keys); err != nil {
				return err
			}
		}
		return nil
	})
}

// absent returns which keys of a server of to that it shall have do not exist at their owner in from, and how many it
// has asked for. Keys that stay where they are, and those that to places elsewhere, are not asked for.
func absent(from, to *Pool, s *Server, db int64, keys []string) (missing map[pair][]string, asked int64, err error) {
	candidates := map[*Server][]string{}
	for _, key := range keys {
		if owner := from.Owner([]byte(key)); to.Owner([]byte(key)) == s.RunID && owner != s.RunID {
			at := from.byRunID(owner)
			candidates[at] = append(candidates[at], key)
			asked++
		}
	}
	missing = map[pair][]string{}
	for at, keys := range candidates {
		if err := at.c.selectDB(db); err != nil {
			return nil, 0, err
		}
		for _, key := range keys {
			at.c.send("EXISTS", key)
		}
		err := at.c.answers(len(keys), func(i int, reply []byte, err error) error {
			if err == nil && numberOf(reply) == 0 {
				missing[pair{at, s}] = append(missing[pair{at, s}], keys[i])
			}
			return err
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return missing, asked, nil
}

// scanAll calls take with all keys of a server of a pool, at the pace that was asked for.
func (v *verifier) scanAll(s *Server, p *Pool, take func(db int64, keys []string) error) error {
	dbs, err := p.databases(s.c)
	if err != nil {
		return err
	}
	for _, db := range dbs {
		err := scan(s.c, db, func(keys []string) error {
			if err := v.o.Pace.wait(v.ctx, len(keys)); err != nil {
				return err
			}
			return take(db, keys)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compare compares keys and remembers those that differ.
func (v *verifier) compare(p pair, db int64, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), verifyBatch)
		differing, err := compareKeys(p.from, p.to, db, keys[:n])
		if err != nil {
			return err
		}
		v.found.Compared += int64(n)
		room := min(maxDifferences-len(v.found.Differing), len(differing))
		v.found.Differing = append(v.found.Differing, differing[:room]...)
		v.found.More += int64(len(differing) - room)
		keys = keys[n:]
	}
	return nil
}

// again compares the differing keys until they agree, or all rounds are over.
func (v *verifier) again() error {
	rounds, gap := v.o.Rounds, v.o.Gap
	if rounds == 0 {
		rounds = 5
	}
	if gap == 0 {
		gap = 200 * time.Millisecond
	}
	for ; rounds > 0 && len(v.found.Differing) > 0; rounds-- {
		if err := pause(v.ctx, gap); err != nil {
			return err
		}
		before := v.found.Differing
		v.found.Differing = nil
		for _, d := range before {
			from, to := v.from.byRunID(v.from.Owner([]byte(d.Key))), v.to.byRunID(v.to.Owner([]byte(d.Key)))
			still, err := compareKeys(from, to, d.DB, []string{d.Key})
			if err != nil {
				return err
			}
			v.found.Differing = append(v.found.Differing, still...)
		}
	}
	return nil
}

// chosen reports whether a key is in a sample of one in n, which is the same for equal names.
func chosen(key string, n int) bool {
	if n <= 1 {
		return true
	}
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return (h^h>>16)%uint32(n) == 0
}
