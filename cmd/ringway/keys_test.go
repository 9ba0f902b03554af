package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// keyFiles writes two configurations of a pool: of the first two servers, and of all three.
func keyFiles(t *testing.T, servers []*redistest.Server, lines string) (was, now string) {
	t.Helper()
	file := func(name string, servers []*redistest.Server) string {
		var list []string
		for i, s := range servers {
			list = append(list, `"`+s.Addr()+" server"+strconv.Itoa(i)+`"`)
		}
		path := filepath.Join(t.TempDir(), name)
		text := "[pools.alpha]\nlisten = \"127.0.0.1:0\"\nhash_tag = \"{}\"\nservers = [" + strings.Join(list, ", ") + "]\n" + lines
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return file("old.toml", servers[:2]), file("new.toml", servers)
}

func TestPlanVerifyAndOrphansAskTheServers(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	was, now := keyFiles(t, servers, "")
	for _, s := range servers[:2] {
		for i := range 300 { // the same keys at both: each is an orphan at one
			s.Client().Set(t.Context(), "key:"+strconv.Itoa(i), "1", 0)
		}
	}
	code, out := command(t, "plan", "-c", now, "--against", was, "--keys")
	if code != exitMoves || !strings.Contains(out, "of 300 keys move") || !strings.Contains(out, "server0 -> server2") ||
		!strings.Contains(out, "300 more keys are at servers that do not own them") || !strings.Contains(out, "note: server server0 has clients that are not Ringway") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "verify", "-c", was, "--to", now); code != exitDiffer || !strings.Contains(out, "missing\n") || !strings.Contains(out, "the pools differ in ") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "verify", "-c", was, "--to", was); code != exitOK || !strings.HasSuffix(out, "the pools agree\n") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "orphans", "-c", was); code != exitDiffer || !strings.Contains(out, " of 300 keys   removed 0 ") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "orphans", "-c", was, "--purge", "--max-rate", "5000"); code != exitOK {
		t.Errorf("%d, %s", code, out)
	}
	if n := servers[0].Client().DBSize(t.Context()).Val() + servers[1].Client().DBSize(t.Context()).Val(); n != 300 {
		t.Errorf("%d keys are left, want 300", n)
	}
}

func TestOrphansOfAPoolThatEjects(t *testing.T) {
	t.Parallel()
	was, _ := keyFiles(t, redistest.StartN(t, 2), "auto_eject_hosts = true\n")
	if code, out := command(t, "orphans", "-c", was, "--purge"); code != exitUsage || !strings.Contains(out, "--none-ejected") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "orphans", "-c", was, "--purge", "--none-ejected"); code != exitOK {
		t.Errorf("%d, %s", code, out)
	}
}

func TestCheckConnectsToTheServers(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	good, all := keyFiles(t, servers, "")
	if code, out := command(t, "check", "-c", good, "--connect"); code != exitOK || strings.Count(out, " primary ") != 2 || strings.Count(out, "  none\n") != 2 {
		t.Errorf("%d, %s", code, out)
	}
	servers[2].Do("REPLICAOF", "127.0.0.1", "1")
	if code, out := command(t, "check", "-c", all, "--connect"); code != exitFailure || !strings.Contains(out, "server2 at "+servers[2].Addr()+": it is a replica of 127.0.0.1:1") {
		t.Errorf("%d, %s", code, out)
	}
}
