package mover

import (
	"context"
	"fmt"
	"slices"
)

// Orphans are the keys of one server that no pool looks for there.
type Orphans struct {
	Server   string
	Keys     int64    // how many there are, or were if they were removed
	Scanned  int64    // keys that were looked at
	Removed  int64    // of Keys
	Examples []string // some of them
}

// shownOrphans is how many examples are kept for each server.
const shownOrphans = 3

// FindOrphans looks at all keys of the servers of the pools, and returns for each server those that are in
// databases which some of the pools reach there, and that belong to another server by the rings of all these pools.
// With purge they are removed by UNLINK, as many a second as the pace permits. All pools that use the servers
// must be given, or keys of the others count as orphans.
//
// Keys that scripts make up, and the keys of scripts without keys, are where the script ran and may count as orphans.
func FindOrphans(ctx context.Context, pools []*Pool, purge bool, pace *Pace) ([]Orphans, error) {
	var all []Orphans
	seen := map[string]bool{}
	for _, p := range pools {
		for _, s := range p.distinct() {
			if seen[s.RunID] {
				continue
			}
			seen[s.RunID] = true
			o := Orphans{Server: s.Name}
			if err := findOrphansOf(ctx, pools, s, purge, pace, &o); err != nil {
				return all, fmt.Errorf("server %s: %w", s.Name, err)
			}
			all = append(all, o)
		}
	}
	return all, nil
}

func findOrphansOf(ctx context.Context, pools []*Pool, s *Server, purge bool, pace *Pace, o *Orphans) error {
	var dbs []int64
	for _, p := range pools {
		if p.byRunID(s.RunID) == nil {
			continue
		}
		reached, err := p.databases(s.c)
		if err != nil {
			return err
		}
		dbs = append(dbs, reached...)
	}
	slices.Sort(dbs)
	for _, db := range slices.Compact(dbs) {
		err := scan(s.c, db, func(keys []string) error {
			o.Scanned += int64(len(keys))
			orphans := slices.DeleteFunc(keys, func(key string) bool { return wanted(pools, s.RunID, db, key) })
			o.Keys += int64(len(orphans))
			o.Examples = append(o.Examples, orphans[:min(len(orphans), shownOrphans-len(o.Examples))]...)
			if !purge || len(orphans) == 0 {
				return ctx.Err()
			}
			if err := pace.wait(ctx, len(orphans)); err != nil {
				return err
			}
			removed, err := s.c.do(append([]string{"UNLINK"}, orphans...)...)
			if err != nil {
				return err
			}
			o.Removed += numberOf(removed)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted reports whether any of the pools looks for a key at a server.
func wanted(pools []*Pool, runID string, db int64, key string) bool {
	return slices.ContainsFunc(pools, func(p *Pool) bool { return p.reaches(db) && p.Owner([]byte(key)) == runID })
}
