package command

import (
	"bytes"
	"strings"
	"testing"
)

func TestLookupFindsEveryNameInEveryCase(t *testing.T) {
	for i := range table {
		want := &table[i]
		for _, name := range []string{want.Name, strings.ToUpper(want.Name), strings.ToUpper(want.Name[:1]) + want.Name[1:]} {
			args := byteArgs(strings.Split(name, "|")...)
			if got, problem := Lookup(args); got != want || problem != NoProblem {
				t.Errorf("%q: %v, problem %v", name, got, problem)
			}
		}
	}
}

func TestLookupProblems(t *testing.T) {
	f := func(want Problem, container string, args ...string) {
		t.Helper()
		c, problem := Lookup(byteArgs(args...))
		name := ""
		if c != nil {
			name = c.Name
		}
		if problem != want || name != container {
			t.Errorf("%q: %q, problem %v", args, name, problem)
		}
	}
	f(UnknownCommand, "")
	f(UnknownCommand, "", "")
	f(UnknownCommand, "", "foo")
	f(UnknownCommand, "", "gett")
	f(UnknownCommand, "", "\x27\x25\x34") // "GET" without the bit that upper case needs
	f(UnknownCommand, "", "client|id")
	f(UnknownCommand, "", "client|id", "id")
	f(UnknownCommand, "", "zremrangebyscorezremrangebyscore")
	f(UnknownCommand, "", "georadiusXXmember_ro") // head and tail as they should be
	f(UnknownSubcommand, "client", "client", "foo")
	f(UnknownSubcommand, "client", "client", "")
	f(NoProblem, "client", "client")
	f(NoProblem, "command", "command")
	f(UnknownSubcommand, "command", "command", "foo")
	f(NoProblem, "client|setname", "CLIENT", "SetName", "x")
	f(NoProblem, "get", "GET", "client", "setname")
}

func FuzzLookup(f *testing.F) {
	for _, name := range []string{"get", "GET", "MgEt", "client|id", "object|help", "georadiusbymember_ro", "@ET", "g\xe5t", "set\x00"} {
		f.Add([]byte(name))
	}
	byName := map[string]*Command{}
	for i := range table {
		byName[table[i].Name] = &table[i]
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		// The slow way: lower case, letter by letter, and a map.
		var lower []byte
		for _, b := range name {
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			lower = append(lower, b)
		}
		args := bytes.SplitN(name, []byte("|"), 2)
		got, problem := Lookup(args)
		want := byName[string(lower)]
		if len(args) == 2 && byName[string(lower[:len(args[0])])] != nil && byName[string(lower[:len(args[0])])].Subcommands == nil {
			want = byName[string(lower[:len(args[0])])]
		}
		if problem == NoProblem && got != want || problem != NoProblem && want != nil {
			t.Fatalf("%q: %v, problem %v, want %v", name, got, problem, want)
		}
	})
}

func TestFindingACommandAndItsKeysAllocatesNothing(t *testing.T) {
	keys := make([]int, 0, 16)
	f := func(args ...string) {
		t.Helper()
		request := byteArgs(args...)
		allocs := testing.AllocsPerRun(100, func() {
			c, problem := Lookup(request)
			if problem != NoProblem || !c.ArityOK(len(request)) || c.Blocks(request) || c.Reach(request) == ReachDatabase {
				t.Fatal("not a plain request")
			}
			if _, err := c.Keys(request, keys[:0]); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", args[0], allocs)
		}
	}
	f("GET", "a")
	f("SET", "a", "b", "EX", "1")
	f("MGET", "a", "b", "c")
	f("MSET", "a", "1", "b", "2")
	f("EVAL", "return 1", "2", "a", "b")
	f("ZUNIONSTORE", "d", "2", "a", "b")
	f("SORT", "a", "LIMIT", "0", "1", "STORE", "b")
	f("XREAD", "COUNT", "1", "STREAMS", "a", "0")
	f("OBJECT", "ENCODING", "a")
}

// BenchmarkLookup measures the look-up of a request; BenchmarkLookupByMap the same with a map of
// strings, after turning the name into lower case without allocating.
func BenchmarkLookup(b *testing.B) {
	for _, name := range []string{"GET", "set", "MGET", "EXPIRE", "zrangebyscore", "georadiusbymember_ro"} {
		args := byteArgs(name, "k")
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if c, _ := Lookup(args); c == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkLookupByMap(b *testing.B) {
	byName := map[string]*Command{}
	for i := range table {
		byName[table[i].Name] = &table[i]
	}
	for _, name := range []string{"GET", "set", "MGET", "EXPIRE", "zrangebyscore", "georadiusbymember_ro"} {
		args := byteArgs(name, "k")
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var lower [32]byte
				for i, c := range args[0] {
					if 'A' <= c && c <= 'Z' {
						c += 'a' - 'A'
					}
					lower[i] = c
				}
				if byName[string(lower[:len(args[0])])] == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkKeysOfMGETWith10Keys(b *testing.B) {
	args := byteArgs("MGET", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
	keys := make([]int, 0, 16)
	for b.Loop() {
		c, _ := Lookup(args)
		if got, err := c.Keys(args, keys[:0]); err != nil || len(got) != 10 {
			b.Fatal(got, err)
		}
	}
}
