package session

import (
	"strconv"

	"ringway/command"
	"ringway/conf"
	"ringway/pool"
	"ringway/resp"
)

// hasDatabase reports whether clients of a pool may use the database that arg names. It is also
// true if arg is no number: the server then answers with its error.
func hasDatabase(c *conf.Pool, arg []byte) bool {
	n, ok := resp.ParseInt(arg)
	return !ok || n == int64(c.RedisDB) || c.Databases > 1 && n >= 0 && n < int64(c.Databases)
}

// selectDB runs SELECT. It changes no connection: each database has shared connections of its
// own, and the session changes to those. In a pool of one database, both 0, which client
// libraries select by default, and the database's number at the servers name it.
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
	return s.checkHandshake(s.user, s.protocol, db, func(t pool.HandshakeResult) []byte {
		if reply := appendHandshakeError(nil, t); reply != nil && db != c.RedisDB { // the pool's own database exists, or no server can be used
			return reply
		}
		// A dedicated connection with watched keys stays in the former database until
		// dedicatedReady changes it: WATCH remembers the database of its keys.
		s.db = db
		s.speak(s.protocol)
		return replyOK
	})
}

// queueSelect queues SELECT in the transaction, and returns the reply, or nil if that comes
// later. If the pool refuses the database, a SELECT that fails in the same way at every
// server is queued instead, since the transaction's server may have that database.
func (s *session) queueSelect(cmd *command.Command, args [][]byte, raw []byte) (reply []byte) {
	tx, c := s.tx, s.local.Conf()
	n, ok := resp.ParseInt(args[1])
	switch {
	case c.Databases == 1: // take refuses it
		return tx.take(cmd, args, raw)
	case !ok:
		return tx.take(cmd, args, resp.AppendRequest(nil, [][]byte{[]byte("SELECT"), []byte("x")}))
	case !hasDatabase(c, args[1]):
		return tx.take(cmd, args, requestSelect(-1))
	}
	db := int(n)
	request := requestSelect(db)
	args = [][]byte{[]byte("SELECT"), strconv.AppendInt(nil, n, 10)} // the others are the parser's
	return s.checkHandshake(s.user, s.protocol, db, func(t pool.HandshakeResult) []byte {
		if t.Refusal != "" && db != c.RedisDB {
			return tx.take(cmd, args, requestSelect(-1))
		}
		reply := tx.take(cmd, args, request)
		if !tx.failed {
			tx.selects, tx.first.db = db, db
		}
		return reply
	})
}

// requestSelect returns a SELECT in RESP.
func requestSelect(db int) []byte {
	return resp.AppendRequest(nil, [][]byte{[]byte("SELECT"), strconv.AppendInt(nil, int64(db), 10)})
}
