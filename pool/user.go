package pool

import (
	"errors"
	"strings"
	"sync"
	"time"

	"ringway/pipeline"
	"ringway/resp"
)

// User is an ACL user of the servers, as whom connections are made, with a password
// that the servers have taken. Either may be empty, and means just that: the pool's
// own user, the one that the configuration names, is a nil *User.
type User struct {
	Name, Password string

	sessions int       // guarded by users.mu, as is
	since    time.Time // when the last of them left

	mu      sync.Mutex // guards what follows
	markers map[*server]*pipeline.MarkerSupport
}

// markersAt returns what is known of the markers that the user may send to a server. It
// is forgotten with the user.
func (u *User) markersAt(s *server) *pipeline.MarkerSupport {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.markers[s]
	if m == nil {
		m = new(pipeline.MarkerSupport)
		if u.markers == nil {
			u.markers = map[*server]*pipeline.MarkerSupport{}
		}
		u.markers[s] = m
	}
	return m
}

// users are the ACL users that clients of a pool are, or were until lately.
type users struct {
	mu   sync.Mutex
	byID map[credentials]*User
}

type credentials struct{ name, password string }

// ErrTooManyUsers tells that clients are as many users as the pool allows.
var ErrTooManyUsers = errors.New("too many users")

// maxPasswords is how many passwords of one user clients may have in use: a user
// whose password is changed keeps its old clients until they leave.
const maxPasswords = 4

// Admit returns the user for one more session, which has shown to know a password.
// Each password is a user of its own, since connections that are made anew must
// be made with what their clients have shown. What no session uses any more gives
// way. It may be called from any goroutine.
func (p *Pool) AcquireUser(name, password string) (*User, error) {
	p.users.mu.Lock()
	defer p.users.mu.Unlock()
	id := credentials{name, password}
	u := p.users.byID[id]
	if u == nil {
		if !p.users.makeRoom(name, p.conf.ACLUsers) {
			return nil, ErrTooManyUsers
		}
		if p.users.byID == nil {
			p.users.byID = map[credentials]*User{}
		}
		u = &User{Name: name, Password: password}
		p.users.byID[id] = u
	}
	u.sessions++
	return u, nil
}

// Dismiss ends Admit: a session is no longer that user. nil is the pool's own.
func (p *Pool) ReleaseUser(u *User) {
	if u == nil {
		return
	}
	p.users.mu.Lock()
	defer p.users.mu.Unlock()
	if u.sessions--; u.sessions == 0 {
		u.since = time.Now()
	}
}

// makeRoom reports whether a password of a user may be added, where clients may be
// at most so many users. Idle ones are forgotten for that: other passwords of the
// same user, then whoever has been idle for longest.
func (us *users) makeRoom(name string, most int) bool {
	passwords, names := 0, map[string]bool{name: true}
	var oldest *User
	for id, u := range us.byID {
		switch {
		case u.sessions == 0 && id.name == name:
			delete(us.byID, id)
			continue
		case id.name == name:
			passwords++
		case u.sessions == 0 && (oldest == nil || u.since.Before(oldest.since)):
			oldest = u
		}
		names[id.name] = true
	}
	if passwords >= maxPasswords {
		return false
	}
	if len(names) <= most {
		return true
	}
	if oldest == nil {
		return false
	}
	delete(us.byID, credentials{oldest.Name, oldest.Password})
	return us.makeRoom(name, most)
}

// auth is what AUTH is given for a user; nil for no AUTH.
func (p *Pool) auth(u *User) []string {
	if u != nil {
		return []string{u.Name, u.Password}
	}
	return p.conf.ServerAuth()
}

// userConn observes connections that are as their client wants them: of an ACL user,
// whose password may have been changed, in a protocol or database that the server
// may not have. One that refuses these has not failed.
type userConn struct {
	*server
	conns *ConnSet // that the connection is one of
}

// Failed is pipeline.Observer's.
func (g userConn) Failed(err error) bool {
	if !errors.Is(err, pipeline.ErrHandshake) {
		return g.server.Failed(err)
	}
	g.conns.taken = false // it is another server than before
	if strings.Contains(err.Error(), "LOADING ") {
		g.loads()
	}
	return false
}

// observer is who is told how a connection of the connection sets fares.
func (n *ConnSet) observer(s *server) pipeline.Observer {
	if n.kind != (kind{protocol: resp.RESP2, db: s.pool.conf.RedisDB}) {
		return userConn{s, n}
	}
	return s
}
