package session_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/audit"
	"ringway/internal/redistest"
	"ringway/limit"
)

// auditLines is an audit log that tests read.
type auditLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *auditLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// audited turns the audit log of a proxy on.
func audited(p *proxy) *auditLines {
	l := &auditLines{}
	p.server.Audit().To(audit.Handler(l))
	return l
}

func (l *auditLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// take returns the events since the last call, each as "pool user command subcommand: verdict", and forgets them. It
// waits until there are n.
func (l *auditLines) take(t *testing.T, n int) (events []string) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, fmt.Sprint(n, " lines of the audit log"), func() bool { return strings.Count(l.String(), "\n") >= n })
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text.Bytes()) {
		var e map[string]string
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e["time"] == "" || !strings.HasPrefix(e["client"], "127.0.0.1:") {
			t.Errorf("no time or address: %s", line)
		}
		who := strings.Fields(strings.Join([]string{e["pool"], e["user"], e["command"], e["subcommand"]}, " "))
		events = append(events, strings.Join(who, " ")+": "+e["verdict"])
	}
	l.text.Reset()
	return events
}

func TestAuditLogTellsOfRefusalsAndAdministration(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 1), "user default off",
		"user alice on >swordfish-a +@all -config|set ~app:* &*", "user bob on >swordfish-b +@all -@scripting ~* &*")
	cfg.Pools[0].AllowCommands = []string{"config", "client|list", "flushall", "slowlog"}
	cfg.Pools[0].DenyCommands = []string{"keys"}
	p := serve(t, cfg)
	log, c := audited(p), p.dial()
	for _, test := range []struct{ request, want string }{
		{"GET swordfish", "alpha get: not authenticated"},
		{"AUTH alice swordfish-x", "alpha alice auth: wrong password"},
		{"HELLO 3 AUTH bob swordfish-x", "alpha bob hello: wrong password"},
		{"auth swordfish-b bob", "alpha (unknown) auth: wrong password"}, // the wrong way round
		{"AUTH alice swordfish-a", ""},
		{"SET app:swordfish swordfish", ""},
		{"set swordfish swordfish", "alpha alice set: no permission"},
		{"MGET app:1 swordfish", "alpha alice mget: no permission"},
		{"SORT app:l BY swordfish*", "alpha alice sort: no permission"},
		{"CONFIG SET swordfish 1", "alpha alice config set: no permission"},
		{"CONFIG GET swordfish", "alpha alice config get: executed"},
		{"Config Get swordfish", "alpha alice config get: executed"},
		{"KEYS swordfish", "alpha alice keys: denied by the pool"},
		{"DEBUG swordfish", "alpha alice debug: denied by the pool"}, // not in allow_commands
		{"SHUTDOWN NOSAVE", "alpha alice shutdown: not served"},
		{"FLUSHALL", "alpha alice flushall: executed"},
		{"EVAL redis.call('keys','swordfish') 0", "alpha alice eval: denied by the pool"},
		{"CLIENT LIST", "alpha alice client list: executed"},
		{"SWORDFISH x", ""},      // no command at all
		{"CONFIG SWORDFISH", ""}, // no subcommand
		{"CONFIG GET", ""},       // too few arguments
		{"ACL LIST", "alpha alice acl list: executed"},
		{"AUTH bob swordfish-b", ""},
		{"SCRIPT FLUSH", "alpha bob script flush: no permission"},
		{"SLOWLOG RESET", "alpha bob slowlog reset: executed"},
		{"MULTI", ""},
		{"FLUSHALL", "alpha bob flushall: queued"},
		{"KEYS *", "alpha bob keys: denied by the pool"},
		{"DISCARD", ""},
		{"PING", ""},
	} {
		c.Do(strings.Fields(test.request)...)
		var want []string
		if test.want != "" {
			want = []string{test.want}
		}
		if got := log.take(t, len(want)); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q, want %q", test.request, got, want)
		}
	}
	p.server.Audit().To(nil)
	if c.Do("FLUSHALL"); log.String() != "" {
		t.Errorf("it is off, and tells %s", log)
	}
}

// Names, keys, values and passwords that clients send are never in it.
func TestAuditLogShowsNothingOfTheArguments(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 1), "user default on nopass +@all -@scripting ~app:* &app:*")
	p := serve(t, cfg)
	log, c := audited(p), p.dial()
	for _, request := range []string{
		"AUTH swordfish", "AUTH swordfish swordfish", "HELLO 3 AUTH swordfish swordfish SETNAME swordfish", "CLIENT SETNAME swordfish",
		"GET swordfish", "SET swordfish swordfish", "PUBLISH swordfish swordfish", "SUBSCRIBE swordfish", "EVAL swordfish 1 swordfish",
		"CONFIG SET swordfish swordfish", "ACL SETUSER swordfish >swordfish", "CLIENT KILL USER swordfish", "MIGRATE swordfish 1 swordfish 0 1 AUTH swordfish",
	} {
		c.Do(strings.Fields(request)...)
	}
	got := log.String()
	if strings.Count(got, "\n") < 10 || strings.Contains(got, "swordfish") {
		t.Errorf("the audit log: %s", got)
	}
}

func TestAuditLogTellsOfRefusedConnections(t *testing.T) {
	t.Parallel()
	cfg := withUsers(t, redistest.StartN(t, 1), "user default off", "user alice on >a +@all ~*")
	cfg.Pools[0].MaxClients = 2
	cfg.Pools[0].OwnLimits = map[string]limit.Settings{"alice": {Connections: 1}}
	p := serve(t, cfg)
	log := audited(p)
	one, two := p.dial(), p.dial()
	want(t, one, "+OK", "AUTH", "alice", "a")
	two.Do("AUTH", "alice", "a")
	if got := log.take(t, 1); len(got) != 1 || got[0] != "alpha alice: too many clients" {
		t.Errorf("one more client of the user: %q", got)
	}
	redistest.Dial(t, "tcp", p.addr).WaitClosed()
	if got := log.take(t, 1); len(got) != 1 || got[0] != "alpha: too many clients" {
		t.Errorf("one more client of the pool: %q", got)
	}
	denied := config(t, addrs(redistest.StartN(t, 1))...)
	denied.Pools[0].DenyNetworks = networks("127.0.0.0/8")
	p = serve(t, denied)
	log = audited(p)
	redistest.Dial(t, "tcp", p.addr).WaitClosed()
	if got := log.take(t, 1); len(got) != 1 || got[0] != "alpha: denied network" {
		t.Errorf("a client of a denied network: %q", got)
	}
}
