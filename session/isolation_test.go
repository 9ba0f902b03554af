package session_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// tenant is a client that shares the process, or a pool, with others.
type tenant struct {
	conn     *raw
	id, addr string
}

// enter connects to a pool, as one of its users if user is not "".
func enter(t *testing.T, p *proxy, user, name string) tenant {
	t.Helper()
	c := p.dial()
	if user != "" {
		want(t, c, "+OK", "AUTH", user, "password")
	}
	want(t, c, "+OK", "CLIENT", "SETNAME", name)
	info := c.Do("CLIENT", "INFO")
	found := regexp.MustCompile(`id=(\d+) addr=(\S+) `).FindStringSubmatch(info)
	if found == nil {
		t.Fatalf("CLIENT INFO: %q", info)
	}
	return tenant{c, found[1], found[2]}
}

// clientNames returns the names in a CLIENT LIST.
func clientNames(list string) (all []string) {
	for _, found := range regexp.MustCompile(` name=(\S*)`).FindAllStringSubmatch(list, -1) {
		all = append(all, found[1])
	}
	slices.Sort(all)
	return all
}

// mustNotTouch tries all by which one client sees, names or ends another one. neighbours are those that other sees: each is one
// of its own.
func mustNotTouch(t *testing.T, attacker, other tenant, otherUser string, own []string) {
	t.Helper()
	for _, filter := range []string{"", "ID " + other.id, "TYPE normal", "TYPE pubsub"} {
		got := attacker.conn.Do(append([]string{"CLIENT", "LIST"}, strings.Fields(filter)...)...)
		if seen := clientNames(got); slices.ContainsFunc(seen, func(name string) bool { return !slices.Contains(own, name) }) {
			t.Errorf("CLIENT LIST %s shows %q", filter, seen)
		}
	}
	for _, filter := range []string{
		"ID " + other.id, "ADDR " + other.addr, "USER " + otherUser + " SKIPME yes", "TYPE normal SKIPME yes ID " + other.id, "TYPE pubsub",
		"ID " + other.id + " ADDR " + other.addr, "ID " + other.id + " SKIPME no", "id " + other.id + " user " + otherUser,
	} {
		if got := attacker.conn.Do(append([]string{"CLIENT", "KILL"}, strings.Fields(filter)...)...); got != ":0\r\n" && !strings.HasPrefix(got, "-ERR No such user") {
			t.Errorf("CLIENT KILL %s: %q", filter, got)
		}
	}
	want(t, attacker.conn, "-ERR No such client", "CLIENT", "KILL", other.addr)
	want(t, attacker.conn, ":0", "CLIENT", "UNBLOCK", other.id)
	want(t, attacker.conn, ":0", "CLIENT", "UNBLOCK", other.id, "ERROR")
	want(t, attacker.conn, "-ERR The client ID you want redirect to does not exist", "CLIENT", "TRACKING", "ON", "REDIRECT", other.id)
	attacker.conn.Do("CLIENT", "NO-EVICT", "on")
	attacker.conn.Do("CLIENT", "NO-TOUCH", "on")
}

// Clients of one pool do not exist for those of another, whatever their rights.
func TestPoolsDoNotSeeOrTouchEachOthersClients(t *testing.T) {
	t.Parallel()
	cfg := config(t, addrs(redistest.StartN(t, 2))...)
	beta := cfg.Pools[0]
	beta.Name = "beta"
	cfg.Pools = append(cfg.Pools, beta)
	p := serve(t, cfg)
	q := *p
	q.addr = p.server.Addrs()["beta"]
	attacker, blocked, listening, idle := enter(t, p, "", "attacker"), enter(t, &q, "", "blocked"), enter(t, &q, "", "listening"), enter(t, &q, "", "idle")
	blocked.conn.Send(redistest.Request("BLPOP", "queue", "0"))
	listening.conn.subscribeTo("SUBSCRIBE", []string{"channel"})
	redistest.Eventually(t, 30*time.Second, "one client is blocked", func() bool {
		return strings.Contains(idle.conn.Do("CLIENT", "LIST", "ID", blocked.id), " flags=b ")
	})
	for _, other := range []tenant{blocked, listening, idle} {
		mustNotTouch(t, attacker, other, "default", []string{"attacker"})
	}
	if got := clientNames(idle.conn.Do("CLIENT", "LIST")); !slices.Equal(got, []string{"blocked", "idle", "listening"}) {
		t.Errorf("the others are %q", got)
	}
	want(t, attacker.conn, ":1", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
	unharmed(t, blocked, idle)
}

// unharmed reports that a blocked client still waits, and an idle one has none of the switches of others.
func unharmed(t *testing.T, blocked, idle tenant) {
	t.Helper()
	if got := idle.conn.Do("CLIENT", "INFO"); !strings.Contains(got, " flags=N ") {
		t.Errorf("an idle client is %q", got)
	}
	want(t, idle.conn, ":1", "RPUSH", "queue", "job")
	if got := blocked.conn.Reply(); !strings.Contains(got, "job") {
		t.Errorf("a blocked client got %q", got)
	}
}

// A user who is confined to some keys does not see other users' clients; one who may use all of them does.
func TestUsersDoNotSeeOrTouchEachOthersClients(t *testing.T) {
	t.Parallel()
	for _, confined := range []string{"+@all ~app:* ~queue &*", "+@all &*", "+@all &* (+@read ~*)"} {
		t.Run(confined, func(t *testing.T) {
			t.Parallel()
			p := serve(t, withUsers(t, redistest.StartN(t, 2), "user default on nopass +@all ~* &*",
				"user mallory on >password "+confined, "user alice on >password +@all ~queue ~app:* &*", "user ops on >password +@all -flushall ~*"))
			attacker, second := enter(t, p, "mallory", "attacker"), enter(t, p, "mallory", "second")
			blocked, listening, idle := enter(t, p, "alice", "blocked"), enter(t, p, "alice", "listening"), enter(t, p, "alice", "idle")
			blocked.conn.Send(redistest.Request("BLPOP", "queue", "0"))
			listening.conn.subscribeTo("SUBSCRIBE", []string{"channel"})
			redistest.Eventually(t, 30*time.Second, "one client is blocked", func() bool {
				return strings.Contains(idle.conn.Do("CLIENT", "LIST", "ID", blocked.id), " flags=b ")
			})
			operator, nobody := enter(t, p, "ops", "operator"), enter(t, p, "", "nobody")
			for _, other := range []tenant{blocked, listening, idle, operator, nobody} {
				mustNotTouch(t, attacker, other, "alice", []string{"attacker", "second"})
			}
			everybody := []string{"attacker", "blocked", "idle", "listening", "nobody", "operator", "second"}
			for _, c := range []tenant{operator, nobody} {
				if got := clientNames(c.conn.Do("CLIENT", "LIST")); !slices.Equal(got, everybody) {
					t.Errorf("somebody without bounds sees %q", got)
				}
			}
			if got := clientNames(attacker.conn.Do("CLIENT", "LIST")); !slices.Equal(got, []string{"attacker", "second"}) {
				t.Errorf("the user's own clients are %q", got)
			}
			idle.conn.Do("GET", "not:mine")
			if got := attacker.conn.Do("ACL", "LOG"); strings.Contains(got, "alice") || strings.Contains(got, idle.addr) {
				t.Errorf("ACL LOG shows %q", got)
			}
			attacker.conn.Do("ACL", "LOG", "RESET")
			if got := operator.conn.Do("ACL", "LOG"); !strings.Contains(got, "alice") {
				t.Errorf("somebody else's ACL LOG is gone: %q", got)
			}
			want(t, attacker.conn, ":1", "CLIENT", "KILL", "ID", second.id)
			want(t, attacker.conn, ":1", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
			unharmed(t, blocked, idle)
			want(t, operator.conn, ":1", "CLIENT", "KILL", "ID", fmt.Sprint(nobody.id))
		})
	}
}
