package mover

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
)

// A Flow is what moves from one server to another.
type Flow struct {
	From, To string
	Keys     int64
	Sampled  int64 // of Keys, those whose size was asked for
	Bytes    int64 // estimated from the sampled ones, as MEMORY USAGE tells; of all databases
}

// A BigKey is a key and its size, as MEMORY USAGE tells.
type BigKey struct {
	DB     int64
	Key    string
	Bytes  int64
	Server string // that has it now
}

// A Survey is what a move from one pool to another would be.
type Survey struct {
	Keys, Strays int64      // keys at the servers of the first pool: those at their owners, and others
	Ghosts       int64      // keys at the second pool's servers that it will own and the first does not have; a move removes them
	Flows        []Flow     // the largest first
	Largest      []BigKey   // of those whose size was asked for
	Obstacles    []Obstacle // what stands in the way, refusals first
}

// Moving returns how many keys and bytes move in all.
func (s *Survey) Moving() (keys, bytes int64) {
	for _, f := range s.Flows {
		keys += f.Keys
		bytes += f.Bytes
	}
	return keys, bytes
}

// SurveyOptions say how Measure looks.
type SurveyOptions struct {
	OneIn int   // of so many moving keys, the size of one is asked for; 0 or 1 for all
	Pace  *Pace // keys a second; nil for no bound
}

// largestKeys is how many keys a Survey names.
const largestKeys = 10

// Measure looks at all keys of the servers of two pools by SCAN, and at what stands in the way of a move from the
// first to the second. It changes nothing.
func Measure(ctx context.Context, from, to *Pool, o SurveyOptions) (*Survey, error) {
	m := &measuring{ctx: ctx, from: from, to: to, o: o, flows: map[pair]*Flow{}}
	for _, s := range from.distinct() {
		if err := m.source(s); err != nil {
			return nil, fmt.Errorf("server %s: %w", s.Name, err)
		}
	}
	for _, s := range to.distinct() {
		if err := m.target(s); err != nil {
			return nil, fmt.Errorf("server %s: %w", s.Name, err)
		}
	}
	for _, f := range m.flows {
		if f.Sampled > 0 {
			f.Bytes = int64(float64(f.Bytes) / float64(f.Sampled) * float64(f.Keys))
		}
		m.found.Flows = append(m.found.Flows, *f)
	}
	slices.SortFunc(m.found.Flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(b.Keys, a.Keys), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	obstacles, err := findObstacles(from, to, m.found.Flows)
	m.found.Obstacles = obstacles
	return &m.found, err
}

type measuring struct {
	ctx      context.Context
	from, to *Pool
	o        SurveyOptions
	flows    map[pair]*Flow
	found    Survey
	ghost    string // one of the ghosts
}

func (m *measuring) each(p *Pool, s *Server, take func(db int64, keys []string) error) error {
	v := verifier{ctx: m.ctx, o: VerifyOptions{Pace: m.o.Pace}}
	return v.scanAll(s, p, take)
}

// source counts the keys of a server of the first pool.
func (m *measuring) source(s *Server) error {
	return m.each(m.from, s, func(db int64, keys []string) error {
		sized := map[*Flow][]string{}
		for _, key := range keys {
			if m.from.Owner([]byte(key)) != s.RunID {
				m.found.Strays++
				continue
			}
			m.found.Keys++
			target := m.to.byRunID(m.to.Owner([]byte(key)))
			if target.RunID == s.RunID {
				continue
			}
			p := pair{s, target}
			if m.flows[p] == nil {
				m.flows[p] = &Flow{From: s.Name, To: target.Name}
			}
			f := m.flows[p]
			if f.Keys++; chosen(key, m.o.OneIn) {
				sized[f] = append(sized[f], key)
			}
		}
		for f, keys := range sized {
			if err := m.size(s, f, db, keys); err != nil {
				return err
			}
		}
		return nil
	})
}

// size asks for the sizes of keys.
func (m *measuring) size(s *Server, f *Flow, db int64, keys []string) error {
	sizes, err := sizesOf(s.c, db, keys)
	if err != nil {
		return err
	}
	for i, bytes := range sizes {
		if bytes == 0 {
			continue // gone meanwhile
		}
		f.Sampled++
		f.Bytes += bytes
		m.found.Largest = append(m.found.Largest, BigKey{db, keys[i], bytes, s.Name})
	}
	slices.SortStableFunc(m.found.Largest, func(a, b BigKey) int { return cmp.Compare(b.Bytes, a.Bytes) })
	m.found.Largest = m.found.Largest[:min(len(m.found.Largest), largestKeys)]
	return nil
}

// sizeSamples is how many elements of a value MEMORY USAGE looks at.
const sizeSamples = 5

// sizesOf returns how large keys are at a server, in bytes; 0 for one that does not exist.
func sizesOf(c *conn, db int64, keys []string) ([]int64, error) {
	if err := c.selectDB(db); err != nil {
		return nil, err
	}
	sizes := make([]int64, len(keys))
	for _, key := range keys {
		c.send("MEMORY", "USAGE", key, "SAMPLES", strconv.Itoa(sizeSamples))
	}
	return sizes, c.answers(len(keys), func(i int, reply []byte, err error) error {
		sizes[i] = numberOf(reply)
		return err
	})
}

// target counts the ghosts of a server of the second pool.
func (m *measuring) target(s *Server) error {
	return m.each(m.to, s, func(db int64, keys []string) error {
		missing, _, err := absent(m.from, m.to, s, db, keys)
		for _, keys := range missing {
			m.found.Ghosts += int64(len(keys))
			m.ghost = keys[0]
		}
		return err
	})
}
