package session

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"ringway/command"
	"ringway/stats"
)

// isSlow reports whether a request whose reply comes now belongs in the slow log.
func (s *session) isSlow(p *position) bool {
	return s.slow != nil && stats.Time(s.w.loop.Now())-p.came >= s.slow.From
}

// noteSlow puts a request whose reply is complete into the slow log. size is the reply's, and b its
// last part. A request that may block waits because its client wants that, so it is left out.
//
// Requests whose replies came in time but had to wait in the line are not slow: that before them
// is, since it came earlier and left no sooner.
func (s *session) noteSlow(p *position, size int, b []byte) {
	if p.command != 0 && command.ByID(int(p.command)-1).IsBlocking() {
		return
	}
	if s.slow.Full() {
		if s.slow.Over(stats.Time(s.w.loop.Now()) - p.came) {
			s.stats.Requests.Slow++
		}
		return
	}
	r := s.slowRequest(p, size, b)
	if s.slow.Add(r) {
		s.stats.Requests.Slow++
	}
	s.watchReading(r, true)
}

// slowRequest describes a request whose reply has come.
func (s *session) slowRequest(p *position, size int, b []byte) *stats.SlowRequest {
	now := stats.Time(s.w.loop.Now())
	r := &stats.SlowRequest{
		At: time.Now(), Command: commandName(p.command), Key: s.keyText(p), Client: s.info.addr,
		RequestSize: int(p.size), ReplySize: size, Failed: len(b) > 0 && b[0] == '-' && len(b) == size,
	}
	addr, at := s.local.Answering()
	sent := now
	if r.Server = addr; addr != "" {
		sent = stats.Time(at)
	}
	if int32(sent-p.came) < 0 {
		sent = p.came
	}
	r.Waited, r.Served = time.Duration(sent-p.came)*stats.Unit, time.Duration(now-sent)*stats.Unit
	return r
}

// commandName returns the name of a command by the number of a position.
func commandName(number uint16) string {
	if number == 0 {
		return ""
	}
	return command.ByID(int(number) - 1).Name
}

// keyText returns the first key of a request as log_keys has it, or "" if it is not known.
func (s *session) keyText(p *position) string {
	n := s.w.recent.find(p.command, p.off, p.size)
	if n == nil || n.count == 0 {
		return ""
	}
	return s.showKey(n.list[0].Bytes)
}

// showKey returns a key as log_keys has it. Of a long one it shows the beginning.
func (s *session) showKey(key []byte) string {
	switch key = key[:min(len(key), noteKey)]; s.local.Conf().LogKeys {
	case "plain":
		return string(key)
	case "hash":
		sum := sha256.Sum256(key)
		return hex.EncodeToString(sum[:8])
	}
	return ""
}

// reading is a reply that was slow or large, and that the client may be slow to read.
type reading struct {
	request *stats.SlowRequest
	came    int64 // when the last part of the reply came, as eventloop.Loop.Now
	logged  bool  // request is in the slow log
}

// watchReading remembers a reply that has come until its client has read it, unless it reads an
// earlier one still.
func (s *session) watchReading(r *stats.SlowRequest, logged bool) {
	if s.reading == nil || !s.conn.Stalled() {
		s.reading = &reading{r, s.w.loop.Now(), logged}
	}
}

// hasRead is called when the client has taken output that it did not take at first. If that began
// after the reply that is watched had left, it is about another one.
func (s *session) hasRead() {
	w := s.reading
	s.reading = nil
	if s.conn.StalledAt() > w.came {
		return
	}
	before := w.request.Total()
	w.request.Read = time.Duration(s.w.loop.Now() - w.came)
	threshold := s.local.Conf().SlowRequest
	switch {
	case !w.logged && uint32(min(int64(w.request.Total())/stats.Unit, 1<<32-1)) >= s.slow.From:
		if s.slow.Add(w.request) {
			s.stats.Requests.Slow++
		}
	case w.logged && threshold > 0 && before < threshold && w.request.Total() >= threshold:
		s.stats.Requests.Slow++
	}
}

// SlowRequests returns the slow requests of a pool, an index in the configuration, that the worker
// has kept.
func (w *Worker) SlowRequests(pool int) []stats.SlowRequest {
	if sh := w.pool(pool); sh != nil && sh.slow != nil {
		return sh.slow.Copy()
	}
	return nil
}
