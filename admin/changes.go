package admin

import (
	"fmt"
	"time"

	"ringway/server"
)

// maxChanges is how many of the last changes are kept.
const maxChanges = 50

// change is something that happened to a server of a pool.
type change struct {
	At     int64  `json:"at"` // Unix time in milliseconds
	Pool   string `json:"pool"`
	Server string `json:"server"`
	What   string `json:"what"`
	Bad    bool   `json:"bad"`
}

// changesBetween returns what happened to the servers between two figures, in the order of the pools.
// A server that went down and came back in between shows by the count of its ejections.
func changesBetween(before, now *server.Figures) (changes []change) {
	for i := range now.Pools {
		if i == len(before.Pools) {
			break
		}
		p := &now.Pools[i]
		known := serversByAddr(&before.Pools[i])
		for j := range p.Servers {
			s := &p.Servers[j]
			at := now.At
			note := func(bad bool, format string, args ...any) {
				changes = append(changes, change{at.UnixMilli(), p.Name, s.Name, fmt.Sprintf(format, args...), bad})
			}
			was, ok := known[s.Addr]
			delete(known, s.Addr)
			if !ok {
				note(false, "serves the pool as %s", roleText(s.Role))
				continue
			}
			if was.Role != s.Role {
				note(s.Role == "", "was %s, is %s", roleText(was.Role), roleText(s.Role))
			}
			if s.Since.After(before.At) {
				at = s.Since
			}
			switch {
			case was.Up && !s.Up && s.Role != "":
				note(true, "went down: %s", s.Why)
			case !was.Up && s.Up && was.Role != "":
				note(false, "was restored")
			case s.Ejections > was.Ejections:
				note(true, "went down %d times for less than %v", s.Ejections-was.Ejections, now.At.Sub(before.At).Round(time.Second))
			}
		}
		for _, s := range known {
			if s.Role == "" {
				continue // that it serves nothing any more was said, and now its counts are forgotten
			}
			changes = append(changes, change{now.At.UnixMilli(), p.Name, s.Name, "is no server of the pool any more", true})
		}
	}
	return changes
}

func roleText(role string) string {
	if role == "" {
		return "unused"
	}
	return role
}

func serversByAddr(p *server.PoolFigures) map[string]*server.ServerFigures {
	servers := make(map[string]*server.ServerFigures, len(p.Servers))
	for i := range p.Servers {
		servers[p.Servers[i].Addr] = &p.Servers[i]
	}
	return servers
}
