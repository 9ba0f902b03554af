package session

import (
	"fmt"
	"math"
	"time"

	"ringway/command"
	"ringway/conf"
	"ringway/resp"
	"ringway/stats"
)

// bigValues is the largest requests and replies of a pool on one loop, and what is done about those
// of big_value and more.
type bigValues struct {
	requestFrom int // requests as large need a look: they are big, or among the largest
	replyFrom   int // replies likewise

	threshold         int
	refuses, logs     bool
	requests, replies *stats.BigValues // nil if nothing is counted
	logged            map[string]bool  // since since: keys and commands
	since             int64            // as eventloop.Loop.Now
}

const (
	// bigLogEvery is how often a key is logged, in nanoseconds.
	bigLogEvery = int64(time.Minute)
	// bigLogged is how many lines a loop logs in that time.
	bigLogged = 20
)

// newBigValues returns what a pool's configuration says. counted says that statistics are on.
func newBigValues(c *conf.Pool, counted bool) bigValues {
	b := bigValues{
		requestFrom: math.MaxInt, replyFrom: math.MaxInt, threshold: int(c.BigValue),
		refuses: c.BigValueAction == "refuse", logs: c.BigValueAction == "log", logged: map[string]bool{},
	}
	if counted {
		b.requests, b.replies = stats.NewBigValues(), stats.NewBigValues()
	}
	b.setFrom()
	return b
}

// reconfigure follows another configuration of the pool. What is counted stays.
func (b *bigValues) reconfigure(c *conf.Pool) {
	next := newBigValues(c, false)
	next.requests, next.replies, next.logged, next.since = b.requests, b.replies, b.logged, b.since
	next.setFrom()
	*b = next
}

// setFrom sets from which size on a request or reply needs a look.
func (b *bigValues) setFrom() {
	if b.refuses {
		b.requestFrom = b.threshold
	}
	if b.requests != nil {
		b.requestFrom = min(b.threshold, b.requests.From)
		b.replyFrom = min(b.threshold, b.replies.From)
	}
}

// tick forgets what is old.
func (b *bigValues) tick(now int64) {
	b.requests.Tick(now)
	b.replies.Tick(now)
	b.setFrom()
	if now-b.since >= bigLogEvery {
		clear(b.logged)
		b.since = now
	}
}

// runBig runs a request that needs a look for its size. Like handle, it reports false if the
// request must wait.
func (s *session) runBig(cmd *command.Command, args [][]byte, raw []byte) bool {
	b := &s.big
	if b.refuses && len(raw) >= b.threshold {
		if s.tx != nil {
			s.tx.failed = true
		}
		s.noteBigRequest(cmd, args, len(raw))
		s.reply(resp.AppendError(s.w.scratch[:0], fmt.Sprintf("ERR request of %d bytes refused: big_value is %d bytes", len(raw), b.threshold)))
		return true
	}
	if !s.runPermitted(cmd, args, raw) {
		return false
	}
	s.noteBigRequest(cmd, args, len(raw))
	return true
}

// noteBigRequest keeps a large request, and counts and logs it if it is big.
func (s *session) noteBigRequest(cmd *command.Command, args [][]byte, size int) {
	if s.stats == nil {
		return
	}
	v := s.bigValue(cmd.Name, size)
	if keys, err := cmd.Keys(args, s.w.keys[:0]); err == nil && len(keys) > 0 {
		s.w.keys = keys[:0]
		v.Key = s.showKey(args[keys[0]])
	}
	s.big.requests.Add(v)
	s.big.setFrom()
	if size >= s.big.threshold {
		s.stats.Requests.BigRequests++
		s.logBig("big request", v)
	}
}

// noteBigReply keeps a large reply, and counts and logs it if it is big.
func (s *session) noteBigReply(p *position, size int) {
	v := s.bigValue(commandName(p.command), size)
	v.Key = s.keyText(p)
	s.big.replies.Add(v)
	s.big.setFrom()
	if size > largeReply {
		s.watchReading(s.slowRequest(p, size, nil), false)
	}
	if size >= s.big.threshold {
		s.stats.Requests.BigReplies++
		s.logBig("big reply", v)
	}
}

func (s *session) bigValue(name string, size int) stats.BigValue {
	return stats.BigValue{Command: name, Size: size, At: time.Now(), Client: s.info.addr}
}

// logBig logs a big request or reply, once in a minute for each key and command, and no more than
// bigLogged lines in that time.
func (sh *shared) logBig(what string, v stats.BigValue) {
	id := what + "\x00" + v.Command + "\x00" + v.Key
	if !sh.big.logs || sh.big.logged[id] || len(sh.big.logged) >= bigLogged {
		return
	}
	sh.big.logged[id] = true
	sh.w.log.Warn(what+": see big_value; further ones of this key are only counted for a minute",
		"pool", sh.poolName, "command", v.Command, "key", v.Key, "size", v.Size, "client", v.Client)
}

// BigValues returns the largest requests and replies of a pool, an index in the configuration, that
// the worker has kept.
func (w *Worker) BigValues(pool int) (requests, replies []stats.BigValue) {
	if sh := w.pool(pool); sh != nil && sh.big.requests != nil {
		b := &sh.big
		return b.requests.Copy(), b.replies.Copy()
	}
	return nil, nil
}
