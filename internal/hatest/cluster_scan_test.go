package hatest

import (
	"fmt"
	"strings"
	"testing"

	"ringway/hashring"
	"ringway/internal/redistest"
)

// scanning scans all keys, calls between after some steps, and returns the keys found.
func (c conversation) scanning(pattern string, between func()) map[string]bool {
	c.t.Helper()
	found, cursor := map[string]bool{}, "0"
	for step := 0; ; step++ {
		lines := strings.Split(c.Do("SCAN", cursor, "COUNT", "10", "MATCH", pattern), "\r\n")
		if len(lines) < 4 || lines[0] != "*2" {
			c.t.Fatalf("SCAN %s: %q", cursor, lines)
		}
		for i := 5; i < len(lines); i += 2 {
			found[lines[i]] = true
		}
		if cursor = lines[2]; cursor == "0" {
			return found
		}
		if step == 3 {
			between()
		}
	}
}

// SCAN finds every key that exists all the time, even if its slot moves meanwhile from a
// shard that was not scanned yet to one that was. The test moves slots in both
// directions, and with moves that end before the scan does or not. With a pattern for the
// keys of one slot the scan goes to one shard, as long as nothing moves.
func TestScanFindsKeysThatMoveMeanwhile(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	p, _ := serveCluster(t, c)
	for _, test := range []struct {
		name     string
		from, to *redistest.Server
		ends     bool
	}{
		{"to the second, moved", c.Servers[0], c.Servers[1], true},
		{"to the first, moved", c.Servers[1], c.Servers[0], true},
		{"to the second, on their way", c.Servers[0], c.Servers[1], false},
		{"to the first, on their way", c.Servers[1], c.Servers[0], false},
	} {
		prefix := strings.ReplaceAll(test.name, " ", "_")
		tag := ""
		for i := 0; tag == ""; i++ {
			if t := fmt.Sprint(i); c.Owner(int(hashring.Slot([]byte(t)))) == test.from {
				tag = t
			}
		}
		t.Run(test.name, func(t *testing.T) {
			scanWhileMoving(t, c, p, prefix, tag, test.from, test.to, test.ends)
		})
		t.Run(test.name+", of one slot", func(t *testing.T) {
			if err := c.Move(test.to, test.from, int(hashring.Slot([]byte(tag)))); err != nil {
				t.Fatal(err)
			}
			scanWhileMoving(t, c, p, "{"+tag+"}"+prefix, tag, test.from, test.to, test.ends)
		})
	}
}

// scanWhileMoving scans keys with a prefix while the slot of a tag, which some or all of them
// have, moves. ends says that the move ends before the scan does.
func scanWhileMoving(t *testing.T, c *redistest.Cluster, p *Proxy, prefix, tag string, from, to *redistest.Server, ends bool) {
	s := p.talk(t)
	slot := int(hashring.Slot([]byte(tag)))
	var keys, moving []string
	for i := range 100 {
		key := fmt.Sprintf("%s:%d", prefix, i)
		if i%10 == 0 {
			key += "{" + tag + "}"
		}
		if int(hashring.Slot([]byte(key))) == slot {
			moving = append(moving, key)
		}
		keys = append(keys, key)
		s.do("SET "+key+" v", "+OK\r\n")
	}
	end := func() {
		if err := c.MoveAllKeys(slot, from, to); err != nil {
			t.Fatal(err)
		}
		if err := c.EndMove(slot, from, to); err != nil {
			t.Fatal(err)
		}
	}
	found := s.scanning(prefix+"*", func() {
		if err := c.StartMove(slot, from, to); err != nil {
			t.Fatal(err)
		}
		if err := c.MoveKeys(from, to, moving...); err != nil {
			t.Fatal(err)
		}
		if ends {
			end()
		}
	})
	for _, key := range keys {
		if !found[key] {
			t.Errorf("%s was there all the time", key)
		}
	}
	if !ends {
		end()
	}
}

// KEYS and SCAN for keys of one slot ask its shard only; SORT with patterns is for the servers
// to refuse.
func TestPatternsOfOneSlotConcernOneShard(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	p, _ := serveCluster(t, c, `allow_commands = ["keys"]`)
	s := p.talk(t)
	for i := range 50 {
		s.do(fmt.Sprint("SET {b}:", i, " v"), "+OK\r\n")
		s.do(fmt.Sprint("SET other:", i, " v"), "+OK\r\n")
	}
	for _, server := range c.Servers {
		server.Do("CONFIG", "RESETSTAT")
	}
	if found := s.scanning("{b}:*", func() {}); len(found) != 50 {
		t.Errorf("SCAN finds %d keys of 50", len(found))
	}
	if got := s.Do("KEYS", "{b}:4?"); !strings.HasPrefix(got, "*10\r\n") {
		t.Errorf("KEYS: %q", got)
	}
	s.do("MULTI", "+OK\r\n")
	s.do("GET {b}:1", "+QUEUED\r\n")
	s.do("KEYS {b}:7", "+QUEUED\r\n")
	s.do("EXEC", "*2\r\n$1\r\nv\r\n*1\r\n$5\r\n{b}:7\r\n")
	for _, command := range []string{"keys", "scan"} {
		asked := 0
		for _, server := range c.Servers {
			if strings.Contains(server.Do("INFO", "commandstats"), "cmdstat_"+command+":") {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("%s went to %d shards", command, asked)
		}
	}
	s.do("RPUSH {b}:list 1", ":1\r\n")
	if got := s.Do("SORT", "{b}:list", "BY", "{b}:w_*"); !strings.HasPrefix(got, "-ERR BY option of SORT denied in ") && got != "*1\r\n$1\r\n1\r\n" {
		t.Errorf("SORT: %q", got)
	}
}
