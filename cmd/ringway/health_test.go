package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

func TestHealthTellsWhetherTheProxyIsReady(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "h") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for kind, admin := range map[string]string{"tcp": redistest.FreeAddr(t), "unix": filepath.Join(dir, "admin")} {
		s, listen := redistest.Start(t), redistest.FreeAddr(t)
		path := configFile(t, listen, []string{s.Addr()}, "[admin]", `listen = "`+admin+`"`, `password = "secret"`)
		if code, out := command(t, "health", "-c", path); code != exitFailure || !strings.Contains(out, "is the proxy running") {
			t.Errorf("%s, not running: %d, %s", kind, code, out)
		}
		start(t, "-c", path)
		redistest.Eventually(t, patience, kind+": ready", func() bool {
			code, out := command(t, "health", "-c", path)
			return code == exitOK && out == "ok\n"
		})
		s.Kill()
		client := redistest.Dial(t, "tcp", listen)
		redistest.Eventually(t, patience, kind+": not ready", func() bool {
			client.Do("GET", "k") // its failures are what takes the server down
			code, out := command(t, "health", "--admin", admin)
			return code == exitFailure && strings.Contains(out, "0 of 1 servers are up")
		})
		if code, out := command(t, "health", "--admin", admin, "--live"); code != exitOK || out != "ok\n" {
			t.Errorf("%s: %d, %s", kind, code, out)
		}
		if code, out := command(t, "health", "--admin", admin, "now"); code != exitUsage {
			t.Errorf("%s: %d, %s", kind, code, out)
		}
	}
}
