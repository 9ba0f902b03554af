package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// A sweep collects what a process shows to those who look at it.
type sweep struct {
	t     *testing.T
	shown map[string]string // by what shows it
}

func (s *sweep) add(where, text string) { s.shown[where] += text }

// ask adds the answer to a request.
func (s *sweep) ask(c *redistest.Conn, args ...string) { s.add(args[0], c.Do(args...)) }

// visit adds what an address answers over HTTP to the password of operators. Of the page's events these are the ones up to the
// first about the present in which until stands.
func (s *sweep) visit(url, password, until string) {
	s.t.Helper()
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.SetBasicAuth("swordfish-name", password)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	s.add(url, fmt.Sprint(answer.Status, answer.Header))
	if until == "" {
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		s.add(url, string(body))
		return
	}
	lines, now := bufio.NewScanner(answer.Body), false
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		s.add(url, line+"\n")
		if event, is := strings.CutPrefix(line, "event: "); is {
			now = event == "now"
		}
		if now && strings.Contains(line, until) {
			return
		}
	}
	s.t.Errorf("%s ends without %s: %v", url, until, lines.Err())
}

// Passwords stand nowhere that others look: not in what clients and operators are shown, neither by RESP nor by HTTP, and in no log.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t) // the page has samples of the present each second
	const pool, console, wrong, alice = "swordfish-pool", "swordfish-console", "swordfish-wrong", "swordfish-alice"
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1), `audit_log = "stderr"`, `log_level = "debug"`, `stats_listen = "127.0.0.1:0"`)
	secret := filepath.Join(t.TempDir(), "redis")
	if err := os.WriteFile(secret, []byte(pool+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	replaceIn(t, path, "servers = [", "redis_auth_file = \""+secret+"\"\nallow_commands = [\"monitor\", \"config\"]\nslow_request = \"1us\"\nservers = [")
	replaceIn(t, path, "[pools.alpha]", "[admin]\nlisten = \"127.0.0.1:0\"\npassword = \""+console+"\"\n"+
		"[pools.beta]\nlisten = \"127.0.0.1:0\"\nslow_request = \"1us\"\nallow_commands = [\"config\"]\nservers = [\"127.0.0.1:1 closed\"]\n"+
		"[pools.beta.users.alice]\npassword = \""+alice+"\"\nrules = \"+@all ~app:*\"\nserver_user = \"bob\"\nserver_password = \"swordfish-bob\"\n[pools.alpha]")
	p := start(t, "-c", path)
	at := printed(t, p, `msg="listening for operators" addr=(\S+)`)[0]
	operators := redistest.Dial(t, "tcp", at)
	dial := func(pool string) *redistest.Conn {
		return redistest.Dial(t, "tcp", printed(t, p, `msg=listening pool=`+pool+` addr=(\S+)`)[0])
	}
	client, monitor, user := dial("alpha"), dial("alpha"), dial("beta")

	s := &sweep{t, map[string]string{}}
	s.ask(operators, "AUTH", wrong)
	s.ask(operators, "AUTH", console)
	monitor.Do("AUTH", pool)
	s.ask(monitor, "MONITOR")
	for _, request := range [][]string{
		{"AUTH", wrong}, {"AUTH", "default", wrong}, {"HELLO", "3", "AUTH", "default", wrong}, {"AUTH", wrong, wrong, wrong},
		{"AUTH", pool}, {"HELLO", "2", "AUTH", "default", pool}, {"AUTH", pool}, {"GET", "key"},
		{"CLIENT", "LIST"}, {"CLIENT", "INFO"}, {"SLOWLOG", "GET"}, {"INFO", "everything"},
		{"CONFIG", "GET", "requirepass"},
	} {
		s.ask(client, request...)
	}
	s.add("MONITOR", monitor.Reply())
	for _, request := range [][]string{
		{"AUTH", alice}, {"AUTH", "alice", wrong}, {"AUTH", wrong, "alice"}, {"AUTH", alice, "alice"}, {"HELLO", "3", "AUTH", "alice", wrong}, {"AUTH", "alice", alice},
		{"GET", "app:1"}, {"ACL", "LIST"}, {"ACL", "GETUSER", "alice"}, {"ACL", "LOG"}, {"CLIENT", "LIST"}, {"SLOWLOG", "GET"}, {"INFO", "everything"},
	} {
		s.ask(user, request...)
	}
	_, tables, _ := strings.Cut(strings.TrimSpace(operators.Do("SHOW", "x")), "want SHOW ")
	all := strings.Split(tables, "|")
	if len(all) < 7 {
		t.Errorf("SHOW has the tables %q", all)
	}
	for _, table := range all {
		s.add("SHOW "+table, operators.Do("SHOW", table))
	}
	for _, address := range []string{"/", "/metrics", "/livez", "/readyz"} {
		s.visit("http://"+at+address, console, "")
		s.visit("http://"+at+address, wrong, "")
	}
	s.visit("http://"+at+"/events", wrong, "")
	s.visit("http://"+at+"/events", console, `"beta"`)
	stats := redistest.Dial(t, "tcp", printed(t, p, `msg="listening for statistics" addr=(\S+)`)[0])
	s.add("statistics", stats.WaitClosed())
	for _, args := range [][]string{{"check", "-c", path}, {"status", "--admin", at, "--password", wrong}, {"status", "--admin", at, "--password", console}, {"plan", "-c", path, "--admin", at, "--password", console}} {
		_, out := command(t, args...)
		s.add(args[0], out)
	}
	replaceIn(t, path, "password = \""+console, "password = \""+console+"2")
	s.ask(operators, "RELOAD")
	printed(t, p, "configuration reloaded") // the logs are written a moment later
	printed(t, p, `"verdict":"wrong password"`)
	s.add("the logs", p.Output())

	for where, marks := range map[string][]string{ // else it could show nothing because it is not what it was
		"http://" + at + "/": {"200 OK", "<html", "401 Unauthorized"}, "http://" + at + "/metrics": {"ringway_", `pool="beta"`}, "http://" + at + "/events": {"401 Unauthorized", "200 OK", "event: now"},
		"statistics": {`"beta"`}, "the logs": {`"verdict":"wrong password"`, "configuration reloaded"}, "ACL": {"alice"}, "SHOW CLIENTS": {"alice"}, "check": {path},
	} {
		for _, mark := range marks {
			if !strings.Contains(s.shown[where], mark) {
				t.Errorf("%s does not have %q: %.500q", where, mark, s.shown[where])
			}
		}
	}
	for where, text := range s.shown {
		if at := strings.Index(text, "swordfish"); at >= 0 {
			t.Errorf("%s shows a password: %.200q", where, text[max(0, at-100):])
		}
	}
}
