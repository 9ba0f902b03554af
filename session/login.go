package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"ringway/acl"
	"ringway/audit"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
	"ringway/stats"
)

// The credentials of ACL users are checked by the default server. AUTH goes there over a
// connection that is used for nothing else, one for each loop and pool, so that clients that
// guess passwords only delay other logins. Right credentials are remembered for a moment, as a
// keyed hash, for clients that all reconnect at once.

const (
	maxLogins     = 64                      // AUTHs under way; others wait, in order
	verifiedFor   = 3 * time.Second         // how long right credentials are remembered: passwords change
	maxVerified   = 4096                    // how many of them
	maxCredential = 16 << 10                // the most bytes that a server accepts before authentication
	freeAttempts  = 2                       // wrong passwords in a row that are answered at once
	firstDelay    = 50 * time.Millisecond   // of the first one behind these; it doubles with each
	lastDelay     = 1600 * time.Millisecond // the longest
)

// logins are the attempts of clients of one loop to log in to a pool as ACL users.
type logins struct {
	local    *pool.Local
	underWay int                         // AUTHs without a reply
	waiting  []*userLogin                // behind them, oldest first
	key      [sha256.Size]byte           // of digest: random, for this process only
	verified map[[sha256.Size]byte]int64 // digests of right credentials, until when, as eventloop.Loop.Now
}

func newLogins(local *pool.Local) *logins {
	l := &logins{local: local, verified: map[[sha256.Size]byte]int64{}}
	rand.Read(l.key[:])
	return l
}

// digest returns a keyed hash (HMAC-SHA256) of credentials. The length in front of the name keeps
// name and password apart.
func (l *logins) digest(name, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, l.key[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(name))))
	h.Write([]byte(name))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}

// isVerified reports whether the server has accepted the credentials less than verifiedFor ago.
func (l *logins) isVerified(name, password string, now int64) bool {
	return len(l.verified) > 0 && now < l.verified[l.digest(name, password)]
}

// noteVerified remembers that the server has just accepted the credentials.
func (l *logins) noteVerified(name, password string, now int64) {
	if len(l.verified) >= maxVerified {
		clear(l.verified)
	}
	l.verified[l.digest(name, password)] = now + int64(verifiedFor)
}

// dropExpired forgets credentials that were verified too long ago.
func (l *logins) dropExpired(now int64) {
	for sum, until := range l.verified {
		if now >= until {
			delete(l.verified, sum)
		}
	}
}

// userLogin is one attempt to log in as an ACL user, and the Receiver of the server's reply to
// AUTH.
type userLogin struct {
	exclusive
	name, password string
	protocol       resp.Protocol // that the client will use
	then           func() []byte // makes the client's reply after a successful login
	partial        bool          // a part of a large reply has come
}

// tooManyUsers is the client's error when the pool has as many different users as acl_users allows.
const tooManyUsers = "ERR the pool's clients are too many different users, or have too many passwords of one; raise acl_users"

// login logs the client in as an ACL user if the default server accepts the credentials. It
// returns the reply (from then, after a success), or nil if that comes later; the session's
// window is closed until then. name and password are copied.
func (s *session) login(name, password []byte, protocol resp.Protocol, then func() []byte) []byte {
	if len(name) > maxCredential || len(password) > maxCredential {
		s.auditLogin("auth", string(name))
		return s.wrongPassword(nil)
	}
	l := s.logins
	g := &userLogin{exclusive: exclusive{s: s}, name: string(name), password: string(password), protocol: protocol, then: then}
	if l.isVerified(g.name, g.password, s.w.loop.Now()) {
		a := &deferredAnswer{exclusive: exclusive{s: s}}
		s.admit(g, a)
		return a.replyOrHold()
	}
	g.start()
	l.waiting = append(l.waiting, g)
	l.ask()
	return nil
}

// ask sends AUTH for the attempts that wait, until maxLogins are under way.
func (l *logins) ask() {
	for len(l.waiting) > 0 && l.underWay < maxLogins {
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

// answered ends an attempt, and sends the next one.
func (g *userLogin) answered() {
	l := g.s.logins
	l.underWay--
	l.ask()
}

// Reply implements pipeline.Receiver.
func (g *userLogin) Reply(number uint32, b []byte, last bool) {
	if !last {
		g.partial = true
		return
	}
	s := g.s
	defer g.answered()
	if !s.conn.Open() {
		return
	}
	if g.partial { // a reply of that size is no reply to AUTH
		b = []byte("-ERR the server answered AUTH with something unexpected\r\n")
	}
	if string(b) == string(replyOK) {
		s.logins.noteVerified(g.name, g.password, s.w.loop.Now())
		s.admit(g, &deferredAnswer{exclusive: g.exclusive, holding: true})
		return
	}
	if !bytes.HasPrefix(b, []byte("-WRONGPASS ")) {
		g.exclusive.Reply(number, b, true)
		return
	}
	b = bytes.Clone(b)
	s.noteWrongPassword()
	s.auditLogin("auth", g.name)
	s.delayRefusal(func() { g.exclusive.Reply(number, b, true) })
}

// Fail implements pipeline.Receiver.
func (g *userLogin) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	defer g.answered()
	g.exclusive.Fail(number, f, nil)
}

// admit makes the session that of the ACL user whose credentials were accepted, and answers its
// request through a. If the client asks for RESP3, it first finds out whether the servers let
// that user have it.
func (s *session) admit(g *userLogin, a *deferredAnswer) {
	user, err := s.local.AcquireUser(g.name, g.password)
	if err != nil { // pool.ErrTooManyUsers
		a.answer(resp.AppendError(nil, tooManyUsers))
		return
	}
	then := func(t pool.HandshakeResult) []byte {
		if s.isRefused(g.protocol, t) {
			s.local.ReleaseUser(user)
			return appendHandshakeError(nil, t)
		}
		s.authenticated(nil, user)
		return g.then()
	}
	if g.protocol == resp.RESP2 {
		a.answer(then(pool.HandshakeResult{}))
		return
	}
	s.local.CheckHandshake(user, g.protocol, s.db, handshakeAnswer{a, then, user})
}

// authenticated makes the session that of a user whose credentials were accepted: of a user of the proxy, nil in pools
// without such and for ACL users of the servers; and of one of the servers, nil for the pool's own.
func (s *session) authenticated(proxyUser *acl.User, user *pool.User) {
	s.authFailures, s.wantAuth, s.limits = 0, false, &s.w.limits
	s.setUser(proxyUser, user)
	s.speak(s.protocol)
}

// wrongPassword answers wrong credentials that no server was asked about, at once or later. It
// returns the reply, or nil if it comes later.
func (s *session) wrongPassword(dst []byte) []byte {
	s.noteWrongPassword()
	if s.authFailures < freeAttempts {
		s.authFailures++
		return resp.AppendError(dst, wrongPass)
	}
	a := &exclusive{s: s}
	number := a.start()
	s.delayRefusal(func() { a.Reply(number, resp.AppendError(nil, wrongPass), true) })
	return nil
}

// delayRefusal calls answer, which refuses the client's credentials: the first freeAttempts times
// at once, then after a delay that doubles with each wrong attempt. The session's window is
// closed meanwhile, so that guessing is slow.
func (s *session) delayRefusal(answer func()) {
	if s.authFailures < freeAttempts {
		s.authFailures++
		answer()
		return
	}
	delay := min(firstDelay<<min(s.authFailures-freeAttempts, 10), lastDelay)
	s.authFailures++
	s.w.loop.NewTimer(answer).After(delay)
}

// loginTurn is a session's wait for the turn of its login (limit.Pool's Login).
type loginTurn uint8

const (
	noLogin loginTurn = iota
	loginWaits
	loginDue
)

// holdsLogin reports whether the current request, a login, has to wait, since many wrong passwords have come from the
// client's network. It is run again when its turn has come. A client whose turn would come too late is closed.
func (s *session) holdsLogin() bool {
	switch s.loginTurn {
	case loginDue:
		s.loginTurn = noLogin
		return false
	case loginWaits:
		return true
	}
	wait, ok := s.local.Limits().Login(s.address())
	switch {
	case !ok:
		s.closing, s.closeReason = true, stats.ClosedLimit
		s.audit(nil, "", audit.TooManyLogins)
		s.reply(resp.AppendError(s.w.scratch[:0], tooManyLogins))
		s.deferRun()
	case wait > 0:
		s.loginTurn = loginWaits
		s.w.loop.NewTimer(func() {
			if s.loginTurn = loginDue; s.conn.Open() {
				s.deferRun()
			}
		}).After(wait)
	default:
		return false
	}
	return true
}

// tooManyLogins is the error for a login that would have to wait for long.
const tooManyLogins = "ERR too many failed logins from this network: try again later"

// noteWrongPassword counts a wrong password for the client's network.
func (s *session) noteWrongPassword() { s.local.Limits().WrongPassword(s.address()) }

// address returns the client's; it is not valid for a client on a unix socket.
func (s *session) address() netip.Addr {
	addr, _ := netip.ParseAddrPort(s.info.addr)
	return addr.Addr()
}
