package acl_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ringway/acl"
	"ringway/command"
	"ringway/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.RunCheckingLeaks(m)) }

// ruleSets are the rights of a dozen users.
var ruleSets = []string{
	"+@all ~* &*",
	"",
	"+@all ~app:* &app:*",
	"+@read ~* -get",
	"+@all -@dangerous ~a* ~app:* &*",
	"+@write +@read -@slow %R~a* %W~b* &a?",
	"+@all -@write +set +getset %RW~a %R~b %W~c",
	"-@all +@pubsub +@string allkeys &b &app:*",
	"+client|id +config|get +select|0 +@connection -auth ~a*",
	"+@all -config -client|kill +config|get -debug +xinfo|stream ~b &*",
	"+get ~a (+set ~b) (+@list %R~c &x) (+publish &a)",
	"+sort +sort_ro +georadius +copy %R~* %W~a",
	"+@all -@all +@hash +@admin +acl|whoami +object ~[ab]? ~?",
	"+@scripting +@transaction %R~a %W~b &*",
}

// words are the arguments of random requests: keys, options, numbers.
var words = []string{"a", "b", "c", "app:1", "aa", "x", "1", "2", "0", "get", "GET", "store", "STORE", "by", "a*", "limit", "streams", "keys", "count", "m", "set", "id"}

// randomRequest returns a request of a command with a permitted number of arguments.
func randomRequest(rng *rand.Rand, c *command.Command) [][]byte {
	var args [][]byte
	for _, word := range strings.Split(c.Name, "|") {
		if rng.IntN(3) == 0 {
			word = strings.ToUpper(word)
		}
		args = append(args, []byte(word))
	}
	n := max(c.Arity, -c.Arity)
	if c.Arity < 0 {
		n += rng.IntN(6)
	}
	for len(args) < n {
		args = append(args, []byte(words[rng.IntN(len(words))]))
	}
	if rng.IntN(2) == 0 && len(args) > 3 {
		switch c.Name {
		case "xread":
			args[1] = []byte("streams")
		case "xreadgroup":
			copy(args[1:], [][]byte{[]byte("GROUP"), []byte("g"), []byte("c"), []byte("STREAMS")})
		case "eval", "evalsha", "fcall", "eval_ro", "evalsha_ro", "fcall_ro", "zunion", "zdiff", "lmpop":
			args[1], args[2] = []byte("x"), []byte("1")
		case "migrate":
			args[3] = nil
		}
	}
	if strings.HasPrefix(c.Name, "georadius") { // COUNT STORE is refused by the command, whatever keys it is taken to have
		for i, arg := range args {
			if string(arg) == "count" {
				args[i] = []byte("m")
			}
		}
	}
	return args
}

// Every command of the table gets the verdict of redis-server 7.0, in its words, whoever asks.
func TestVerdictsAreThoseOfTheServer(t *testing.T) {
	server := redistest.Start(t, redistest.Args("--slowlog-max-len", "1"))
	if !strings.Contains(server.Do("INFO", "server"), "redis_version:7.0.") {
		t.Skip("redis-server is not 7.0, whose verdicts these are")
	}
	conn := redistest.Dial(t, "tcp", server.Addr())
	var users []*acl.User
	for i, rules := range ruleSets {
		name := fmt.Sprint("u", i)
		u, err := acl.NewUser(name, append([]string{"on"}, strings.Fields(rules)...))
		if err != nil {
			t.Fatal(err)
		}
		// The description makes the same user at the server as the rules.
		if got := conn.Do(slices.Concat([]string{"ACL", "SETUSER", name}, strings.Fields(u.String())[2:])...); got != "+OK\r\n" {
			t.Fatalf("%s: %s", u, got)
		}
		conn.Do(slices.Concat([]string{"ACL", "SETUSER", name + "r", "on"}, strings.Fields(rules))...)
		if got, want := server.Do("ACL", "GETUSER", name), server.Do("ACL", "GETUSER", name+"r"); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", u, got, want)
		}
		users = append(users, u)
	}
	rng, seed := seeded(t)
	compared, denied := 0, 0
	for id := range command.Count() {
		c := command.ByID(id)
		if c.IsContainer() {
			continue
		}
		for range 12 {
			args := randomRequest(rng, c)
			if c, _ = command.Lookup(args); missesKeys(args) {
				continue
			}
			var raw strings.Builder
			for _, u := range users {
				request := []string{"ACL", "DRYRUN", u.Name}
				for _, arg := range args {
					request = append(request, string(arg))
				}
				raw.WriteString(redistest.Request(request...))
			}
			conn.Send(raw.String())
			for _, u := range users {
				got, want := dryRun(u, c, args), conn.Reply()
				if strings.HasPrefix(want, "-ERR Command '") || strings.HasPrefix(want, "-ERR wrong number") || got == "unclear" {
					continue // a command of other versions; a request that the command refuses
				}
				if compared++; got != "+OK\r\n" {
					denied++
				}
				if got != want {
					t.Errorf("seed %d: %s: %q: %q, want %q", seed, u, args, got, want)
				}
			}
		}
	}
	t.Logf("%d verdicts, %d of them denials", compared, denied)
}

// missesKeys reports whether redis-server does not check all keys that a request writes to.
func missesKeys(args [][]byte) bool {
	stores := 0
	for _, arg := range args {
		if word := strings.ToLower(string(arg)); word == "store" || word == "storedist" {
			stores++
		}
	}
	return stores > 1 || strings.EqualFold(string(args[0]), "pfmerge") && len(args) == 2
}

func dryRun(u *acl.User, c *command.Command, args [][]byte) string {
	d, at, _ := u.Check(c, args, nil)
	switch {
	case d == acl.Unclear:
		return "unclear"
	case d == acl.Allowed:
		return "+OK\r\n"
	}
	text := d.DryRun(c, args, at)
	return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
}

// What Rights and PermitsSoleKey say beforehand is what Check says.
func TestRightsForeseeVerdicts(t *testing.T) {
	t.Parallel()
	rng, seed := seeded(t)
	for i, rules := range ruleSets {
		u, err := acl.NewUser("u", strings.Fields(rules))
		if err != nil {
			t.Fatal(err)
		}
		limited := false
		for id := range command.Count() {
			c := command.ByID(id)
			if c.IsContainer() {
				continue
			}
			rights := u.Rights(c)
			limited = limited || rights != acl.Always
			for range 10 {
				args := randomRequest(rng, c)
				if named, _ := command.Lookup(args); named != c {
					continue // COMMAND with a subcommand
				}
				d, _, _ := u.Check(c, args, nil)
				switch {
				case rights == acl.Always && d != acl.Allowed, rights == acl.Never && d != acl.DeniedCommand:
					t.Errorf("seed %d: %s: %q: %s, but rights %d", seed, u, args, d, rights)
				case c.SoleKey > 0 && u.PermitsSoleKey(c, args) && d != acl.Allowed:
					t.Errorf("seed %d: %s: %q: %s, but the key is permitted", seed, u, args, d)
				}
			}
		}
		if limited == u.IsUnlimited() || limited != (i > 0) {
			t.Errorf("%s: limited %t", u, limited)
		}
	}
}

// seeded returns random numbers that RINGWAY_SEED repeats.
func seeded(t *testing.T) (*rand.Rand, uint64) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("RINGWAY_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("RINGWAY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed)), seed
}
