package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// command runs a subcommand to its end, and returns its exit code and what it has printed.
func command(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	path, err := exec.LookPath("ringway")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// replaceIn replaces a text in a file.
func replaceIn(t *testing.T, path, old, by string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q, %v", path, old, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, by, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// operated starts a proxy with a console, and returns the configuration file and the console's address.
func operated(t *testing.T, servers []string, lines ...string) (p *redistest.Process, path, console string) {
	t.Helper()
	path = configFile(t, "127.0.0.1:0", servers, append(lines, "[admin]\nlisten = \"127.0.0.1:0\"\npassword = \"console\"")...)
	p = start(t, "-c", path)
	return p, path, printed(t, p, `msg="listening for operators" addr=(\S+)`)[0]
}

// A plan compares the file with what the process has in force, although the file was changed in place.
func TestPlanAsksARunningProxy(t *testing.T) {
	t.Parallel()
	_, path, console := operated(t, []string{"127.0.0.1:1 a", "127.0.0.1:2 b"})
	plan := func() (int, string) {
		return command(t, "plan", "-c", path, "--admin", console)
	}
	if code, out := plan(); code != exitOK || !strings.HasSuffix(out, "nothing would change\n") {
		t.Errorf("%d, %s", code, out)
	}
	replaceIn(t, path, `"127.0.0.1:2 b"`, `"127.0.0.1:3 b"`)
	if code, out := plan(); code != exitOK || !strings.Contains(out, "pools.alpha: server b \"127.0.0.1:2\" -> \"127.0.0.1:3\" (line 7)\n") || !strings.Contains(out, "pool alpha: no keys would move\n") {
		t.Errorf("%d, %s", code, out)
	}
	replaceIn(t, path, `"127.0.0.1:3 b"`, `"127.0.0.1:2 b", "127.0.0.1:3 c"`)
	code, out := plan()
	if code != exitMoves || !strings.Contains(out, "pools.alpha: server c added \"127.0.0.1:3\" (line 7)\n") || !strings.Contains(out, " % of keys would move (exactly") {
		t.Errorf("%d, %s", code, out)
	}
	if strings.Contains(out, "password") {
		t.Errorf("passwords are compared: %s", out)
	}
	if code, out := command(t, "plan", "-c", path, "--admin", console, "--password", "wrong"); code != exitFailure || !strings.Contains(out, "WRONGPASS") {
		t.Errorf("%d, %s", code, out)
	}
}
