package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// Passwords stand nowhere that others look: not in what clients and operators are shown, and not in the log.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	const pool, console, wrong = "swordfish-pool", "swordfish-console", "swordfish-wrong"
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1))
	secret := filepath.Join(t.TempDir(), "redis")
	if err := os.WriteFile(secret, []byte(pool+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	replaceIn(t, path, "servers = [", "redis_auth_file = \""+secret+"\"\nallow_commands = [\"monitor\"]\nslow_request = \"1us\"\nservers = [")
	replaceIn(t, path, "[pools.alpha]", "[admin]\nlisten = \"127.0.0.1:0\"\npassword = \""+console+"\"\n[pools.alpha]")
	p := start(t, "-c", path)
	operators := redistest.Dial(t, "tcp", printed(t, p, `msg="listening for operators" addr=(\S+)`)[0])
	addr := printed(t, p, `msg=listening .*addr=(\S+)`)[0]
	client, monitor := redistest.Dial(t, "tcp", addr), redistest.Dial(t, "tcp", addr)

	var shown strings.Builder
	show := func(c *redistest.Conn, args ...string) { shown.WriteString(c.Do(args...)) }
	show(operators, "AUTH", wrong)
	show(operators, "AUTH", console)
	monitor.Do("AUTH", pool)
	show(monitor, "MONITOR")
	for _, request := range [][]string{
		{"AUTH", wrong}, {"AUTH", "default", wrong}, {"HELLO", "3", "AUTH", "default", wrong}, {"AUTH", wrong, wrong, wrong},
		{"AUTH", pool}, {"HELLO", "2", "AUTH", "default", pool}, {"AUTH", pool}, {"GET", "key"},
		{"CLIENT", "LIST"}, {"CLIENT", "INFO"}, {"SLOWLOG", "GET"}, {"INFO", "everything"},
	} {
		show(client, request...)
	}
	shown.WriteString(monitor.Reply())
	for _, table := range []string{"FILE", "CONFIG", "POOLS", "SERVERS", "CLIENTS", "SLOW", "EVENTS"} {
		show(operators, "SHOW", table)
	}
	replaceIn(t, path, "password = \""+console, "password = \""+console+"2")
	show(operators, "RELOAD")
	shown.WriteString(p.Output())
	if at := strings.Index(shown.String(), "swordfish"); at >= 0 {
		t.Errorf("a password is shown: %.200q", shown.String()[max(0, at-100):])
	}
}
