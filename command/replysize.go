package command

import "strings"

// smallReplies are the commands whose reply is a number, a status, a name of the
// server's own, or nothing, whatever the key holds. SET is one unless it has GET.
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

// noteReplySizes sets what lets ReplyIsSmall answer at once.
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

// ReplyIsSmall reports whether the reply to a request of the command, whose number
// of arguments is permitted, is of some bytes whatever the key holds. It says no
// where it does not know.
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
