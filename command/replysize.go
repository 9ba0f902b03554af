package command

import "strings"

// smallReplies lists the commands whose reply is a number, a status, a name that the server
// chooses, or null, whatever the key holds; SET only without GET.
const smallReplies = `
append bitcount bitop bitpos copy decr decrby del exists expire expireat expiretime
geoadd geodist geosearchstore getbit
hdel hexists hincrby hincrbyfloat hlen hmset hset hsetnx hstrlen
incr incrby incrbyfloat linsert llen lpush lpushx lrem lset ltrim
move mset msetex msetnx object|encoding object|freq object|idletime object|refcount
persist pexpire pexpireat pexpiretime pfadd pfcount pfmerge psetex pttl publish
rename renamenx restore rpush rpushx
sadd scard sdiffstore set setbit setex setnx setrange sinterstore sismember smove spublish srem strlen sunionstore
touch ttl type unlink
xack xadd xdel xlen xsetid xtrim
zadd zcard zcount zdiffstore zincrby zinterstore zlexcount zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrank zscore zunionstore`

// initReplySizes sets the fields by which ReplyIsSmall answers at once.
func initReplySizes() {
	small := map[string]bool{}
	for _, name := range strings.Fields(smallReplies) {
		small[name] = true
	}
	for i := range table {
		c := &table[i]
		c.smallReply = small[c.Name]
		c.mayGet = c.Name == "set"
	}
}

// ReplyIsSmall reports whether the reply to a request of c is some bytes only, whatever the
// key holds. The number of arguments must be permitted (ArityOK). It reports false for
// commands that it does not know.
func (c *Command) ReplyIsSmall(args [][]byte) bool {
	if !c.smallReply || !c.mayGet || len(args) == 3 {
		return c.smallReply
	}
	for _, arg := range args[3:] {
		if equalFold(arg, "get") {
			return false
		}
	}
	return true
}
