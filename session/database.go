package session

import (
	"strconv"

	"ringway/command"
	"ringway/conf"
	"ringway/pool"
	"ringway/resp"
)

// hasDatabase tells whether clients of a pool may use the database that an argument
// names. What is no number is left to the server, which has the words for it.
func hasDatabase(c *conf.Pool, arg []byte) bool {
	n, ok := resp.ParseInt(arg)
	return !ok || n == int64(c.RedisDB) || c.Databases > 1 && n >= 0 && n < int64(c.Databases)
}

// selectDB runs SELECT: each database has connections of its own. A pool of one
// database knows it by 0, since clients select that by default, and by its number
// at the servers.
func selectDB(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	n, ok := resp.ParseInt(args[1])
	c := s.local.Conf()
	switch {
	case !ok:
		return resp.AppendError(dst, "ERR value is not an integer or out of range")
	case n != int64(int32(n)):
		return resp.AppendError(dst, "ERR value is out of range, value must between -2147483648 and 2147483647")
	case n == 0 && c.Databases == 1:
		n = int64(c.RedisDB)
	case c.Topology == conf.Cluster:
		return resp.AppendError(dst, "ERR SELECT is not allowed in cluster mode")
	case !hasDatabase(c, args[1]):
		return resp.AppendError(dst, errDatabase.Error())
	}
	db := int(n)
	if db == s.db {
		return append(dst, replyOK...)
	}
	return s.try(s.user, s.protocol, db, func(t pool.HandshakeResult) []byte {
		if reply := appendTrial(nil, t); reply != nil && db != c.RedisDB { // all servers have that, or serve nobody
			return reply
		}
		// What a client watches stays so, in the database in which that was asked for:
		// see dedicatedIsOwn.
		s.db = db
		s.speak(s.protocol)
		return replyOK
	})
}

// queueSelect takes SELECT into the transaction. One that can't succeed is sent as
// another which fails in the same way, whatever the server of the transaction has that
// others do not.
func (s *session) queueSelect(cmd *command.Command, args [][]byte, raw []byte) (reply []byte) {
	tx, c := s.tx, s.local.Conf()
	n, ok := resp.ParseInt(args[1])
	switch {
	case c.Databases == 1: // refused
		return tx.take(cmd, args, raw)
	case !ok:
		return tx.take(cmd, args, resp.AppendRequest(nil, [][]byte{[]byte("SELECT"), []byte("x")}))
	case !hasDatabase(c, args[1]):
		return tx.take(cmd, args, requestSelect(-1))
	}
	db := int(n)
	request := requestSelect(db)
	args = [][]byte{[]byte("SELECT"), strconv.AppendInt(nil, n, 10)} // the others are the parser's
	return s.try(s.user, s.protocol, db, func(t pool.HandshakeResult) []byte {
		if t.Refusal != "" && db != c.RedisDB {
			return tx.take(cmd, args, requestSelect(-1))
		}
		reply := tx.take(cmd, args, request)
		if !tx.failed {
			tx.selects = db
		}
		return reply
	})
}

func requestSelect(db int) []byte {
	return resp.AppendRequest(nil, [][]byte{[]byte("SELECT"), strconv.AppendInt(nil, int64(db), 10)})
}
