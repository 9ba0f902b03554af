package admin

import (
	"net"
	"net/http"
	"slices"

	"ringway/audit"
)

// silent are the commands of the console that only look; the audit log tells of the others.
var silent = []string{"show", "help"}

// audit tells the audit log what became of a command of the console. args may be anything, so that only the name of a
// pool that there is gets into the log.
func (c *console) audit(name string, args []string, verdict audit.Verdict) {
	e := audit.Event{At: "console", Client: remote(c.conn), Command: name, Verdict: verdict}
	for _, p := range c.a.srv.Conf().Pools {
		if slices.Contains(args, p.Name) {
			e.Pool = p.Name
		}
	}
	c.a.srv.Audit().Add(e)
}

// auditRun is audit for a command that was run and ended with err.
func (c *console) auditRun(name string, args []string, err error) {
	switch {
	case slices.Contains(silent, name):
	case err != nil:
		c.audit(name, args, audit.Failed)
	default:
		c.audit(name, args, audit.Executed)
	}
}

// auditRefusal tells the audit log of a request over HTTP without the right password.
func (a *Admin) auditRefusal(r *http.Request, given bool) {
	e := audit.Event{At: "http", Client: r.RemoteAddr, Command: r.Pattern, Verdict: audit.NotAuthenticated}
	if given {
		e.Verdict = audit.WrongPassword
	}
	a.srv.Audit().Add(e)
}

func remote(conn net.Conn) string {
	if addr := conn.RemoteAddr(); addr != nil {
		return addr.String()
	}
	return ""
}
