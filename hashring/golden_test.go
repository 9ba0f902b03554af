package hashring

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// recorded is testdata/placement.txt, which explains its own format.
type recorded struct {
	hashes  []hashValue
	with156 map[int]bool
	keys    [][]byte
	pools   []recordedPool
}

type hashValue struct {
	function   string
	signedChar bool
	key        []byte
	value      uint32
}

type recordedPool struct {
	name   string
	config Config
	points int
	owners string // a digit for each key
}

func readRecorded(t *testing.T) *recorded {
	t.Helper()
	file, err := os.Open("testdata/placement.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rec := &recorded{with156: map[int]bool{}}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		if err := rec.add(lines.Text()); err != nil {
			t.Fatalf("placement.txt:%d: %v", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rec
}

// add takes one line in.
func (rec *recorded) add(line string) error {
	record, rest, _ := strings.Cut(line, " ")
	switch record {
	case "hash", "unsigned":
		v := hashValue{signedChar: record == "hash"}
		var key string
		if _, err := fmt.Sscanf(rest, "%s %q %d", &v.function, &key, &v.value); err != nil {
			return err
		}
		var err error
		v.key, err = hex.DecodeString(key)
		rec.hashes = append(rec.hashes, v)
		return err
	case "with156":
		var n int
		_, err := fmt.Sscan(rest, &n)
		rec.with156[n] = true
		return err
	case "key":
		key, err := hex.DecodeString(strings.Trim(rest, `"`))
		rec.keys = append(rec.keys, key)
		return err
	case "pool":
		var p recordedPool
		_, err := fmt.Sscanf(rest, "%s %s %s %q %d", &p.name, &p.config.Hash, &p.config.Distribution, &p.config.HashTag, &p.points)
		rec.pools = append(rec.pools, p)
		return err
	case "server":
		var s Server
		_, err := fmt.Sscanf(rest, "%s %d", &s.Name, &s.Weight)
		p := &rec.pools[len(rec.pools)-1]
		p.config.Servers = append(p.config.Servers, s)
		return err
	case "owners":
		rec.pools[len(rec.pools)-1].owners = rest
	case "#":
	default:
		return fmt.Errorf("unknown record %q", record)
	}
	return nil
}

func TestHashesGiveTheRecordedValues(t *testing.T) {
	t.Parallel()
	rec := readRecorded(t)
	if got, want := len(rec.hashes), 12*46+5*16+4; got != want {
		t.Fatalf("%d recorded values, want %d", got, want)
	}
	differs := map[string]bool{}
	for _, v := range rec.hashes {
		check := func(signed bool) {
			f, ok := LookupHash(v.function, signed)
			if !ok {
				t.Fatalf("no hash %q", v.function)
			}
			if got := f(v.key); got != v.value {
				t.Errorf("%s(%q), signed %v = %d, want %d", v.function, v.key, signed, got, v.value)
			}
		}
		check(v.signedChar)
		if !v.signedChar {
			differs[v.function+string(v.key)] = true
		}
	}
	// Where no other value is recorded, signedness does not matter.
	for _, v := range rec.hashes {
		if f, _ := LookupHash(v.function, false); v.signedChar && !differs[v.function+string(v.key)] && f(v.key) != v.value {
			t.Errorf("%s(%q), unsigned = %d, want %d", v.function, v.key, f(v.key), v.value)
		}
	}
}

func TestPoolsPlaceKeysAsRecorded(t *testing.T) {
	t.Parallel()
	rec := readRecorded(t)
	if len(rec.pools) != 144 || len(rec.keys) != 200 {
		t.Fatalf("%d pools and %d keys, want 144 and 200", len(rec.pools), len(rec.keys))
	}
	for _, p := range rec.pools {
		r := mustNew(t, p.config)
		for i, key := range rec.keys {
			if got, want := r.Index(key), int(p.owners[i]-'0'); got != want {
				t.Errorf("%s, %s, %s: %q is on %d, want %d", p.name, p.config.Hash, p.config.Distribution, key, got, want)
			}
		}
		points := 0
		for _, s := range r.Points() {
			points += s.Points
		}
		if points != p.points {
			t.Errorf("%s, %s, %s: %d points, want %d", p.name, p.config.Hash, p.config.Distribution, points, p.points)
		}
	}
}

func TestEqualWeightsGiveTheRecordedPointCounts(t *testing.T) {
	t.Parallel()
	rec := readRecorded(t)
	if len(rec.with156) != 103 {
		t.Fatalf("%d server counts with 156 points, want 103", len(rec.with156))
	}
	for n := 1; n <= 1000; n++ {
		want := 160
		if rec.with156[n] {
			want = 156
		}
		for _, weight := range []int{1, 3, 100} {
			if got := ketamaDigests(weight, uint32(n*weight), n) * pointsPerDigest; got != want {
				t.Errorf("%d servers of weight %d: %d points each, want %d", n, weight, got, want)
			}
		}
	}
}

func mustNew(t testing.TB, cfg Config) *Ring {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
