package session_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The lines of CLIENT LIST with the options that Valkey 9.1 has, of a pool of Valkey. Four clients are connected: alpha and
// beta by their names, pub, which has subscribed to a channel, and asker, who asks.
func TestClientListHasTheFiltersOfValkey(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	p.server.Pools()[0].SetValkey(true)
	ids := map[string]string{}
	for _, name := range []string{"alpha", "beta", "pub", "asker"} {
		c := p.dial()
		c.Do("CLIENT", "SETNAME", name)
		ids[name] = strings.Trim(c.Do("CLIENT", "ID"), ":\r\n")
		switch name {
		case "alpha":
			c.Do("CLIENT", "SETINFO", "LIB-NAME", "lib")
			c.Do("CLIENT", "SETINFO", "LIB-VER", "1.2")
		case "beta":
			c.Do("SELECT", "3")
		case "pub":
			c.subscribeTo("SUBSCRIBE", []string{"channel"})
		}
	}
	asker := p.dial()
	asker.Do("CLIENT", "SETNAME", "asker2")
	all := []string{"alpha", "asker", "asker2", "beta", "pub"}
	without := func(some ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(some, name) })
	}
	for filter, want := range map[string][]string{
		"NAME alpha":               {"alpha"},
		"NAME nobody":              {},
		"NAME alpha NAME beta":     {"beta"},
		"NOT-NAME alpha":           without("alpha"),
		"LIB-NAME lib LIB-VER 1.2": {"alpha"},
		"LIB-NAME lib LIB-VER 9":   {},
		"NOT-LIB-NAME lib":         without("alpha"),
		"DB 3":                     {"beta"},
		"NOT-DB 0":                 {"beta"},
		"TYPE pubsub":              {"pub"},
		"NOT-TYPE pubsub":          without("pub"),
		"FLAGS PPPP":               {"pub"},
		"FLAGS PN":                 {},
		"FLAGS P":                  {"pub"},
		"NOT-FLAGS N":              {"pub"},
		"USER default":             all,
		"NOT-USER default":         {},
		"IP 127.0.0.1":             all,
		"NOT-IP 127.0.0.1":         {},
		"CAPA r":                   {},
		"NOT-CAPA r":               all,
		"SKIPME yes":               without("asker2"),
		"SKIPME no":                all,
		"MAXAGE 100000":            {},
		"IDLE 100000":              {},
		"ID " + ids["alpha"]:       {"alpha"},
		"NOT-ID " + ids["alpha"]:   without("alpha"),
		"not-addr 1.2.3.4:5":       all,
		"LADDR 1.2.3.4:5":          {},
		"ID 0":                     {"-ERR client-id should be greater than 0"},
		"ID x":                     {"-ERR syntax error"},
		"ID":                       {"-ERR syntax error"},
		"ID 1 2 x":                 {"-ERR syntax error"},
		"NAME":                     {"-ERR syntax error"},
		"FOO x":                    {"-ERR syntax error"},
		"NOT-MAXAGE 1":             {"-ERR syntax error"},
		"NOT-FOO x":                {"-ERR syntax error"},
		"TYPE x":                   {"-ERR Unknown client type 'x'"},
		"USER nobody":              {"-ERR No such user 'nobody'"},
		"IDLE x":                   {"-ERR idle is not an integer or out of range"},
		"IDLE -1":                  {"-ERR idle should be greater than 0"},
		"MAXAGE x":                 {"-ERR maxage is not an integer or out of range"},
		"FLAGS ?":                  {"-ERR Unknown flags found in the provided filter: ?"},
		"CAPA z":                   {"-ERR Unknown capa found in the provided filter: z"},
		"DB 99":                    {"-ERR DB number should be between 0 and 15"},
		"DB x":                     {"-ERR DB is not an integer or out of range"},
		"ID " + ids["alpha"] + " " + ids["beta"] + " NAME beta": {"beta"},
	} {
		got := asker.Do(append([]string{"CLIENT", "LIST"}, strings.Fields(filter)...)...)
		names := []string{}
		for _, found := range regexp.MustCompile(` name=(\S*)`).FindAllStringSubmatch(got, -1) {
			names = append(names, found[1])
		}
		if strings.HasPrefix(got, "-") {
			names = []string{strings.TrimSpace(got)}
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("CLIENT LIST %s: %q, want %q", filter, names, want)
		}
	}
	if got := asker.Do("CLIENT", "KILL", "NOT-NAME", "asker2", "ID", ids["alpha"], ids["beta"]); got != ":2\r\n" {
		t.Errorf("CLIENT KILL: %q", got)
	}
}

// What Redis does not know of them it does not know here either.
func TestFiltersOfValkeyAreNoneOfRedis(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	for _, request := range []string{"LIST NAME a", "LIST USER default", "LIST SKIPME yes", "LIST ID 1 NAME a", "KILL NAME a", "KILL NOT-TYPE normal", "KILL ID 1 2", "KILL IDLE 1"} {
		got := c.Do(append([]string{"CLIENT"}, strings.Fields(request)...)...)
		want := "-ERR syntax error\r\n"
		if request == "LIST ID 1 NAME a" {
			want = "-ERR Invalid client ID\r\n"
		}
		if got != want {
			t.Errorf("CLIENT %s: %q, want %q", request, got, want)
		}
	}
}

func TestHelloNamesTheServersAsTheyDo(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	p.server.Pools()[0].SetHello("valkey", "9.1.2")
	if got := p.dial().Do("HELLO"); !strings.Contains(got, "$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n9.1.2\r\n") {
		t.Errorf("%q", got)
	}
}

// Redis executes a transaction in spite of MULTI and WATCH inside it; Valkey does not.
func TestNestedMultiAbortsATransactionOfValkey(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	p.server.Pools()[0].SetValkey(true)
	c := p.dial()
	for _, second := range [][]string{{"MULTI"}, {"WATCH", "a"}} {
		c.Send(encode("MULTI") + encode(second...) + encode("SET", "k", "v") + encode("EXEC") + encode("EXISTS", "k"))
		c.expect("+OK\r\n", "-ERR Command '"+strings.ToLower(second[0])+"' not allowed inside a transaction\r\n", "+QUEUED\r\n",
			"-EXECABORT Transaction discarded because of previous errors.\r\n", ":0\r\n")
	}
}

func TestOnlyClientsOfValkeyHaveCapabilities(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	if got := c.Do("CLIENT", "CAPA", "redirect"); got != "-ERR unknown subcommand 'CAPA'. Try CLIENT HELP.\r\n" {
		t.Errorf("%q", got)
	}
	p.server.Pools()[0].SetValkey(true)
	if got := c.Do("CLIENT", "CAPA", "redirect"); got != "+OK\r\n" {
		t.Errorf("%q", got)
	}
}
