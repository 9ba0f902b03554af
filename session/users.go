package session

import (
	"bytes"
	"strings"
	"time"

	"ringway/acl"
	"ringway/audit"
	"ringway/command"
	"ringway/pool"
	"ringway/pubsub"
	"ringway/resp"
	"ringway/stats"
)

// Users of the proxy (docs/users.md) are checked here, before anything of a request reaches a server. A user
// who may not do everything has a policy of its own: the same look-up that says whether the pool permits a
// command says whether the user may run it always, never, or with some arguments. So other users, and pools without users,
// pay nothing.

// policyOf returns the policy of clients that are a user of the proxy, nil in pools without users, as long as they
// are not subscribed.
func (sh *shared) policyOf(u *acl.User) *policy {
	p := sh.poolPolicy
	if u != nil {
		if p = sh.userPolicies[u]; p == nil {
			if p = sh.poolPolicy; !u.IsUnlimited() {
				p = newPolicy(sh.local.Conf(), sh.local.DefaultShard(), u)
			}
			sh.userPolicies[u] = p
		}
	}
	if sh.conditions.any() {
		return p.checking
	}
	return p
}

// isServersUser reports whether the client has logged in as an ACL user of the servers (acl_users), whom these check.
func (s *session) isServersUser() bool { return s.user != nil && s.proxyUser == nil }

// begins makes a new session that of the user that clients are before they log in.
func (s *session) begins() {
	s.proxyUser, s.user = s.defaultUser()
	s.policy = s.policyOf(s.proxyUser)
}

// defaultUser returns who clients are before they log in: a user of the proxy, nil in pools without users, and whom servers
// see, nil for the pool's own. The latter must be released.
func (s *session) defaultUser() (*acl.User, *pool.User) {
	u := s.local.Conf().Users.Named(acl.Default)
	return u, s.serverUser(u)
}

// serverUser returns whom servers see of a user; nil for the pool's own. It must be released.
func (s *session) serverUser(u *acl.User) *pool.User {
	if u == nil || u.ServerUser == "" {
		return nil
	}
	return s.local.AcquireConfigured(u.ServerUser, u.ServerPassword)
}

// beginAs makes the session that of a user of the proxy who need not give a password, since something else, such
// as a certificate, has shown who the client is. It reports false, and changes nothing, if there is no such
// user or it is off.
func (s *session) beginAs(name string) bool {
	u := s.local.Conf().Users.Named(name)
	if u == nil || !u.On {
		return false
	}
	s.authenticated(u, s.serverUser(u))
	return true
}

// logIn makes the session that of a user of the proxy whose password was right, and returns the reply, from then; or nil
// if that comes later. If the client asks for another protocol, servers must speak it.
func (s *session) logIn(u *acl.User, protocol resp.Protocol, then func() []byte) []byte {
	if !s.joinUser(u.Name) {
		s.audit(nil, u.Name, audit.TooManyClients)
		return resp.AppendError(nil, TooMany)
	}
	if protocol == resp.RESP2 || protocol == s.protocol && u.ServerUser == "" {
		s.authenticated(u, s.serverUser(u))
		return then()
	}
	user := s.serverUser(u)
	a := &deferredAnswer{exclusive: exclusive{s: s}}
	s.local.CheckHandshake(user, protocol, s.db, handshakeAnswer{a, func(t pool.HandshakeResult) []byte {
		now := s.local.Conf().Users.Named(u.Name)
		switch {
		case s.isRefused(protocol, t):
			s.local.ReleaseUser(user)
			return appendHandshakeError(nil, t)
		case now == nil || !now.On || seenAs(now) != seenAs(u): // a reload has changed the user meanwhile
			s.local.ReleaseUser(user)
			return resp.AppendError(nil, wrongPass)
		}
		s.authenticated(now, user)
		return then()
	}, user})
	return a.replyOrHold()
}

// denyLogin answers wrong credentials of a user of the proxy, and logs them. word is AUTH or HELLO as the client wrote
// it. It returns the reply, or nil if that comes later.
func (s *session) denyLogin(word, name, dst []byte) []byte {
	s.logDenial(acl.DeniedAuth, string(word), string(name[:min(len(name), maxNameShown)]))
	s.auditLogin(strings.ToLower(string(word)), string(name))
	return s.wrongPassword(dst)
}

// maxNameShown is how many bytes of a name that a client gives are in ACL LOG.
const maxNameShown = 128

// refuseByUser checks a request against the rights of the client's user. It reports whether it has answered the request,
// since the user may not run it.
func (s *session) refuseByUser(cmd *command.Command, args [][]byte) bool {
	if s.tx != nil && cmd.Flags&command.FlagNoMulti != 0 {
		return false // which has another error
	}
	d, at, keys := s.proxyUser.Check(cmd, args, s.w.keys)
	s.w.keys = keys[:0]
	switch d {
	case acl.Allowed:
		return s.refuseSort(cmd, args)
	case acl.Unclear:
		_, err := cmd.Keys(args, s.w.keys[:0])
		s.deny(cmd, resp.AppendError(s.w.scratch[:0], err.Error()))
		return true
	case acl.DeniedCommand:
		s.logDenial(d, cmd.Name, s.proxyUser.Name)
	default:
		s.logDenial(d, string(args[at]), s.proxyUser.Name)
	}
	s.audit(cmd, s.proxyUser.Name, audit.NoPermission)
	s.deny(cmd, resp.AppendError(s.w.scratch[:0], d.Reply(cmd)))
	return true
}

// refuseSort refuses a SORT with patterns, which name any key, to a user who may not read all keys. As in Redis, it does
// so when the request is executed, which in a transaction is at EXEC.
func (s *session) refuseSort(cmd *command.Command, args [][]byte) bool {
	err := cmd.SortDenied(args)
	if err == nil {
		return false
	}
	may, keys := s.proxyUser.MayReadAllKeys(cmd, args, s.w.keys)
	if s.w.keys = keys[:0]; may {
		return false
	}
	s.audit(cmd, s.proxyUser.Name, audit.NoPermission)
	refusal := resp.AppendError(nil, err.Error())
	if s.tx == nil {
		s.reply(refusal)
		return true
	}
	switch size := requestSize(args); {
	case s.tx.reason != "": // it will not be executed
	case s.tx.size+size > int(s.w.conf.MaxRequest):
		s.tx.refuse(errTooLong.Error())
	default:
		s.tx.addOwn(&ownRequest{cmd: cmd, reply: refusal}, size)
	}
	s.reply(replyQueued)
	return true
}

// logDenial adds an entry to ACL LOG. Pools without users have none.
func (s *session) logDenial(reason acl.Denial, object, user string) {
	if s.local.Conf().Users == nil {
		return
	}
	context := "toplevel"
	if s.tx != nil {
		context = "multi"
	}
	s.aclLog.Add(acl.Entry{Count: 1, Reason: reason, Context: context, Object: object, User: user,
		Time: time.Now(), Client: string(bytes.TrimSuffix([]byte(s.describe(0)), []byte("\n")))})
}

// followUsers makes the session follow the pool's users after these have changed. Rights hold at once, and a changed password
// ends no session. As in Redis, clients of a user who is gone are closed, and those who listen to channels that
// their user may not listen to any more; so are, when they are idle, those whom the servers shall see as somebody else.
// It reports whether it has closed the session.
func (s *session) followUsers() (closed bool) {
	us, was := s.local.Conf().Users, s.proxyUser
	if s.isServersUser() || was == nil && us == nil {
		return false
	}
	name := acl.Default
	if was != nil {
		name = was.Name
	}
	now := us.Named(name)
	if now == was {
		return false
	}
	switch {
	case now == nil && name != acl.Default, now != nil && !s.permitsSubscriptions(now):
		s.closeFor(stats.ClosedKilled)
		return true
	case seenAs(was) != seenAs(now):
		s.closing, s.closeReason = true, stats.ClosedKilled
		s.deferRun()
		s.endBlocked()
	}
	if s.tx != nil && shownOf(was) != shownOf(now) {
		s.tx.refuse("NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call")
	}
	s.proxyUser = now
	return false
}

// permitsSubscriptions reports whether a user may listen to all that the session listens to.
func (s *session) permitsSubscriptions(u *acl.User) bool {
	if s.sub == nil {
		return true
	}
	for kind, names := range s.sub.subs {
		for name := range names {
			if !u.PermitsSubscription(name, kind == int(pubsub.Pattern)) {
				return false
			}
		}
	}
	return true
}

// seenAs returns the credentials with which servers see a user.
func seenAs(u *acl.User) [2]string {
	if u == nil {
		return [2]string{}
	}
	return [2]string{u.ServerUser, u.ServerPassword}
}

func shownOf(u *acl.User) string {
	if u == nil {
		return acl.Unlimited(acl.Default).Shown()
	}
	return u.Shown()
}
