package mover

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ringway/resp"
)

// An Obstacle is what stands in the way of a move.
type Obstacle struct {
	Refuses bool   // a move would lose or spoil data; else the operator should know
	What    string // with the name of the pool or server
}

// findObstacles looks at what servers say of themselves, and at the pools.
func findObstacles(from, to *Pool, flows []Flow) (found []Obstacle, err error) {
	add := func(refuses bool, format string, args ...any) {
		if o := (Obstacle{refuses, fmt.Sprintf(format, args...)}); !slices.Contains(found, o) {
			found = append(found, o)
		}
	}
	for _, p := range []*Pool{from, to} {
		if p.Conf.AutoEjectHosts {
			add(true, "pool %s may eject servers, whose keys are then written elsewhere: auto_eject_hosts = false", p.Conf.Name)
		}
	}
	if from.Conf.RedisDB != to.Conf.RedisDB || max(1, from.Conf.Databases) > max(1, to.Conf.Databases) {
		add(true, "pool %s: redis_db and databases differ: keys do not change their database", to.Conf.Name)
	}
	all := func(servers []*Server, look func(s *Server) error) {
		for _, s := range servers {
			if err == nil {
				err = look(s)
			}
		}
	}
	all(from.distinct(), func(s *Server) error { return sourceObstacles(s, add) })
	all(to.distinct(), func(s *Server) error { return targetObstacles(from, s, flows, add) })
	slices.SortStableFunc(found, func(a, b Obstacle) int {
		switch {
		case a.Refuses == b.Refuses:
			return 0
		case a.Refuses:
			return -1
		}
		return 1
	})
	return found, err
}

// oldestSource is the first version that names changes.
const oldestSource = "6.0.0"

func sourceObstacles(s *Server, add func(refuses bool, format string, args ...any)) error {
	if v := s.info["redis_version"]; compareVersions(v, oldestSource) < 0 {
		add(true, "server %s has Redis %s, which does not tell what changes: 6.0 does", s.Name, v)
	}
	roleObstacles(s, add)
	strangers, err := strangers(s)
	if err != nil {
		return err
	}
	if len(strangers) > 0 {
		add(false, "server %s has clients that are not Ringway, and that would go on to look for keys there: %s", s.Name, strings.Join(strangers, ", "))
	}
	return nil
}

func roleObstacles(s *Server, add func(refuses bool, format string, args ...any)) {
	if s.info["role"] == "slave" {
		add(true, "server %s is a replica: what is written there is lost", s.Name)
	}
	if s.info["cluster_enabled"] == "1" {
		add(true, "server %s belongs to a Redis Cluster", s.Name)
	}
}

func targetObstacles(from *Pool, s *Server, flows []Flow, add func(refuses bool, format string, args ...any)) error {
	incoming := int64(0)
	for _, f := range flows {
		if f.To == s.Name {
			incoming += f.Bytes
		}
	}
	if incoming == 0 {
		return nil
	}
	roleObstacles(s, add)
	if most, used := s.number("maxmemory"), s.number("used_memory"); most > 0 {
		if used+incoming > most {
			add(true, "server %s has maxmemory %d and uses %d: %d more do not fit", s.Name, most, used, incoming)
		}
		if policy := s.info["maxmemory_policy"]; policy != "noeviction" {
			add(false, "server %s evicts keys when it is full (%s), copies too", s.Name, policy)
		}
	}
	has, err := modules(s.c)
	if err != nil {
		return err
	}
	for _, f := range flows {
		if f.To != s.Name {
			continue
		}
		source := from.Servers[slices.IndexFunc(from.Servers, func(at *Server) bool { return at.Name == f.From })]
		if was, now := source.info["redis_version"], s.info["redis_version"]; compareVersions(now, was) < 0 {
			add(true, "server %s has version %s and %s has %s: an older server does not take a newer one's keys", s.Name, now, source.Name, was)
		}
		if a, b := source.info["server_name"], s.info["server_name"]; a != b {
			add(false, "server %s is %s and %s is %s: try whether one takes the other's keys", source.Name, cmp.Or(a, "redis"), s.Name, cmp.Or(b, "redis"))
		}
		needs, err := modules(source.c)
		if err != nil {
			return err
		}
		for _, name := range needs {
			if !slices.Contains(has, name) {
				add(true, "server %s lacks the module %s, which %s has", s.Name, name, source.Name)
			}
		}
	}
	return nil
}

// modules returns the names of a server's modules.
func modules(c *conn) (names []string, err error) {
	reply, err := c.do("MODULE", "LIST")
	var refused Error
	if errors.As(err, &refused) {
		return nil, nil // it is not permitted, or unknown
	}
	list, _ := resp.ReadArray(reply)
	for e, more := list.Next(); more; e, more = list.Next() {
		fields, _ := resp.ReadArray(e)
		for name, more := fields.Next(); more; name, more = fields.Next() {
			if value, _ := fields.Next(); textOf(name) == "name" {
				names = append(names, textOf(value))
			}
		}
	}
	return names, err
}

// shownStrangers is how many clients are named for each server.
const shownStrangers = 5

// strangers returns the addresses and names of a server's clients that are neither Ringway, nor replicas, nor of this
// process. A server that does not permit CLIENT LIST has none.
func strangers(s *Server) (clients []string, err error) {
	list, err := s.c.text("CLIENT", "LIST")
	var refused Error
	if errors.As(err, &refused) {
		return nil, nil
	}
	more := 0
	for line := range strings.Lines(list) {
		fields := clientFields(line)
		name := fields["name"]
		if fields["addr"] == "" || strings.HasPrefix(name, "ringway/") || strings.HasPrefix(name, namePrefix) || strings.ContainsAny(fields["flags"], "SM") {
			continue
		}
		if len(clients) == shownStrangers {
			more++
			continue
		}
		clients = append(clients, strings.TrimSpace(fields["addr"]+" "+name))
	}
	if more > 0 {
		clients = append(clients, fmt.Sprintf("and %d more", more))
	}
	return clients, err
}

// clientFields returns the fields of a line of CLIENT LIST.
func clientFields(line string) map[string]string {
	fields := map[string]string{}
	for field := range strings.FieldsSeq(line) {
		if name, value, ok := strings.Cut(field, "="); ok {
			fields[name] = value
		}
	}
	return fields
}
