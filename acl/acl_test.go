package acl

import (
	"errors"
	"strings"
	"testing"

	"ringway/command"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	const hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" // of "secret"
	f := func(rules, password string, want bool) {
		t.Helper()
		u, err := NewUser("alice", strings.Fields(rules))
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Accepts([]byte(password)); got != want {
			t.Errorf("%q accepts %q: %v", rules, password, got)
		}
	}
	f("on >secret", "secret", true)
	f("on >secret", "", false)
	f("on >other #"+hash, "secret", true)
	f("on >secret >other <secret", "secret", false)
	f("on >secret !"+hash, "secret", false)
	f("off >secret", "secret", false)
	f("on nopass", "whatever", true)
	f("off nopass", "whatever", false)
	f("on", "", false)
	f("on >secret reset", "secret", false)
	f("on nopass >secret", "other", false)
}

func TestMistakesInRules(t *testing.T) {
	t.Parallel()
	f := func(rules string, want error) {
		t.Helper()
		_, err := NewUser("alice", strings.Fields(rules))
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", rules, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has a password: %v", err)
		}
	}
	f("+gte", errUnknown)
	f("+@raed", errUnknown)
	f("+config|gte", errUnknown)
	f("-select|0", errUnknown)
	f("+config|get|a", errFirstArg)
	f("+select|", errSyntax)
	f("word", errSyntax)
	f("%X~a", errSyntax)
	f("%R", errSyntax)
	f("~* ~a", errAfterAll)
	f("&* &a", errAfterAllCh)
	f("<secret", errNoPassword)
	f("#secret", errHash)
	f("!SECRET", errHash)
	f("(+get ~a", errParenthesis)
	f("(+gte ~a)", errUnknown)
	if _, err := NewUser("a b", nil); err == nil {
		t.Error("a name with a space")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	users, err := Parse("user default on nopass ~* &* +@all\r\n\n# comment\n  user alice on >a (+get ~b) ( +set ~c ) \n")
	if err != nil || len(users) != 2 || len(users[1].selectors) != 3 {
		t.Fatal(users, err)
	}
	if us := NewUsers(users); us.Named("alice") == nil || us.Named("bob") != nil || us.All()[0].Name != "alice" || (*Users)(nil).Named("a") != nil {
		t.Errorf("%v", us.All())
	}
	f := func(text string, line int, word string) {
		t.Helper()
		_, err := Parse(text)
		if e := (*LineError)(nil); !errors.As(err, &e) || e.Line != line || !strings.Contains(e.Error(), word) {
			t.Errorf("%q: %v", text, err)
		}
	}
	f("\nusr alice on", 2, "user")
	f("user", 1, "name")
	f("user a on\nuser a off", 2, "twice")
	f("user a on\n\nuser b >secret +gte", 3, "+gte")
}

// Commands of modules that the table does not have follow their names, and else +@all.
func TestCommandsThatOnlyServersKnow(t *testing.T) {
	t.Parallel()
	learned := command.Learn("my.get", 2, []string{"readonly"}, nil, 1, 1, 1)
	f := func(rules, key string, want Denial) {
		t.Helper()
		u, err := NewUser("alice", strings.Fields(rules))
		if err != nil {
			t.Fatal(err)
		}
		if d, _, _ := u.Check(learned, [][]byte{[]byte("my.get"), []byte(key)}, nil); d != want {
			t.Errorf("%q, %q: %d", rules, key, d)
		}
	}
	f("+@all ~*", "a", Allowed)
	f("+@all -my.get ~*", "a", DeniedCommand)
	f("+@read ~*", "a", DeniedCommand)
	f("+my.get %R~a*", "a", Allowed)
	f("+my.get %W~a*", "a", DeniedKey)
	f("+MY.GET ~a*", "b", DeniedKey)
}

func TestCheckingAllocatesNothing(t *testing.T) {
	u, err := NewUser("alice", strings.Fields("on +@all -@dangerous ~app:* %R~b* &news (+get ~c)"))
	if err != nil {
		t.Fatal(err)
	}
	scratch := make([]int, 0, 8)
	for _, text := range []string{"MGET app:1 app:2 b", "SET app:1 x EX 1 GET", "GET nothing", "EVAL x 2 app:1 app:2 x", "PUBLISH news x", "CONFIG GET x"} {
		var args [][]byte
		for _, word := range strings.Fields(text) {
			args = append(args, []byte(word))
		}
		c, _ := command.Lookup(args)
		if n := testing.AllocsPerRun(100, func() { _, _, scratch = u.Check(c, args, scratch) }); n > 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// Whatever is taken for a user can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add("user alice on >secret +@read -get ~a* %R~b &c (+set ~d)")
	f.Add("user a off +select|0 -config +config|get nocommands allchannels reset clearselectors")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := Parse(text)
		if err != nil {
			return
		}
		for _, u := range users {
			again, err := Parse(u.String())
			if err != nil || len(again) != 1 {
				t.Fatalf("%s: %v", u, err)
			}
			if got, want := again[0].String(), u.String(); got != want {
				t.Fatalf("%s is read as %s", want, got)
			}
			for id := range command.Count() {
				if c := command.ByID(id); again[0].Rights(c) != u.Rights(c) {
					t.Fatalf("%s: %s differs", u, c.Name)
				}
			}
		}
	})
}
