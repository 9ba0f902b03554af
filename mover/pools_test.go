package mover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ringway/conf"
	"ringway/internal/redistest"
)

// open opens a pool of servers for a test.
func open(t *testing.T, c *conf.Pool) *Pool {
	t.Helper()
	p, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// fill writes keys of all types where a pool's ring places them, in database 0 and some in 3.
func fill(t *testing.T, p *Pool, n int) {
	t.Helper()
	fillSome(t, p, n, func([]byte) bool { return true })
}

func fillSome(t *testing.T, p *Pool, n int, want func(key []byte) bool) {
	t.Helper()
	for _, s := range p.distinct() {
		for _, db := range []int64{0, 3} {
			if err := s.c.selectDB(db); err != nil {
				t.Fatal(err)
			}
			sent := 0
			for i := range n {
				if db == 3 && i%10 != 0 {
					continue
				}
				requests := requestsOf(i)
				if key := []byte(requests[0][1]); p.Owner(key) != s.RunID || !want(key) {
					continue
				}
				for _, request := range requests {
					s.c.send(request...)
					sent++
				}
			}
			if err := s.c.answers(sent, func(_ int, _ []byte, err error) error { return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// requestsOf returns what writes the i-th key, of one of all types; some expire.
func requestsOf(i int) [][]string {
	key := fmt.Sprintf("key\x00\xff\r\n:%d", i)
	switch i % 8 {
	case 0:
		return [][]string{{"SET", key, strings.Repeat("v", i)}}
	case 1:
		return [][]string{{"RPUSH", key, "a", "b", strconv.Itoa(i)}}
	case 2:
		return [][]string{{"SADD", key, "a", "b", strconv.Itoa(i)}, {"PEXPIREAT", key, "33333333333333"}}
	case 3:
		return [][]string{{"ZADD", key, "1", "a", "2.5", "b", "3", strconv.Itoa(i)}}
	case 4:
		return [][]string{{"HSET", key, "f", "1", "g", strconv.Itoa(i)}}
	case 5:
		return [][]string{
			{"XADD", key, "5-1", "f", "v"}, {"XADD", key, "5-2", "f", "v"}, {"XGROUP", "CREATE", key, "g", "0"},
		}
	case 6:
		return [][]string{{"SET", key, strconv.Itoa(i)}, {"PEXPIREAT", key, "33333333333333"}}
	}
	return [][]string{{"PFADD", key, "a", "b", strconv.Itoa(i)}}
}

// copyByHand puts everything that the first pool holds where the second places it.
func copyByHand(t *testing.T, from, to *Pool, n int) {
	t.Helper()
	fillSome(t, to, n, func(key []byte) bool { return from.Owner(key) != to.Owner(key) })
}

func TestVerify(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	from, to := open(t, poolOf(servers[:2]...)), open(t, poolOf(servers...))
	const n = 400
	fill(t, from, n)
	verify := func() *Verification {
		t.Helper()
		v, err := Verify(t.Context(), from, to, VerifyOptions{Rounds: 1, Gap: 1})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := verify()
	if v.Agrees() || int64(len(v.Differing)) != v.Compared || v.Keys != n+n/10 || v.Unmoved+v.Compared != v.Keys || v.Compared < n/6 {
		t.Errorf("before the copy: %d differ, %+v", len(v.Differing), *v)
	}
	copyByHand(t, from, to, n)
	if v := verify(); !v.Agrees() || v.Compared < n/6 || v.Checked != v.Compared {
		t.Errorf("after the copy: %+v", *v)
	}
	// One difference of each kind.
	c := to.Servers[2]
	moved := 0
	var wants []string
	for i := range n {
		key := requestsOf(i)[0][1]
		if to.Owner([]byte(key)) != c.RunID {
			continue
		}
		if err := c.c.selectDB(0); err != nil {
			t.Fatal(err)
		}
		switch moved++; moved {
		case 1:
			c.c.do("DEL", key)
			wants = append(wants, key+" missing")
		case 2:
			c.c.do("PEXPIRE", key, "77777")
			wants = append(wants, key+" other expiry")
		case 3:
			c.c.do("DEL", key)
			c.c.do("SET", key, "other")
			c.c.do("PEXPIREAT", key, "99999999999999")
			src := from.byRunID(from.Owner([]byte(key)))
			src.c.selectDB(0)
			src.c.do("PEXPIREAT", key, "99999999999999")
			wants = append(wants, key+" other value")
		case 4:
			src := from.byRunID(from.Owner([]byte(key)))
			src.c.selectDB(0)
			src.c.do("DEL", key)
			wants = append(wants, key+" not removed")
		}
	}
	var got []string
	for _, d := range verify().Differing {
		got = append(got, d.Key+" "+d.Why)
	}
	slices.Sort(got)
	slices.Sort(wants)
	if !slices.Equal(got, wants) {
		t.Errorf("differences %q, want %q", got, wants)
	}
}

// Servers that encode values in other ways hold the same: and what they hold differently is seen through that.
func TestVerifySeesThroughEncodings(t *testing.T) {
	t.Parallel()
	plain := redistest.Start(t)
	other := redistest.Start(t, redistest.Args("--hash-max-listpack-entries", "1", "--zset-max-listpack-entries", "1", "--set-max-intset-entries", "1",
		"--list-max-listpack-size", "1", "--stream-node-max-entries", "1"))
	from, to := open(t, poolOf(plain)), open(t, poolOf(other))
	for _, s := range []*Server{from.Servers[0], to.Servers[0]} {
		for _, request := range []string{
			"HSET h a 1 b 2 c 3", "ZADD z 1 a 2 b", "SADD s 1 2 3", "RPUSH l a b c", "XADD x 1-1 a 1", "XADD x 1-2 a 1", "XGROUP CREATE x g 0",
		} {
			if _, err := s.c.do(strings.Fields(request)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	v, err := Verify(t.Context(), from, to, VerifyOptions{Rounds: 1, Gap: 1})
	if err != nil || !v.Agrees() || v.Compared != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	for _, request := range []string{"HSET h a 2", "ZADD z 3 a", "SREM s 1", "LSET l 0 x", "XGROUP SETID x g 1-1"} {
		if _, err := to.Servers[0].c.do(strings.Fields(request)...); err != nil {
			t.Fatal(err)
		}
	}
	v, err = Verify(t.Context(), from, to, VerifyOptions{Rounds: 1, Gap: 1})
	if err != nil || len(v.Differing) != 5 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	p := open(t, poolOf(servers...))
	const n = 300
	fill(t, p, n)
	// The second pool uses another database of the same servers, which places keys by another hash.
	c2 := poolOf(servers...)
	c2.Name, c2.Hash, c2.RedisDB, c2.Databases, c2.Distribution = "beta", "md5", 15, 1, "modula"
	p.Conf.Databases = 15
	p2 := open(t, c2)
	for i := range 100 {
		key := fmt.Sprintf("beta:%d", i)
		s := p2.byRunID(p2.Owner([]byte(key)))
		s.c.selectDB(15)
		s.c.do("SET", key, "1")
	}
	orphans := func(purge bool) (keys, removed int64) {
		t.Helper()
		found, err := FindOrphans(t.Context(), []*Pool{p, p2}, purge, nil)
		if err != nil || len(found) != 2 {
			t.Fatalf("%v, %v", found, err)
		}
		for _, o := range found {
			keys, removed = keys+o.Keys, removed+o.Removed
		}
		return keys, removed
	}
	if keys, _ := orphans(false); keys != 0 {
		t.Fatalf("%d orphans in pools that are as they should be", keys)
	}
	wrong := 0
	for i := range 60 {
		key := fmt.Sprintf("left behind:%d", i)
		for _, s := range p.distinct() {
			if s.c.selectDB(int64(i % 2)); p.Owner([]byte(key)) != s.RunID {
				s.c.do("SET", key, "1")
				wrong++
			}
		}
	}
	s := p.Servers[0]
	s.c.selectDB(0)
	s.c.do("SET", reserved+"ring:alpha", "1") // is no data
	if keys, removed := orphans(false); keys != int64(wrong) || removed != 0 {
		t.Errorf("%d orphans, %d removed; want %d and 0", keys, removed, wrong)
	}
	if keys, removed := orphans(true); keys != int64(wrong) || removed != keys {
		t.Errorf("%d orphans, %d removed; want %d", keys, removed, wrong)
	}
	if keys, _ := orphans(false); keys != 0 {
		t.Errorf("%d orphans are left", keys)
	}
	s.c.selectDB(0)
	if n, _ := s.c.text("EXISTS", reserved+"ring:alpha"); n != "1" {
		t.Error("a reserved key was removed")
	}
}

// Two names for one server are one server: no key of it moves, or is an orphan.
func TestTwoNamesForOneServer(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	from, to := open(t, poolOf(s)), open(t, poolOf(s, s))
	fill(t, from, 50)
	survey, err := Measure(t.Context(), from, to, SurveyOptions{})
	if moving, _ := survey.Moving(); err != nil || moving != 0 || survey.Keys != 55 {
		t.Errorf("%+v, %v", survey, err)
	}
	if found, err := FindOrphans(t.Context(), []*Pool{to}, true, nil); err != nil || found[0].Keys != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	full := redistest.Start(t, redistest.Args("--maxmemory", "1100kb", "--maxmemory-policy", "allkeys-lru"))
	replica := redistest.Start(t, redistest.ReplicaOf(servers[0]))
	from, to := open(t, poolOf(servers...)), open(t, poolOf(servers[0], servers[1], full, replica))
	fill(t, from, 800)
	key := ""
	for i := 0; key == ""; i++ {
		if name := fmt.Sprintf("big:%d", i); to.Owner([]byte(name)) == to.Servers[2].RunID {
			key = name
		}
	}
	owner := from.byRunID(from.Owner([]byte(key)))
	owner.c.do("SET", key, strings.Repeat("x", 1<<20))
	stranger := connect(t, servers[1])
	stranger.do("CLIENT", "SETNAME", "cron")
	survey, err := Measure(t.Context(), from, to, SurveyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	moving, bytes := survey.Moving()
	if survey.Keys != 881 || moving < 300 || moving > 600 || bytes < 1<<20 || survey.Strays != 0 || len(survey.Largest) != largestKeys || survey.Largest[0].Key != key {
		t.Errorf("%d keys, %d move, %d bytes, %+v", survey.Keys, moving, bytes, survey.Largest)
	}
	var all []string
	for _, o := range survey.Obstacles {
		all = append(all, fmt.Sprint(o.Refuses, " ", o.What))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"true server c has maxmemory 1126400 and uses", "false server c evicts keys when it is full (allkeys-lru)", "true server d is a replica", "cron"} {
		if !strings.Contains(text, want) {
			t.Errorf("obstacles are %s; want %q", text, want)
		}
	}
	sampled, err := Measure(t.Context(), from, to, SurveyOptions{OneIn: 4})
	if n, _ := sampled.Moving(); err != nil || n != moving {
		t.Errorf("a sample has %d keys that move, %v", n, err)
	}
}

func TestPoolsThatCanNotBeOpened(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := poolOf(s, s)
	c.Distribution = "random"
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "random") {
		t.Error(err)
	}
	c = poolOf(s)
	c.Topology = conf.Sentinel
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "topology sentinel") {
		t.Error(err)
	}
	c = poolOf(s)
	c.Servers[0].Addr = "127.0.0.1:1"
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "server a") {
		t.Error(err)
	}
	c = poolOf(s)
	c.RedisAuth = "wrong"
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "AUTH") && !strings.Contains(err.Error(), "WRONGPASS") {
		t.Error(err)
	}
}
