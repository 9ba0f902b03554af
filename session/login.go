package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// Clients that say to be an ACL user are so if the default server says so. It is
// asked over a connection that carries nothing else, one for each loop and pool, so
// that who guesses passwords takes nothing from others but a place in this line. A
// right answer is kept for a moment, in a form that tells nothing, for clients that
// come back all at once.

const (
	loginsAtOnce  = 64              // AUTHs under way; others wait, in order
	rightFor      = 3 * time.Second // how long a right answer is kept: passwords change
	maxRight      = 4096            // how many of them
	maxCredential = 16 << 10        // what a server takes from who has not authenticated yet
	freeAttempts  = 2               // wrong passwords in a row that are answered at once
	firstPenalty  = 50 * time.Millisecond
	lastPenalty   = 1600 * time.Millisecond
)

// logins are one loop's attempts to log in to the servers of a pool.
type logins struct {
	local    *pool.Local
	underWay int
	waiting  []*userLogin
	key      [sha256.Size]byte
	right    map[[sha256.Size]byte]int64 // until when, as eventloop.Loop.Now
}

func newLogins(local *pool.Local) *logins {
	l := &logins{local: local, right: map[[sha256.Size]byte]int64{}}
	rand.Read(l.key[:])
	return l
}

// digest stands for credentials.
func (l *logins) digest(name, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, l.key[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(name))))
	h.Write([]byte(name))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}

// areRight reports whether credentials were right a moment ago.
func (l *logins) areRight(name, password string, now int64) bool {
	return len(l.right) > 0 && now < l.right[l.digest(name, password)]
}

func (l *logins) noteRight(name, password string, now int64) {
	if len(l.right) >= maxRight {
		clear(l.right)
	}
	l.right[l.digest(name, password)] = now + int64(rightFor)
}

// forget drops right answers that are too old.
func (l *logins) forget(now int64) {
	for sum, until := range l.right {
		if now >= until {
			delete(l.right, sum)
		}
	}
}

// userLogin is the Receiver of AUTH at a server, for a client that says to be an
// ACL user.
type userLogin struct {
	exclusive
	name, password string
	protocol       resp.Protocol // that the client will speak
	then           func() []byte // the reply once the client is known to be that user
	begun          bool          // a part of a large reply has come
}

const tooManyUsers = "ERR the pool's clients are too many different users, or have too many passwords of one; raise acl_users"

// login asks the default server whether credentials are right. The client is held
// until it has answered, with its error or with what then returns.
func (s *session) login(name, password []byte, protocol resp.Protocol, then func() []byte) []byte {
	if len(name) > maxCredential || len(password) > maxCredential {
		return s.wrongPassword(nil)
	}
	l := s.logins
	g := &userLogin{exclusive: exclusive{s: s}, name: string(name), password: string(password), protocol: protocol, then: then}
	if l.areRight(g.name, g.password, s.w.loop.Now()) {
		a := &deferredAnswer{exclusive: exclusive{s: s}}
		s.admit(g, a)
		return a.hear()
	}
	g.next()
	l.waiting = append(l.waiting, g)
	l.ask()
	return nil
}

// ask sends the attempts that wait, as far as they may be under way.
func (l *logins) ask() {
	for len(l.waiting) > 0 && l.underWay < loginsAtOnce {
		g := l.waiting[0]
		l.waiting = l.waiting[1:]
		if !g.s.conn.Open() {
			continue
		}
		l.underWay++
		request := resp.AppendRequest(nil, [][]byte{[]byte("AUTH"), []byte(g.name), []byte(g.password)})
		if f := l.local.LoginConn(g.s.defaultServer()).Send(request, g, g.number); f != nil {
			l.underWay--
			g.exclusive.Fail(g.number, f, nil)
		}
	}
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
}

// answered lets the next one ask.
func (g *userLogin) answered() {
	l := g.s.logins
	l.underWay--
	l.ask()
}

// Reply is pipeline.Receiver's.
func (g *userLogin) Reply(number uint32, b []byte, last bool) {
	if !last {
		g.begun = true
		return
	}
	s := g.s
	defer g.answered()
	if !s.conn.Open() {
		return
	}
	if g.begun { // too large to come whole, so none to AUTH
		b = []byte("-ERR the server answered AUTH with something unexpected\r\n")
	}
	if string(b) == string(replyOK) {
		s.logins.noteRight(g.name, g.password, s.w.loop.Now())
		s.admit(g, &deferredAnswer{exclusive: g.exclusive, later: true})
		return
	}
	if !bytes.HasPrefix(b, []byte("-WRONGPASS ")) {
		g.exclusive.Reply(number, b, true)
		return
	}
	b = bytes.Clone(b)
	s.punish(func() { g.exclusive.Reply(number, b, true) })
}

// Fail is pipeline.Receiver's.
func (g *userLogin) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	defer g.answered()
	g.exclusive.Fail(number, f, nil)
}

// admit makes the session one of the ACL user that it has shown to be, and answers its
// request.
func (s *session) admit(g *userLogin, a *deferredAnswer) {
	user, err := s.local.AcquireUser(g.name, g.password)
	if err != nil { // pool.ErrTooManyUsers
		a.answer(resp.AppendError(nil, tooManyUsers))
		return
	}
	then := func(t pool.HandshakeResult) []byte {
		if s.isRefused(g.protocol, t) {
			s.local.ReleaseUser(user)
			return appendTrial(nil, t)
		}
		s.enter(user)
		return g.then()
	}
	if g.protocol == resp.RESP2 {
		a.answer(then(pool.HandshakeResult{}))
		return
	}
	s.local.CheckHandshake(user, g.protocol, s.db, trialAnswer{a, then, user})
}

// enter makes the session one of a user's, nil for the pool's own, that it has shown
// to be.
func (s *session) enter(user *pool.User) {
	s.become(user)
	s.wrong, s.wantAuth, s.limits = 0, false, &s.w.limits
	s.speak(s.protocol)
}

// wrongPassword answers wrong credentials that no server was asked about.
func (s *session) wrongPassword(dst []byte) []byte {
	if s.wrong < freeAttempts {
		s.wrong++
		return resp.AppendError(dst, wrongPass)
	}
	a := &exclusive{s: s}
	number := a.next()
	s.punish(func() { a.Reply(number, resp.AppendError(nil, wrongPass), true) })
	return nil
}

// punish calls answer, which tells the held client that its credentials are wrong:
// later and later if it goes on guessing.
func (s *session) punish(answer func()) {
	if s.wrong < freeAttempts {
		s.wrong++
		answer()
		return
	}
	penalty := min(firstPenalty<<min(s.wrong-freeAttempts, 10), lastPenalty)
	s.wrong++
	s.w.loop.NewTimer(answer).After(penalty)
}
