package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/command"
)

// shapes are requests whose replies depend on the earlier requests only, not on the time, a
// random choice or the seed of a server's hash tables (except for the order of elements, see
// unordered).
//
// Words in capitals stand for themselves. A|B is one of them, (...)? is optional, (...)+ comes
// one to four times. Words in small letters are arguments to be made up; see grammar.argument.
const shapes = `
GET key
SET key value (NX|XX)? (GET)? (KEEPTTL)?
SET key value EXAT|PXAT future (GET)?
SETNX key value
SETEX|PSETEX key nottl value
GETSET|APPEND key value
GETDEL|STRLEN|INCR|DECR key
GETEX key (PERSIST)?
GETEX key EXAT|PXAT future
INCRBY|DECRBY key int
INCRBYFLOAT key float
GETRANGE|SUBSTR key int int
SETRANGE key int value
LCS key key (LEN)? (IDX)? (MINMATCHLEN int)? (WITHMATCHLEN)?
MGET (key)+
MSET|MSETNX (key value)+
DEL|UNLINK|EXISTS|TOUCH (key)+
TYPE|PERSIST key
EXPIREAT|PEXPIREAT key future (NX|XX|GT|LT)?
EXPIRETIME|PEXPIRETIME key
RENAME|RENAMENX key key
COPY key key (REPLACE)?
OBJECT ENCODING|FREQ key
SORT key (LIMIT int int)? (ASC|DESC)? (ALPHA)?
SORT key (BY pattern)? (GET pattern|#)? ALPHA
SORT key (ALPHA)? STORE key
SORT_RO key (LIMIT int int)? ALPHA
LPUSH|RPUSH|LPUSHX|RPUSHX key (member)+
LPOP|RPOP key (int)?
LLEN key
LRANGE|LTRIM key int int
LINDEX key int
LSET key int member
LREM key int member
LINSERT key BEFORE|AFTER member member
LPOS key member (RANK int)? (COUNT int)? (MAXLEN int)?
LMOVE key key LEFT|RIGHT LEFT|RIGHT
RPOPLPUSH key key
LMPOP count key LEFT|RIGHT (COUNT int)?
LMPOP count key key LEFT|RIGHT (COUNT int)?
BLPOP|BRPOP (key)+ 0.01
BRPOPLPUSH key key 0.01
BLMOVE key key LEFT|RIGHT LEFT|RIGHT 0.01
BLMPOP 0.01 2 key key LEFT|RIGHT (COUNT int)?
SADD|SREM key (member)+
SCARD|SMEMBERS key
SISMEMBER key member
SMISMEMBER key (member)+
SMOVE key key member
SINTER|SUNION|SDIFF (key)+
SINTERSTORE|SUNIONSTORE|SDIFFSTORE key (key)+
SINTERCARD count (key)+ (LIMIT int)?
SSCAN key 0 COUNT 1000 (MATCH pattern)?
HSET|HMSET key (member value)+
HSETNX key member value
HGET|HEXISTS|HSTRLEN key member
HMGET|HDEL key (member)+
HLEN|HGETALL|HKEYS|HVALS key
HINCRBY key member int
HINCRBYFLOAT key member float
HSCAN key 0 COUNT 1000 (MATCH pattern)?
ZADD key (NX|XX)? (GT|LT)? (CH)? (INCR)? (float member)+
ZINCRBY key float member
ZCARD key
ZSCORE|ZRANK|ZREVRANK key member
ZMSCORE|ZREM key (member)+
ZCOUNT key bound bound
ZADD lexkey (0 member)+
ZLEXCOUNT lexkey lex lex
ZRANGE key int int (REV)? (WITHSCORES)?
ZRANGE key bound bound BYSCORE (REV)? (LIMIT int int)? (WITHSCORES)?
ZRANGE lexkey lex lex BYLEX (REV)? (LIMIT int int)?
ZRANGESTORE key key int int
ZREVRANGE key int int (WITHSCORES)?
ZRANGEBYSCORE|ZREVRANGEBYSCORE key bound bound (WITHSCORES)? (LIMIT int int)?
ZRANGEBYLEX|ZREVRANGEBYLEX lexkey lex lex (LIMIT int int)?
ZREMRANGEBYRANK key int int
ZREMRANGEBYSCORE key bound bound
ZREMRANGEBYLEX lexkey lex lex
ZPOPMIN|ZPOPMAX key (int)?
ZMPOP count key MIN|MAX (COUNT int)?
ZMPOP count key key MIN|MAX (COUNT int)?
BZPOPMIN|BZPOPMAX (key)+ 0.01
BZMPOP 0.01 2 key key MIN|MAX (COUNT int)?
ZUNION|ZINTER count key key (AGGREGATE SUM|MIN|MAX)? (WITHSCORES)?
ZUNION count key key WEIGHTS float float (WITHSCORES)?
ZDIFF count (key)+ (WITHSCORES)?
ZUNIONSTORE|ZINTERSTORE key count key key (AGGREGATE SUM|MIN|MAX)?
ZDIFFSTORE key count key key
ZINTERCARD count key key (LIMIT int)?
ZSCAN key 0 COUNT 1000 (MATCH pattern)?
SETBIT key int bit
GETBIT key int
BITCOUNT key (int int)?
BITCOUNT key int int BYTE|BIT
BITPOS key bit (int)? (int)?
BITOP AND|OR|XOR|NOT key (key)+
BITFIELD key (GET bits int)? (SET bits int int)? (OVERFLOW WRAP|SAT|FAIL)? (INCRBY bits int int)?
BITFIELD_RO key (GET bits int)+
PFADD key (member)+
PFCOUNT (key)+
PFMERGE key (key)+
GEOADD key (NX|XX)? (CH)? (longitude latitude member)+
GEOPOS|GEOHASH key (member)+
GEODIST key member member (M|KM|FT|MI)?
GEOSEARCH key FROMMEMBER member BYRADIUS float M|KM (ASC|DESC)? (COUNT count)? (WITHCOORD)? (WITHDIST)? (WITHHASH)?
GEOSEARCH key FROMLONLAT longitude latitude BYBOX float float KM (ASC|DESC)?
GEOSEARCHSTORE key key FROMLONLAT longitude latitude BYRADIUS float KM (STOREDIST)?
GEORADIUS key longitude latitude float KM (WITHDIST)? (COUNT count)? (ASC|DESC)? (STORE|STOREDIST key)?
GEORADIUS_RO key longitude latitude float KM (WITHCOORD)?
GEORADIUSBYMEMBER key member float KM (STORE key)?
GEORADIUSBYMEMBER_RO key member float KM
XADD key (NOMKSTREAM)? (MAXLEN int)? id (member value)+
XLEN key
XRANGE key start end (COUNT int)?
XREVRANGE key end start (COUNT int)?
XDEL key (id)+
XTRIM key MAXLEN|MINID int
XREAD (COUNT int)? STREAMS key id
XREAD (COUNT int)? STREAMS key key id id
XREAD (COUNT int)? BLOCK 10 STREAMS key id
XGROUP CREATE key group id (MKSTREAM)?
XGROUP SETID key group id
XGROUP DESTROY key group
XGROUP CREATECONSUMER|DELCONSUMER key group member
XREADGROUP GROUP group member (COUNT int)? (NOACK)? STREAMS key id|>
XACK key group (id)+
XPENDING key group
XCLAIM key group member 0 (id)+ (JUSTID)?
XAUTOCLAIM key group member 0 id (COUNT count)? (JUSTID)?
XSETID key id
XINFO STREAM key
EVAL script count key (value)+
EVAL script count (key)+
EVAL_RO script count key
EVALSHA|EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff count key
FCALL|FCALL_RO nosuch count key (value)?
RESTORE key int value (REPLACE)?
PING (value)?
ECHO value
NOSUCH|nosuch (value)+
OBJECT|XINFO|XGROUP NOSUCH (key)+
`

// unordered are commands that list elements in the order of a hash table, which differs from
// server to server.
var unordered = map[string]bool{"SMEMBERS": true, "SINTER": true, "SUNION": true, "SDIFF": true, "SSCAN": true, "ZSCAN": true}

// grammar makes up requests.
type grammar struct {
	rnd    *rand.Rand
	shapes [][]string // of each, its words and parentheses
	keys   []string
}

func newGrammar(rnd *rand.Rand) *grammar {
	g := &grammar{rnd: rnd, keys: []string{
		"", "a", "b", "k\x00\xff\r\n", "{t}1", "{t}2", "{}x", "{", "with space", "$1\r\nx\r\n", "ключ", strings.Repeat("long", 150),
	}}
	spread := strings.NewReplacer("(", "( ", ")", " )")
	for line := range strings.Lines(strings.TrimSpace(shapes)) {
		g.shapes = append(g.shapes, strings.Fields(spread.Replace(line)))
	}
	return g
}

// request returns a request, which is usually a valid one.
func (g *grammar) request() []string {
	args := g.expand(g.shapes[g.rnd.IntN(len(g.shapes))], nil)
	if g.rnd.IntN(2) == 0 {
		args[0] = strings.ToLower(args[0])
	}
	// Another number could make a time to live that works, or members of several
	// scores, whose lexical ranges are random, or a scan of half a table, or a
	// wait that does not end.
	name := strings.ToUpper(args[0])
	fragile := name[:min(1, len(name))] == "B" && !strings.HasPrefix(name, "BIT") || slices.Contains(args, "BLOCK") ||
		name == "SETEX" || name == "PSETEX" || strings.HasSuffix(name, "SCAN") || slices.Contains(args, "lex")
	if fragile || g.rnd.IntN(15) > 0 {
		return args
	}
	switch at := g.rnd.IntN(len(args)); g.rnd.IntN(4) {
	case 0:
		args = args[:max(at, 1)]
	case 1:
		args = append(args, g.argument("value"))
	case 2:
		args = append(args, args[at:]...)
	case 3:
		if at > 0 {
			args[at] = g.argument("value")
		}
	}
	return args
}

// expand appends what words stand for to args.
func (g *grammar) expand(words, args []string) []string {
	for i := 0; i < len(words); i++ {
		if words[i] != "(" {
			args = append(args, g.argument(words[i]))
			continue
		}
		end := i + 1
		for words[end][0] != ')' {
			end++
		}
		times := 1
		switch words[end] {
		case ")?":
			times = g.rnd.IntN(3) / 2 // most options are left out
		case ")+":
			times = 1 + g.rnd.IntN(4)
		}
		for range times {
			args = g.expand(words[i+1:end], args)
		}
		i = end
	}
	return args
}

func (g *grammar) pick(from ...string) string { return from[g.rnd.IntN(len(from))] }

// argument makes up an argument of the kind that word names.
func (g *grammar) argument(word string) string {
	if a, b, ok := strings.Cut(word, "|"); ok {
		if g.rnd.IntN(1+strings.Count(word, "|")) == 0 {
			return g.argument(a)
		}
		return g.argument(b)
	}
	switch word {
	case "key":
		return g.keys[g.rnd.IntN(len(g.keys))]
	case "lexkey":
		return "lex"
	case "value":
		return g.value()
	case "member":
		return g.pick("", "m", "n", "o", "1", "2", "-3", "10", "1.5", "a\x00b", "\xff\r\n", "$-1\r\n", strings.Repeat("m", 70))
	case "int":
		return g.pick("-2", "-1", "0", "1", "2", "3", "4", "5", "7", "100", "1000", g.oddNumber())
	case "count":
		return g.pick("1", "2", "2", "2", "1", "1", "0", g.oddNumber())
	case "bit":
		return g.pick("0", "1", "0", "1", "2", "")
	case "float":
		return g.pick("-1", "0", "1", "2", "2.5", "-0.125", "1e3", "100", "inf", "-inf", g.oddNumber())
	case "nottl":
		return g.pick("0", "-1", "x", "", "9223372036854775807")
	case "future":
		return g.pick("4102444800", "4102444800000", "9999999999999", "1", "-1", "0", "x", "9223372036854775807")
	case "bound":
		return g.pick("-inf", "+inf", "(1", "1", "2", "0", "(2.5", "(", "x")
	case "lex":
		return g.pick("-", "+", "[m", "(m", "[", "(", "[1", "x", "[\xff")
	case "bits":
		return g.pick("u8", "i8", "u1", "i64", "u63", "u64", "u16", "x")
	case "longitude":
		return g.pick("13.361389", "15.087269", "-122.4", "0", "180", "181", "x")
	case "latitude":
		return g.pick("38.115556", "37.502669", "0", "85.05", "86", "x")
	case "id":
		return g.pick("1-1", "1-2", "2-1", "2", "3-0", "4-5", "5-*", "0", "0-0", "7-18446744073709551615", "18446744073709551615-1", "x", "1-x")
	case "start":
		return g.pick("-", "1", "1-2", "(1-1", "(2", "x")
	case "end":
		return g.pick("+", "2", "2-1", "(3-0", "5", "x")
	case "pattern":
		return g.pick("*", "m*", "[mn]", "?", "k*", "*->m", "#", "")
	case "group":
		return g.pick("g", "h", "\x00")
	case "script":
		return g.pick("return KEYS[1]", "return ARGV[1]", "return redis.call('type',KEYS[1])", "return redis.call('get',KEYS[1])",
			"return redis.pcall('lpush',KEYS[1],'x')", "return {1,2,{'a',false,true},3.7}", "return redis.error_reply('MY error')",
			"return redis.status_reply('fine')", "return", "this is no Lua", "error('oh')")
	}
	return word
}

func (g *grammar) oddNumber() string {
	return g.pick("9223372036854775807", "-9223372036854775808", "9223372036854775808", "abc", "", " 1", "1 ", "+1", "01", "0x10", "nan", "1.5", "\x00", "-0")
}

func (g *grammar) value() string {
	switch g.rnd.IntN(12) {
	case 0:
		return strings.Repeat("v", g.rnd.IntN(3000))
	case 1:
		if g.rnd.IntN(10) == 0 {
			return strings.Repeat("large\r\n", 1+g.rnd.IntN(20<<10))
		}
		return "\r\n+OK\r\n"
	case 2, 3:
		b := make([]byte, g.rnd.IntN(40))
		for i := range b {
			b[i] = byte(g.rnd.Uint32())
		}
		return string(b)
	case 4, 5:
		return fmt.Sprint(g.rnd.Int64N(2000) - 1000)
	}
	return g.pick("", "x", "hello", "10", "3.0e3", "NX", "STORE", "a b", "\"quoted\"", "'", "\\")
}

// text returns the request as an array, or now and then as a line.
func (g *grammar) text(args []string) string {
	size := 0
	for _, a := range args {
		size += 4 * len(a)
	}
	if g.rnd.IntN(8) > 0 || size > 32<<10 {
		return encode(args...)
	}
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = g.inlineWord(a)
	}
	return g.pick("", " ", "\t") + strings.Join(words, g.pick(" ", "  ", "\t")) + g.pick("\r\n", "\n", " \r\n")
}

// inlineWord writes an argument as Redis's inline requests quote it.
func (g *grammar) inlineWord(a string) string {
	plain := a != "" && strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.[({}<>+*#?:,|") == ""
	if plain && g.rnd.IntN(4) > 0 {
		return a
	}
	if !strings.ContainsAny(a, "\r\n\x00\\") && g.rnd.IntN(2) == 0 {
		return "'" + strings.ReplaceAll(a, "'", `\'`) + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(a) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString("\\" + string(c))
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String() + `"`
}

// notInShapes are commands of Redis 7.0 that reach a server and have no shape,
// with the reason.
var notInShapes = map[string]string{
	"dump": "tells the order of a hash table",
	"spop": "random", "srandmember": "random", "hrandfield": "random", "zrandmember": "random",
	"expire": "depends on the time", "pexpire": "depends on the time", "ttl": "depends on the time", "pttl": "depends on the time",
	"object|idletime": "depends on the time", "xinfo|consumers": "depends on the time",
	"object|refcount": "depends on the server's memory", "memory|usage": "depends on the server's memory",
	"xinfo|groups": "is in Redis 7.0 only by its newer fields",
	"move":         "moves to a database that a pool may not have",
	"publish":      "counts connections that clients share", "spublish": "the same",
	"pubsub|numsub": "counts connections that clients share", "pubsub|shardnumsub": "the same",
}

func TestShapesCoverEveryDeterministicCommand(t *testing.T) {
	t.Parallel()
	inShapes := map[string]bool{}
	for _, shape := range newGrammar(nil).shapes {
		for _, name := range strings.Split(strings.ToLower(shape[0]), "|") {
			inShapes[name] = true
			for _, sub := range strings.Split(strings.ToLower(shape[min(1, len(shape)-1)]), "|") {
				inShapes[name+"|"+sub] = true
			}
		}
	}
	for id := range command.Count() {
		c := command.ByID(id)
		reaches := c.Route == command.OneShard || c.Route == command.Split || c.Route == command.Dedicated
		if !reaches || c.Guarded || c.Since > "7.0.9" || strings.Contains(c.Name, ".") || inShapes[c.Name] || notInShapes[c.Name] != "" {
			continue
		}
		t.Errorf("no request of %s is made up", c.Name)
	}
}
