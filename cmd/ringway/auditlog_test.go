package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

// auditedFile waits until a file has a line with each of the texts, and returns its lines.
func auditedFile(t *testing.T, path string, texts ...string) string {
	t.Helper()
	var all string
	redistest.Eventually(t, patience, path+" has "+strings.Join(texts, " and "), func() bool {
		b, _ := os.ReadFile(path)
		all = string(b)
		for _, text := range texts {
			if !strings.Contains(all, text) {
				return false
			}
		}
		return true
	})
	for line := range strings.Lines(all) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	return all
}

// The audit log has what clients and operators do, goes on in a new file after SIGHUP when somebody has renamed the old one,
// and follows the setting.
func TestAuditLogIsWrittenToAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "audit.log"), filepath.Join(dir, "other.log")
	p, config, console := operated(t, startNodes(t, 1), `audit_log = "`+path+`"`)
	c := redistest.Dial(t, "tcp", printed(t, p, `msg=listening .*addr=(\S+)`)[0])
	c.Do("DEBUG", "swordfish")
	operator := redistest.Dial(t, "tcp", console)
	operator.Do("RELOAD")
	operator.Do("AUTH", "swordfish")
	operator.Do("AUTH", "console")
	operator.Do("EJECT", "swordfish", "swordfish")
	operator.Do("PAUSE", "POOL", "alpha")
	operator.Do("RESUME", "POOL", "alpha")
	operator.Do("KILL", "swordfish")
	operator.Do("SHOW", "POOLS")
	answer, err := http.Get("http://" + console + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	all := auditedFile(t, path, `"command":"debug"`, `"at":"http"`)
	for _, want := range []string{
		`"verdict":"denied by the pool","pool":"alpha","user":"default","client":"127.0.0.1:`,
		`"verdict":"not authenticated","at":"console","client":"127.0.0.1:`,
		`"verdict":"wrong password","at":"console"`,
		`"command":"eject"`, `"command":"pause"`, `"command":"kill"`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
	if strings.Contains(all, "swordfish") || strings.Contains(all, `"show"`) {
		t.Errorf("the audit log: %s", all)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}

	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGHUP)
	printed(t, p, `msg="configuration reloaded" by=SIGHUP`)
	c.Do("SHUTDOWN")
	auditedFile(t, path, `"verdict":"not served","pool":"alpha","user":"default"`)

	replaceIn(t, config, path, filepath.Join(dir, "missing", "audit.log"))
	if got := operator.Do("RELOAD"); !strings.Contains(got, "audit_log: open ") {
		t.Errorf("RELOAD with a file that can't be: %q", got)
	}
	replaceIn(t, config, filepath.Join(dir, "missing", "audit.log"), other)
	operator.Do("RELOAD")
	c.Do("DEBUG", "x")
	auditedFile(t, other, `"command":"debug"`)
	replaceIn(t, config, other, "stderr")
	operator.Do("RELOAD")
	c.Do("FLUSHALL")
	printed(t, p, `"pool":"alpha","user":"default","client":"\S+","command":"flushall"`)
	replaceIn(t, config, `audit_log = "stderr"`, "")
	operator.Do("RELOAD")
	c.Do("SHUTDOWN")
	replaceIn(t, config, "[proxy]", "[proxy]\naudit_log = \"stderr\"")
	operator.Do("RELOAD")
	c.Do("DEBUG", "x")
	printed(t, p, `"command":"debug"`)
	if got := p.Output(); strings.Contains(got, `"command":"shutdown"`) {
		t.Errorf("it was off, and has told %s", got)
	}
}

// What is alike is counted, so that a flood neither fills the disk nor hides others.
func TestAuditLogIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	p, _, _ := operated(t, startNodes(t, 1), `audit_log = "`+path+`"`)
	c := redistest.Dial(t, "tcp", printed(t, p, `msg=listening .*addr=(\S+)`)[0])
	const flood = 5000
	c.Send(strings.Repeat(redistest.Request("DEBUG", "x"), flood) + redistest.Request("SHUTDOWN"))
	for range flood + 1 {
		c.Reply()
	}
	p.Signal(syscall.SIGTERM)
	exited(t, p)
	all := auditedFile(t, path, `"command":"shutdown"`, "more like this")
	if n := strings.Count(all, "\n"); n > 20*auditRepeats {
		t.Errorf("%d lines for %d refusals", n, flood)
	}
}
