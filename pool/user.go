package pool

import (
	"errors"
	"strings"
	"sync"
	"time"

	"ringway/pipeline"
	"ringway/resp"
)

// User is an ACL user of the servers with a password that they have accepted. Connections
// are made as that user. Name and Password may be empty strings, which stand for themselves:
// the pool's own user, which the configuration names, is a nil *User.
type User struct {
	Name, Password string

	// Guarded by users.mu.
	sessions   int
	configured bool      // the configuration has it: acl_users does not count it
	since      time.Time // when the last of them left

	mu      sync.Mutex // guards markers
	markers map[*server]*pipeline.MarkerSupport
}

// markersAt returns what is known of the markers that the user may send to a server. That
// is forgotten together with the user.
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

// users holds the ACL users that clients of a pool are, or were until lately.
type users struct {
	mu   sync.Mutex
	byID map[credentials]*User
}

// credentials identify a user.
type credentials struct{ name, password string }

// ErrTooManyUsers reports that clients are as many users as acl_users allows.
var ErrTooManyUsers = errors.New("too many users")

// maxPasswords is how many passwords of one user may be in use: when a user's password is
// changed, its old clients stay until they leave.
const maxPasswords = 4

// AcquireUser returns the user for one more session whose password the servers have
// accepted, until ReleaseUser. A user with another password is another User, since
// connections must be made with the password that their clients gave. Users without a session
// give way to new ones. The error is ErrTooManyUsers. Any goroutine may call it.
func (p *Pool) AcquireUser(name, password string) (*User, error) {
	p.users.mu.Lock()
	defer p.users.mu.Unlock()
	id := credentials{name, password}
	u := p.users.byID[id]
	if u == nil {
		if !p.users.makeRoom(name, p.Conf().ACLUsers) {
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

// AcquireConfigured is AcquireUser for a user that the configuration names, with its password: it counts for no bound,
// and servers have not been asked. Any goroutine may call it.
func (p *Pool) AcquireConfigured(name, password string) *User {
	p.users.mu.Lock()
	defer p.users.mu.Unlock()
	id := credentials{name, password}
	u := p.users.byID[id]
	if u == nil {
		if p.users.byID == nil {
			p.users.byID = map[credentials]*User{}
		}
		u = &User{Name: name, Password: password}
		p.users.byID[id] = u
	}
	u.configured = true
	u.sessions++
	return u
}

// ReleaseUser ends AcquireUser: a session is no longer that user. It does nothing for
// nil, the pool's own user.
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

// makeRoom reports whether another password of a user may be added, where clients may be
// at most so many users. It drops users without a session for that: other passwords of
// the same user, then the one that has been unused for longest. The caller holds us.mu.
func (us *users) makeRoom(name string, most int) bool {
	passwords, names := 0, map[string]bool{name: true}
	var oldest *User
	for id, u := range us.byID {
		switch {
		case u.configured:
			continue
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

// auth returns the arguments of AUTH for a user; nil for no AUTH.
func (p *Pool) auth(u *User) []string {
	if u != nil {
		return []string{u.Name, u.Password}
	}
	return p.Conf().ServerAuth()
}

// userConn observes connections whose kind a client has chosen: an ACL user, whose password
// may have been changed, or a protocol or database that the server may not have. A server
// that refuses these has not failed.
type userConn struct {
	*server
	conns *ConnSet // that the connection is one of
}

// Failed is pipeline.Observer's.
func (uc userConn) Failed(err error) bool {
	if !errors.Is(err, pipeline.ErrHandshake) {
		return uc.server.Failed(err)
	}
	uc.conns.accepted = false // the server has changed
	if strings.Contains(err.Error(), "LOADING ") {
		uc.checkLoading()
	}
	return false
}

// observer returns who is told how a connection of the set fares.
func (cs *ConnSet) observer(s *server) pipeline.Observer {
	if cs.kind != (kind{protocol: resp.RESP2, db: s.pool.Conf().RedisDB}) {
		return userConn{s, cs}
	}
	return s
}
