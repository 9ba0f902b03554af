package session_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ringway/acl"
	"ringway/command"
	"ringway/internal/redistest"
)

// aclRules are the rights of a dozen users of the differential test.
var aclRules = []string{
	"~* &* +@all",
	"-@all",
	"~app:* &app:* +@all",
	"~* +@read -get",
	"~a* ~app:* &* +@all -@dangerous",
	"%R~a* %W~b* &a? +@write +@read -@slow",
	"%RW~a %R~b %W~c +@all -@write +set +getset +exec +multi +discard",
	"allkeys &b &app:* +@pubsub +@string +multi +discard",
	"~a* +client|id +config|get +select|0 +@connection -auth +@transaction",
	"~b &* +@all -config -client|kill +config|get -debug +xinfo|stream",
	"~a +get +multi +discard (+set ~b) (+@list %R~c &x) (+publish &a)",
	"%R~* %W~a +sort +sort_ro +georadius +copy +@transaction",
	"%R~a %W~b &* +@scripting +@transaction",
}

// aclFile writes a redis ACL file of these users, u0 and so on, each with its name as its password.
func aclFile(t *testing.T) (path string, users *acl.Users) {
	t.Helper()
	text := "user default on nopass ~* &* +@all\n"
	for i, rules := range aclRules {
		text += fmt.Sprintf("user u%d on >u%d resetchannels %s\n", i, i, rules)
	}
	path = filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := acl.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return path, acl.NewUsers(all)
}

// verdictOf returns the refusal of a reply; "" if there is none.
func verdictOf(reply string) string {
	if strings.HasPrefix(reply, "-NOPERM ") {
		return reply
	}
	return ""
}

// aclRequest returns a random request of a command, in a random spelling.
func aclRequest(rng *rand.Rand, c *command.Command) []string {
	words := []string{"a", "b", "c", "app:1", "aa", "x", "1", "2", "0", "get", "STORE", "a*", "limit", "streams", "m"}
	var args []string
	for _, word := range strings.Split(c.Name, "|") {
		b := []byte(word)
		for i := range b {
			if rng.IntN(2) == 0 && 'a' <= b[i] && b[i] <= 'z' {
				b[i] -= 'a' - 'A'
			}
		}
		args = append(args, string(b))
	}
	n := max(c.Arity, -c.Arity)
	if c.Arity < 0 {
		n += rng.IntN(5)
	}
	for len(args) < n {
		args = append(args, words[rng.IntN(len(words))])
	}
	if len(args) > 3 && (c.IsScript() || c.Name == "zunion" || c.Name == "zmpop") {
		args[1], args[2] = "x", "1"
	}
	return args
}

// hasEffect lists commands that change the session even in a transaction, and those whose keys redis-server
// does not find in all requests.
func hasEffect(c *command.Command, args []string) bool {
	switch c.Name {
	case "quit", "reset", "auth", "hello", "multi", "exec", "discard", "watch", "pfmerge":
		return true
	}
	stores := 0
	for _, arg := range args {
		if strings.EqualFold(arg, "store") {
			stores++
		}
	}
	return c.IsContainer() || stores > 1
}

// A redis-server and Ringway that read the same ACL file give the same verdict for every command of the
// table: in a transaction, alone, inline, in any case.
func TestUsersMayDoWhatTheyMayAtTheServer(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	path, users := aclFile(t)
	direct := redistest.Start(t, redistest.Args("--aclfile", path, "--enable-debug-command", "yes", "--enable-module-command", "yes"))
	if !strings.Contains(direct.Do("INFO", "server"), "redis_version:7.0.") {
		t.Skip("redis-server is not 7.0, whose verdicts these are")
	}
	cfg := config(t, redistest.Start(t).Addr(), redistest.Start(t).Addr())
	cfg.Pools[0].Users = users
	for id := range command.Count() {
		cfg.Pools[0].AllowCommands = append(cfg.Pools[0].AllowCommands, command.ByID(id).Name)
	}
	p := serve(t, cfg)
	seed := rand.Uint64()
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("RINGWAY_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	compared, denied := 0, 0
	for i := range aclRules {
		name := fmt.Sprint("u", i)
		theirs, ours := redistest.Dial(t, "tcp", direct.Addr()), p.dial()
		want(t, ours, "+OK", "AUTH", name, name)
		theirs.Do("AUTH", name, name)
		if got, wanted := ours.Do("ACL", "WHOAMI"), theirs.Do("ACL", "WHOAMI"); got != wanted {
			t.Errorf("%s is %q, want %q", name, got, wanted)
		}
		if got, wanted := userFieldsOf(p.dial().Do("ACL", "GETUSER", name)), userFieldsOf(direct.Do("ACL", "GETUSER", name)); got != wanted {
			t.Errorf("%s is %q, want %q", name, got, wanted)
		}
		canMulti := !strings.HasPrefix(theirs.Do("MULTI"), "-")
		theirs.Do("DISCARD")
		for id := range command.Count() {
			c := command.ByID(id)
			for range 2 {
				args := aclRequest(rng, c)
				if hasEffect(c, args) {
					continue
				}
				d, _, _ := users.Named(name).Check(c, byteArgs(args), nil)
				request := encode(args...)
				if rng.IntN(3) == 0 {
					request = strings.Join(args, " ") + "\r\n"
				}
				if canMulti {
					both := encode("MULTI") + request + encode("DISCARD")
					theirs.Send(both)
					ours.Send(both)
					theirs.Reply()
					ours.Reply()
				} else if d == acl.Allowed {
					continue // it could do anything
				} else {
					theirs.Send(request)
					ours.Send(request)
				}
				wanted, got := theirs.Reply(), ours.Reply()
				if canMulti {
					theirs.Reply()
					ours.Reply()
				}
				if strings.HasPrefix(wanted, "-ERR unknown ") || strings.HasPrefix(wanted, "-ERR wrong number") || strings.HasPrefix(got, "-ERR wrong number") {
					continue // a command, or a form of it, that other versions have; MSET with a key and no value, which has no right form
				}
				if d == acl.Unclear { // which Redis refuses at the latest when it runs the command
					if !strings.HasPrefix(got, "-ERR ") {
						t.Errorf("%s (%s): %q: %q", name, aclRules[i], args, got)
					}
					continue
				}
				if compared++; verdictOf(wanted) != "" {
					denied++
					if canMulti { // alone it may be sent, too
						ours.Send(request)
						if alone := ours.Reply(); alone != wanted {
							t.Errorf("%s: %q alone: %q, want %q", name, args, alone, wanted)
						}
					}
				}
				if verdictOf(got) != verdictOf(wanted) {
					t.Errorf("%s (%s): %q: %q, want %q", name, aclRules[i], args, got, wanted)
				}
			}
		}
	}
	t.Logf("%d verdicts, %d of them denials", compared, denied)
	if denied < 1000 || denied > compared*9/10 {
		t.Errorf("%d of %d verdicts are denials: this test compares little", denied, compared)
	}
}

// userFieldsOf returns what ACL GETUSER says, without the rules about commands, which are spelled in another way.
func userFieldsOf(reply string) string {
	lines := strings.Split(reply, "\r\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "$") || strings.HasPrefix(line, "+@all") || strings.HasPrefix(line, "-@all")
	})
	return strings.Join(lines, " ")
}

func byteArgs(args []string) (all [][]byte) {
	for _, arg := range args {
		all = append(all, []byte(arg))
	}
	return all
}
