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
// directions, and with moves that end before the scan does or not.
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
		t.Run(test.name, func(t *testing.T) {
			s := p.talk(t)
			tag := ""
			for i := 0; tag == ""; i++ {
				if t := fmt.Sprint(i); c.Owner(int(hashring.Slot([]byte(t)))) == test.from {
					tag = t
				}
			}
			prefix := strings.ReplaceAll(test.name, " ", "_")
			var keys, moving []string
			for i := range 100 {
				key := fmt.Sprintf("%s:%d", prefix, i)
				if i%10 == 0 {
					key += "{" + tag + "}"
					moving = append(moving, key)
				}
				keys = append(keys, key)
				s.do("SET "+key+" v", "+OK\r\n")
			}
			slot := int(hashring.Slot([]byte(tag)))
			end := func() {
				if err := c.MoveAllKeys(slot, test.from, test.to); err != nil {
					t.Fatal(err)
				}
				if err := c.EndMove(slot, test.from, test.to); err != nil {
					t.Fatal(err)
				}
			}
			found := s.scanning(prefix+"*", func() {
				if err := c.StartMove(slot, test.from, test.to); err != nil {
					t.Fatal(err)
				}
				if err := c.MoveKeys(test.from, test.to, moving...); err != nil {
					t.Fatal(err)
				}
				if test.ends {
					end()
				}
			})
			for _, key := range keys {
				if !found[key] {
					t.Errorf("%s was there all the time", key)
				}
			}
			if !test.ends {
				end()
			}
		})
	}
}
