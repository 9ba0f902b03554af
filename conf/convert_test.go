package conf

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"ringway/hashring"
)

// A converted configuration is the nutcracker.yml's, pool for pool, and places every key the same.
func TestConvertedConfigurationIsTheSame(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	shapes := []string{
		"   - 127.0.0.1:6379:1\n   - 127.0.0.1:6380:3\n   - ::1:6379:1\n",
		"   - 127.0.0.1:6379:1 one\n   - /run/a.sock:7 zwei\n   - 10.0.0.1:11211:2\n",
	}
	settings := []string{
		"", "  hash_tag: \"{}\"\n  timeout: 400\n  auto_eject_hosts: true\n  server_retry_timeout: 2000\n  server_failure_limit: 0\n",
		"  hash_tag: '\"\\'\n  redis_auth: \"p: # ü\\\"\\\\\\t'\"\n  redis_db: 3\n  backlog: 7\n  server_connections: 2\n  client_connections: 9\n",
		"  tcpkeepalive: true\n  reuseport: true\n  preconnect: true\n  timeout: 90000\n",
	}
	n := 0
	for _, hash := range nutcrackerHashes {
		for _, distribution := range nutcrackerDistributions {
			fmt.Fprintf(&text, "pool %d:\n  listen: 127.0.0.1:%d\n  redis: true\n  hash: %s\n  distribution: %s\n%s  servers:\n%s",
				n, 2000+n, hash, distribution, settings[n%len(settings)], shapes[n/2%len(shapes)])
			n++
		}
	}
	text.WriteString("cache:\n  listen: '*:11211'\n  servers:\n  - 127.0.0.1:11212:1\n")
	text.WriteString("last:\n  listen: /run/x 660\n  redis: true\n  redis_db: 2\n  servers:\n  - 127.0.0.1:6379:1\n")

	want, _, err := Parse([]byte(text.String()), "nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := Convert([]byte(text.String()), "nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := Parse(out, "ringway.toml")
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if len(got.Pools) != n+1 {
		t.Fatalf("%d pools, want %d", len(got.Pools), n+1)
	}
	for i := range got.Pools {
		p, q := got.Pools[i], want.Pools[i]
		if q.RedisAuth != "" { // redis_db is left out: a database that nutcracker does not select
			q.Databases = p.Databases
		}
		if !reflect.DeepEqual(p, q) {
			t.Errorf("pool %q:\n%+v, want\n%+v", q.Name, p, q)
		}
		one, err1 := hashring.New(p.Ring())
		other, err2 := hashring.New(q.Ring())
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for k := range 200 {
			key := fmt.Sprintf("user{%d}:%d\xff", k%7, k)
			if a, b := one.Index([]byte(key)), other.Index([]byte(key)); a != b && p.Distribution != "random" {
				t.Errorf("pool %q: key %q at %d, want %d", p.Name, key, a, b)
			}
		}
	}
	for _, comment := range []string{`# Pool "cache" is left out`, "# client_connections = 9", "# redis_db: 3 is left out", "# No hash tag"} {
		if !strings.Contains(string(out), comment) {
			t.Errorf("no %q in\n%s", comment, out)
		}
	}
}

func TestWhatIsWrongIsNotConverted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "alpha:\n  lisen: x\n", strings.Repeat("#", maxText+1)} {
		if out, _, err := Convert([]byte(text), "x.yml"); err == nil || out != nil {
			t.Errorf("%.40q becomes %q, %v", text, out, err)
		}
	}
}
