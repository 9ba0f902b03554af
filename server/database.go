package server

import (
	"strconv"

	"ringway/command"
	"ringway/conf"
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
		return appendErr(dst, "ERR value is not an integer or out of range")
	case n != int64(int32(n)):
		return appendErr(dst, "ERR value is out of range, value must between -2147483648 and 2147483647")
	case n == 0 && c.Databases == 1:
		n = int64(c.RedisDB)
	case !hasDatabase(c, args[1]):
		return appendErr(dst, errDatabase.Error())
	}
	if s.db = int(n); s.db == s.lanes.DB() {
		return append(dst, replyOK...)
	}
	s.speak(s.protocol)
	if s.pin == nil {
		return append(dst, replyOK...)
	}
	// What is watched stays so, in the database in which that was asked for.
	s.pin.moved = true
	a := &alone{s: s}
	number := a.next()
	a.sent(s.pin.conn.Send(requestSelect(s.db), a, number))
	return nil
}

func requestSelect(db int) []byte {
	return resp.AppendRequest(nil, [][]byte{[]byte("SELECT"), strconv.AppendInt(nil, int64(db), 10)})
}
