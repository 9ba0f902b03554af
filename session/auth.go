package session

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"ringway/acl"
	"ringway/command"
	"ringway/pool"
	"ringway/resp"
)

// wrongPass is Redis's error for wrong credentials.
const wrongPass = "WRONGPASS invalid username-password pair or user is disabled."

// auth runs AUTH. Users of the proxy are checked here, or the pool's own password (redis_auth), alone or for the
// user "default"; other names are ACL users of the servers, whose credentials a server checks.
func auth(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	switch {
	case len(args) > 3:
		return resp.AppendError(dst, "ERR syntax error")
	case len(args) == 2 && s.defaultTakesAny():
		return resp.AppendError(dst, "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	}
	user := []byte("default")
	if len(args) == 3 {
		user = args[1]
	}
	if u := s.local.Conf().Users.Named(string(user)); u != nil {
		if !s.accepts(u, args[len(args)-1]) {
			return s.denyLogin(args[0], user, dst)
		}
		return s.logIn(u, s.protocol, func() []byte { return replyOK })
	}
	if s.isACLUser(user) {
		return s.login(user, args[len(args)-1], s.protocol, func() []byte { return replyOK })
	}
	if !s.isPassword(user, args[len(args)-1]) {
		return s.denyLogin(args[0], user, dst)
	}
	s.authenticated(nil, nil)
	return append(dst, replyOK...)
}

// whoAmI runs ACL WHOAMI.
func whoAmI(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return resp.AppendBulkString(dst, s.userName())
}

// userName is the client's user as Redis would name it.
func (s *session) userName() string {
	switch {
	case s.proxyUser != nil:
		return s.proxyUser.Name
	case s.user != nil:
		return s.user.Name
	}
	return acl.Default
}

// setUser sets who the client is: proxyUser is a user of the proxy, or nil; user is whom the servers see, an ACL user
// that the pool has admitted, or nil for the pool's own. The pool's count of the former user's sessions is
// taken back. The caller changes the connections.
func (s *session) setUser(proxyUser *acl.User, user *pool.User) {
	s.local.ReleaseUser(s.user)
	s.proxyUser, s.user = proxyUser, user
	s.updatePolicy()
}

// isACLUser reports whether a name may be that of an ACL user of the servers, so that they
// must be asked.
func (s *session) isACLUser(name []byte) bool {
	return s.local.Conf().ACLUsers > 0 && string(name) != "default"
}

// isPassword reports whether the credentials are the pool's own. As in Redis, a wrong
// attempt does not undo an earlier right one.
func (s *session) isPassword(user, password []byte) bool {
	if string(user) != acl.Default || s.local.Conf().Users != nil {
		return false
	}
	want := s.local.Conf().RedisAuth
	// Digests have one length, so the time of the comparison reveals nothing.
	a, b := sha256.Sum256(password), sha256.Sum256([]byte(want))
	return want == "" || subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// defaultTakesAny reports whether the user default has no password.
func (s *session) defaultTakesAny() bool {
	if u := s.local.Conf().Users.Named(acl.Default); u != nil {
		return u.NoPass
	}
	return s.local.Conf().RedisAuth == ""
}

// accepts reports whether a client may log in as a user of the proxy with a password. Where certificates name users
// (tls_user), a client without one must know a password.
func (s *session) accepts(u *acl.User, password []byte) bool {
	return u.Accepts(password) && !(u.NoPass && s.local.Conf().CertificatesNameUsers())
}

// identify makes the session that of the user whom the client's certificate names, and reports whether it could.
func (s *session) identify() bool {
	name := s.info.certified
	if name == "" || !s.local.Conf().CertificatesNameUsers() {
		return false
	}
	if !s.beginAs(name) {
		s.w.log.Warn("client must authenticate: its certificate names a user that the pool does not have", "pool", s.poolName, "client", s.info.addr, "user", name)
		return false
	}
	return true
}

// requireAuth has the client authenticate (again) if the user default has a password, or is off, or if a certificate
// ought to say who the client is and does not. Until then narrower limits apply to its requests.
func (s *session) requireAuth() {
	if s.identify() {
		return
	}
	if s.local.Conf().CertificatesNameUsers() {
		s.wantAuth, s.limits = true, &resp.UnauthenticatedLimits
		s.updateLimits()
		return
	}
	if u := s.proxyUser; u != nil && !u.AcceptsAll() || u == nil && s.local.Conf().RedisAuth != "" {
		s.wantAuth, s.limits = true, &resp.UnauthenticatedLimits
		s.updateLimits()
	}
}

// helloNoAuth is Redis's error for HELLO without AUTH before authentication.
const helloNoAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> " +
	"option can be used to authenticate the client and select the RESP protocol version at the same time"

// hello runs HELLO. RESP3 is granted only if the servers speak it, which checkHandshake
// finds out; the reply then comes later.
func hello(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	protocol := s.protocol
	if len(args) > 1 {
		v, ok := resp.ParseInt(args[1])
		switch {
		case !ok:
			return resp.AppendError(dst, "ERR Protocol version is not an integer or out of range")
		case v != int64(resp.RESP2.Version()) && v != int64(resp.RESP3.Version()):
			return resp.AppendError(dst, "NOPROTO unsupported protocol version")
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
				return resp.AppendError(dst, problem)
			}
			i++
		default:
			return resp.AppendError(dst, "ERR Syntax error in HELLO option '"+string(args[i])+"'")
		}
	}
	if name != nil {
		name = append([]byte(nil), name...)
	}
	if u := s.local.Conf().Users.Named(string(user)); u != nil && user != nil {
		if !s.accepts(u, password) {
			return s.denyLogin(args[0], user, dst)
		}
		return s.logIn(u, protocol, func() []byte { return s.finishHello(protocol, name, nil) })
	}
	if user != nil && s.isACLUser(user) {
		return s.login(user, password, protocol, func() []byte { return s.finishHello(protocol, name, nil) })
	}
	who, enters := s.user, user != nil
	switch {
	case enters && !s.isPassword(user, password):
		return s.denyLogin(args[0], user, dst)
	case enters:
		who = nil
	case s.wantAuth:
		return resp.AppendError(dst, helloNoAuth)
	}
	then := func(t pool.HandshakeResult) []byte {
		if s.isRefused(protocol, t) {
			return appendHandshakeError(nil, t)
		}
		if enters {
			s.authenticated(nil, nil)
		}
		return s.finishHello(protocol, name, nil)
	}
	if protocol == resp.RESP2 {
		return then(pool.HandshakeResult{})
	}
	return s.checkHandshake(who, protocol, s.db, then)
}

// finishHello sets the protocol, and the client's name if it is not nil, and appends the
// reply to HELLO to dst. The reply describes one standalone Redis, as which the pool appears.
func (s *session) finishHello(protocol resp.Protocol, name, dst []byte) []byte {
	if name != nil {
		s.info.name = string(name)
	}
	s.speak(protocol)
	s.updatePolicy()
	dst = s.protocol.AppendMap(dst, 7)
	server, version := s.local.Hello()
	for _, pair := range [][2]string{{"server", server}, {"version", version}} {
		dst = resp.AppendBulkString(resp.AppendBulkString(dst, pair[0]), pair[1])
	}
	dst = resp.AppendInt(resp.AppendBulkString(dst, "proto"), int64(protocol.Version()))
	dst = resp.AppendInt(resp.AppendBulkString(dst, "id"), int64(s.info.id))
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		dst = resp.AppendBulkString(resp.AppendBulkString(dst, pair[0]), pair[1])
	}
	return resp.AppendArray(resp.AppendBulkString(dst, "modules"), 0)
}
