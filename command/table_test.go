package command

import (
	"slices"
	"strings"
	"testing"

	"ringway/resp"
)

// newer lists what the table has from newer servers although 7.0.15 knows the
// command: element of the COMMAND reply by name.
var newer = map[string]int{
	"zrank": 1, "zrevrank": 1, // WITHSCORE, 7.2
	"command|getkeys": 1, "command|getkeysandflags": 1, // keyless commands, 7.2
	"wait": 2, // flagged as blocking, which it is, after 7.0
}

func TestTableAgreesWithTheServersCommandReply(t *testing.T) {
	conn := liveServer(t)
	conn.do("HELLO", "3")
	seen := 0
	var compare func(theirs []any)
	compare = func(theirs []any) {
		seen++
		name := theirs[0].(string)
		c := ByName(name)
		if c == nil {
			t.Errorf("%s is not in the table", name)
			return
		}
		r := &replyBuilder{permitted: unguarded, protocol: resp.RESP3}
		r.infoOf(c)
		ours := parseReply(t, r.b).([]any)
		for i := range 9 {
			if at, ok := newer[name]; ok && at == i {
				continue
			}
			if name == "wait" && i == 6 {
				continue // the category follows the flag
			}
			if got, want := canonical(ours[i]), canonical(theirs[i]); got != want {
				t.Errorf("%s: element %d is %s, the server says %s", name, i, got, want)
			}
		}
		if subs, ok := theirs[9].([]any); ok { // an empty set if there are none
			for _, sub := range subs {
				compare(sub.([]any))
			}
		}
	}
	for _, theirs := range conn.do("COMMAND").([]any) {
		compare(theirs.([]any))
	}
	if seen < 366 {
		t.Errorf("compared %d commands, the server has 366", seen)
	}
}

func TestEveryCommandHasADecision(t *testing.T) {
	for i := range table {
		c := &table[i]
		switch {
		case c.IsContainer():
			if c.ArityOK(1) {
				t.Errorf("%s without a subcommand passes", c.Name)
			}
		case c.Route == NotYet || c.Route == Refused:
			if c.Reason == "" {
				t.Errorf("%s is %v without a reason", c.Name, c.Route)
			}
		case c.Route == OneShard && c.find == findNone && c.Flags&FlagPubSub == 0:
			t.Errorf("%s goes to one shard but has no keys to say which", c.Name)
		case c.Route == AllShards && c.Join == JoinNone:
			t.Errorf("%s has replies that nothing joins", c.Name)
		case c.Guarded && c.Reason == "":
			t.Errorf("%s is guarded without a reason", c.Name)
		case c.Route == Split && (c.Join == JoinNone || c.find != findRange):
			t.Errorf("%s cannot be split", c.Name)
		}
		if c.Route == OneShard && c.IsBlocking() && !strings.HasPrefix(c.Name, "xread") {
			t.Errorf("%s blocks a connection that others share", c.Name)
		}
	}
}

func TestRoutes(t *testing.T) {
	f := func(want Route, names string) {
		t.Helper()
		for _, name := range strings.Fields(names) {
			if c := ByName(name); c == nil || c.Route != want {
				t.Errorf("%s is not %v", name, want)
			}
		}
	}
	f(Local, "ping echo quit auth hello select command command|docs client|setname client|getname client|id client|info client|setinfo client|list client|kill client|unblock client|no-evict client|tracking client|caching time reset info monitor acl|whoami")
	f(OneShard, "get set incr hset lpush zadd xadd rename sinter msetnx pfcount eval evalsha fcall sort xread object|encoding xinfo|stream memory|usage restore move migrate hgetex vadd json.get msetex")
	f(Split, "mget mset del unlink touch exists")
	f(Transaction, "multi exec discard watch unwatch")
	f(Dedicated, "blpop blmpop bzpopmin")
	f(NotYet, "himport|set ft.search")
	f(Refused, "shutdown replicaof failover module|load psync replconf script|debug cluster|nodes")
	f(AllShards, "dbsize keys flushall flushdb randomkey lastsave script|load script|kill function|load memory|purge config|set slowlog|len slowlog|get pubsub|numsub client|pause client|unpause swapdb acl|setuser wait waitaof")
	f(DefaultShard, "function|list memory|stats config|get debug role")
	f(ScanShards, "scan")
	f(PubSub, "subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe")
	f(OneShard, "publish spublish")
	var split []string
	for i := range table {
		if table[i].Route == Split {
			split = append(split, table[i].Name)
		}
	}
	if want := []string{"del", "exists", "mget", "mset", "touch", "unlink"}; !slices.Equal(split, want) {
		t.Errorf("%v are split, want %v", split, want)
	}
}

func TestWhatHurtsOthersIsGuarded(t *testing.T) {
	f := func(want bool, names string) {
		t.Helper()
		for _, name := range strings.Fields(names) {
			if c := ByName(name); c.Guarded != want || c.Accepted() == want || !c.Servable() {
				t.Errorf("%s: guarded %v, accepted %v, servable %v", name, c.Guarded, c.Accepted(), c.Servable())
			}
		}
	}
	f(true, "keys flushall flushdb config|get config|set config|help slowlog|get latency|doctor debug save bgsave pfdebug")
	f(false, "get scan dbsize randomkey script|load script|flush function|load lastsave memory|stats ping")
}

func TestJoins(t *testing.T) {
	f := func(name string, want Join, step int) {
		t.Helper()
		if c := ByName(name); c.Join != want || c.Step != step {
			t.Errorf("%s: join %v, step %d", name, c.Join, c.Step)
		}
	}
	f("mget", JoinArray, 1)
	f("mset", JoinOK, 2)
	f("del", JoinSum, 1)
	f("exists", JoinSum, 1)
	f("get", JoinNone, 1)
	f("dbsize", JoinSum, 0)
	f("keys", JoinConcat, 0)
	f("script|exists", JoinAnd, 0)
	f("script|kill", JoinAny, 0)
}

func TestFlagHelpers(t *testing.T) {
	f := func(name string, readonly, write, blocking bool) {
		t.Helper()
		c := ByName(name)
		if c.IsReadonly() != readonly || c.IsWrite() != write || c.IsBlocking() != blocking {
			t.Errorf("%s: readonly %v, write %v, blocking %v", name, c.IsReadonly(), c.IsWrite(), c.IsBlocking())
		}
	}
	f("get", true, false, false)
	f("set", false, true, false)
	f("blpop", false, true, true)
	f("eval", false, false, false)
	f("wait", false, false, true)
}

func TestIDsAreDense(t *testing.T) {
	for id := range Count() {
		c := ByID(id)
		if c.ID != id || ByName(c.Name) != c {
			t.Errorf("ID %d: %s says %d", id, c.Name, c.ID)
		}
	}
}

func TestContainersKnowTheirSubcommands(t *testing.T) {
	for i := range table {
		c := &table[i]
		if container, _, ok := strings.Cut(c.Name, "|"); ok && !slices.Contains(ByName(container).Subcommands, c) {
			t.Errorf("%s does not know %s", container, c.Name)
		}
	}
	if ByName("get").IsContainer() || !ByName("client").IsContainer() || ByName("command").IsContainer() {
		t.Error("GET or COMMAND is a container, or CLIENT is none")
	}
}
