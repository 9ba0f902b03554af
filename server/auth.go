package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/tidwall/redcon"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

const wrongPass = "WRONGPASS invalid username-password pair or user is disabled."

// auth takes the pool's password, alone or with the user "default", as a Redis
// with requirepass does.
func auth(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	switch {
	case len(args) > 3:
		return appendErr(dst, "ERR syntax error")
	case len(args) == 2 && s.local.Conf().RedisAuth == "":
		return appendErr(dst, "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	}
	user := []byte("default")
	if len(args) == 3 {
		user = args[1]
	}
	if s.isGuest(user) {
		return s.login(user, args[len(args)-1], func() []byte { return replyOK })
	}
	if !s.authenticate(user, args[len(args)-1]) {
		return appendErr(dst, wrongPass)
	}
	return append(dst, replyOK...)
}

func whoAmI(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return redcon.AppendBulkString(dst, s.userName())
}

func (s *session) userName() string {
	if s.user == nil {
		return "default"
	}
	return s.user.Name
}

// become makes the session one of an ACL user whom the pool has admitted, or of the
// pool's own, nil. Who calls it sees to the connections.
func (s *session) become(user *pool.User) {
	s.local.Dismiss(s.user)
	s.user = user
	s.changed()
}

// isGuest tells whether a name is that of an ACL user who may be known to the
// servers.
func (s *session) isGuest(name []byte) bool {
	return s.local.Conf().ACLUsers > 0 && string(name) != "default"
}

// guestLogin is the Receiver of AUTH at a server, for a client that says to be an
// ACL user.
type guestLogin struct {
	alone
	conn           *pipeline.Conn
	name, password string
	then           func() []byte // the reply once the client is known to be that user
	begun          bool          // a part of a large reply has come
}

const tooManyUsers = "ERR the pool's clients are too many different users; raise acl_users"

// login asks the default server whether credentials are right. The client is held
// until it has answered, with its error or with what then returns.
func (s *session) login(name, password []byte, then func() []byte) []byte {
	conn, err := s.local.Lanes(resp.RESP2, 0).Pin(s.defaultServer())
	if err != nil {
		return appendErr(nil, errNoPin.Error())
	}
	g := &guestLogin{alone: alone{s: s}, conn: conn, name: string(name), password: string(password), then: then}
	number := g.next()
	if f := conn.Send(resp.AppendRequest(nil, [][]byte{[]byte("AUTH"), name, password}), g, number); f != nil {
		g.Fail(number, f, nil)
	}
	return nil
}

// Reply is pipeline.Receiver's. The connection is another user's now. A reply that
// is too large to come whole is none to AUTH.
func (g *guestLogin) Reply(number uint32, b []byte, last bool) {
	if !last {
		g.begun = true
		return
	}
	s := g.s
	if g.begun {
		b = []byte("-ERR the server answered AUTH with something unexpected\r\n")
	}
	b = append([]byte(nil), b...)
	s.local.Unpin(g.conn, false)
	if !s.conn.Open() {
		return
	}
	if string(b) == string(replyOK) {
		b = s.admit(g.name, g.password, g.then)
	}
	g.alone.Reply(number, b, last)
}

// admit makes the session one of an ACL user who has shown to know a password, and
// returns the reply: an error, or what then returns.
func (s *session) admit(name, password string, then func() []byte) []byte {
	user, err := s.local.Admit(name, password)
	if err != nil { // pool.ErrTooManyUsers
		return appendErr(nil, tooManyUsers)
	}
	s.become(user)
	s.wantAuth, s.limits = false, &s.w.limits
	s.speak(s.protocol)
	return then()
}

// Fail is pipeline.Receiver's.
func (g *guestLogin) Fail(number uint32, f *pipeline.Failure, request []byte) {
	g.s.local.Unpin(g.conn, false)
	g.alone.Fail(number, f, nil)
}

// authenticate reports whether the credentials are right. A wrong attempt does
// not undo an earlier right one, as in Redis.
func (s *session) authenticate(user, password []byte) bool {
	if string(user) != "default" {
		return false
	}
	want := s.local.Conf().RedisAuth
	// Digests have one length, so that the time tells nothing.
	a, b := sha256.Sum256(password), sha256.Sum256([]byte(want))
	if want != "" && subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return false
	}
	s.become(nil)
	s.wantAuth, s.limits = false, &s.w.limits
	s.speak(s.protocol)
	return true
}

func (s *session) deauthenticate() {
	if s.local.Conf().RedisAuth != "" {
		s.wantAuth, s.limits = true, &resp.UnauthenticatedLimits
	}
}

const helloNoAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> " +
	"option can be used to authenticate the client and select the RESP protocol version at the same time"

func hello(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	protocol := s.protocol
	if len(args) > 1 {
		v, ok := resp.ParseInt(args[1])
		switch {
		case !ok:
			return appendErr(dst, "ERR Protocol version is not an integer or out of range")
		case v != int64(resp.RESP2.Version()) && v != int64(resp.RESP3.Version()):
			return appendErr(dst, "NOPROTO unsupported protocol version")
		}
		protocol = resp.Protocol(int(v) - resp.RESP2.Version())
	}
	var user, password, name []byte
	for i := 2; i < len(args); i++ {
		switch left := len(args) - 1 - i; {
		case strings.EqualFold(string(args[i]), "auth") && left >= 2:
			user, password = args[i+1], args[i+2]
			i += 2
		case strings.EqualFold(string(args[i]), "setname") && left >= 1:
			name = args[i+1]
			if problem := nameProblem("Client names", name); problem != "" {
				return appendErr(dst, problem)
			}
			i++
		default:
			return appendErr(dst, "ERR Syntax error in HELLO option '"+string(args[i])+"'")
		}
	}
	if name != nil {
		name = append([]byte(nil), name...)
	}
	if user != nil && s.isGuest(user) {
		return s.login(user, password, func() []byte { return s.greet(protocol, name, nil) })
	}
	if user != nil && !s.authenticate(user, password) {
		return appendErr(dst, wrongPass)
	}
	if s.wantAuth {
		return appendErr(dst, helloNoAuth)
	}
	return s.greet(protocol, name, dst)
}

// greet changes the protocol, and the client's name if there is one, and appends the
// reply to HELLO.
func (s *session) greet(protocol resp.Protocol, name, dst []byte) []byte {
	if name != nil {
		s.info.name = string(name)
	}
	s.speak(protocol)
	s.changed()
	dst = s.appendMap(dst, 7)
	for _, pair := range [][2]string{{"server", "redis"}, {"version", s.local.Version()}} {
		dst = redcon.AppendBulkString(redcon.AppendBulkString(dst, pair[0]), pair[1])
	}
	dst = redcon.AppendInt(redcon.AppendBulkString(dst, "proto"), int64(protocol.Version()))
	dst = redcon.AppendInt(redcon.AppendBulkString(dst, "id"), int64(s.info.id))
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		dst = redcon.AppendBulkString(redcon.AppendBulkString(dst, pair[0]), pair[1])
	}
	return redcon.AppendArray(redcon.AppendBulkString(dst, "modules"), 0)
}
