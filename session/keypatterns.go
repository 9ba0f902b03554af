package session

import (
	"fmt"

	"ringway/command"
	"ringway/conf"
	"ringway/pool"
)

// KEYS and SCAN whose pattern begins with a whole hash tag concern one shard, since keys with
// that tag are nowhere else. So do SORT's BY and GET with the tag of the key.

// patternShard returns the shard that has all keys which the pattern of KEYS, or of SCAN's MATCH,
// can match. one is false if several may have some, and for every other request.
func patternShard(m *pool.Map, cmd *command.Command, args [][]byte) (shard int, one bool) {
	prefix, one := onePrefix(m, cmd, args)
	if !one {
		return 0, false
	}
	return m.Index(prefix), true
}

// onePrefix is patternShard, but returns a key on that shard: what the matching keys begin with.
func onePrefix(m *pool.Map, cmd *command.Command, args [][]byte) (prefix []byte, one bool) {
	if cmd.Route != command.AllShards && cmd.Route != command.ScanShards {
		return nil, false
	}
	pattern := cmd.KeyPattern(args)
	if pattern == nil {
		return nil, false
	}
	prefix, whole := command.LiteralPrefix(pattern)
	return prefix, whole || m.Pins(prefix)
}

// scanShardOf returns the only shard that SCAN needs to go to, and what the keys that it can
// return begin with; -1 if it must go to each shard.
func scanShardOf(m *pool.Map, cmd *command.Command, args [][]byte) (shard int, prefix []byte) {
	if prefix, one := onePrefix(m, cmd, args); one {
		return m.Index(prefix), prefix
	}
	return -1, nil
}

// checkSort returns an error if a BY or GET pattern of SORT may name keys on other shards
// than the key that is sorted. A Cluster's servers decide that themselves.
func checkSort(m *pool.Map, c *conf.Pool, args [][]byte) (err error) {
	if m.Slotted() {
		return nil
	}
	command.SortPatterns(args, func(prefix, pattern []byte) bool {
		if !m.Pins(prefix) || m.Bucket(prefix) != m.Bucket(args[1]) {
			err = crossPattern(c, pattern, args[1])
		}
		return err == nil
	})
	return err
}

// crossPattern returns the client's error for a pattern of SORT that may name keys on other
// shards than key.
func crossPattern(c *conf.Pool, pattern, key []byte) error {
	why := fmt.Sprintf("%s: the pattern %s may name keys on other shards than %s", crossSlotText, quoted(pattern), quoted(key))
	switch tag := c.HashTag; {
	case c.Distribution == "random":
		return fmt.Errorf("%s, since the pool's distribution is random", why)
	case tag == "":
		return fmt.Errorf(`%s, since the pool has no hash_tag; want hash_tag = "{}" in its configuration, which moves keys that have such a part, and one tag before the *, such as {user1}:list and {user1}:*`, why)
	default:
		return fmt.Errorf("%s; want one hash tag in both, before the *, such as %[2]cuser1%[3]c:list and %[2]cuser1%[3]c:* (the pool has hash_tag = %[4]q)", why, tag[0], tag[1], tag)
	}
}

// nextOf returns where a SCAN that needs to go to one shard only goes on, of a pool that is no
// Cluster, if it is at another. done says that nothing is left.
func nextOf(only, shard int, own uint64) (at int, cursor uint64, done bool) {
	switch {
	case shard < only:
		return only, 0, false
	case shard > only:
		return shard, 0, true
	}
	return shard, own, false
}

// onOneShard reports whether a request of a command that usually concerns all shards concerns
// one only.
func (tx *transaction) onOneShard(cmd *command.Command, args [][]byte) bool {
	_, one := onePrefix(tx.s.local.Map(), cmd, args)
	return one && cmd.Name == "keys"
}
