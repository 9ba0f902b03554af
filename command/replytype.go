package command

import "strings"

// ReplyType is the type of a command's replies that are not errors. Only what holds for all
// arguments, all versions and all compatible servers has a type other than ReplyAny. A null
// may stand for a string or an array.
type ReplyType uint8

// The types.
const (
	ReplyAny ReplyType = iota
	ReplyStatus
	ReplyInteger
	ReplyString
	ReplyAggregate        // array, map or set
	ReplyStatusOrString   // SET, whose option GET asks for a string
	ReplyStringsMaybeMany // one, or with a count an aggregate
	ReplyTypes            // how many there are
)

// replyTypes are the commands by their types.
var replyTypes = map[ReplyType]string{
	ReplyStatus: "setex psetex mset hmset lset ltrim rename type",
	ReplyInteger: "append bitcount decr decrby del exists expire expireat getbit hdel hexists hincrby hlen hset hsetnx hstrlen incr incrby " +
		"linsert llen lpush lpushx lrem msetnx persist pexpire pexpireat pfadd pfcount pttl renamenx rpush rpushx sadd scard sdiffstore " +
		"setbit setnx setrange sinterstore sismember smove srem strlen sunionstore touch ttl unlink xack xdel xlen xtrim zcard zcount " +
		"zlexcount zrem zremrangebylex zremrangebyrank zremrangebyscore",
	ReplyString:           "dump get getdel getex getrange getset hget hincrbyfloat incrbyfloat lindex rpoplpush substr xadd",
	ReplyAggregate:        "hgetall hkeys hmget hvals lrange mget sdiff sinter smembers smismember sunion zrangebylex zrangebyscore zrevrange zrevrangebyscore",
	ReplyStatusOrString:   "set",
	ReplyStringsMaybeMany: "lpop rpop spop srandmember",
}

// replyTypeOf has the types by Command.ID, the index in the table.
var replyTypeOf = func() (types [len(table)]ReplyType) {
	byName := map[string]ReplyType{}
	for t, names := range replyTypes {
		for name := range strings.FieldsSeq(names) {
			byName[name] = t
		}
	}
	for i := range table {
		types[i] = byName[table[i].Name]
	}
	return types
}()

// ReplyType returns the type of the command's replies.
func (c *Command) ReplyType() ReplyType {
	if int(c.ID) >= len(replyTypeOf) {
		return ReplyAny
	}
	return replyTypeOf[c.ID]
}
