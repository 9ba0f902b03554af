package pool

import (
	"ringway/pipeline"
	"ringway/resp"
)

// loginConn is the connection over which one loop tries credentials of clients.
type loginConn struct {
	server *server
	conn   *pipeline.Conn
}

// LoginConn returns the connection over which a loop asks a shard's primary whether
// credentials are right. It carries nothing but AUTH, so it does not matter as which user
// it ends up, and the proxy does not authenticate on it itself. It does not count as a
// dedicated connection, nor for the server's health. Callers must not keep it.
func (l *Local) LoginConn(shard int) *pipeline.Conn {
	s := l.shardAt(shard).primary
	if l.login.conn != nil && l.login.server == s {
		return l.login.conn
	}
	l.closeLogin()
	cfg := nowhere
	if s != nil {
		cfg = s.config(kind{protocol: resp.RESP2}, useLogin)
	}
	l.login = loginConn{s, pipeline.New(l.loop, cfg, ignored{})}
	if s == nil {
		l.login.conn.Refuse(ErrNoPrimary)
	}
	return l.login.conn
}

func (l *Local) closeLogin() {
	if l.login.conn != nil {
		l.login.conn.Close()
		l.login = loginConn{}
	}
}

// Credentials returns the arguments of AUTH for a user; nil is the pool's own. A pool
// without a password is the default user, who needs none.
func (p *Pool) Credentials(u *User) []string {
	if auth := p.auth(u); auth != nil {
		return auth
	}
	return []string{"default", ""}
}
