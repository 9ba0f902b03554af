package session

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// No server checks a command that the proxy answers itself, or that has an effect in the
// proxy. For a client that is an ACL user of the servers, the proxy asks the default server
// with ACL DRYRUN (https://redis.io/docs/latest/commands/acl-dryrun/) whether the user may
// run the command, and keeps the verdict for a while. restrictedPolicy makes all such
// commands come to session.check.

const (
	verdictTTL        = 5 * time.Second // how long a verdict holds
	verdictRetryAfter = time.Second     // how long a server that gave none is not asked again
	verdictMaxAge     = time.Minute     // how old one may be that can't be renewed
	maxVerdicts       = 4096            // of a loop
	maxVerdictArgs    = 8               // arguments, the command included, with which one is asked for
	maxVerdictText    = 64              // bytes of each argument
)

// rightsKey is what a verdict is about.
type rightsKey struct {
	user    *pool.User
	command int    // command.Command.ID
	args    int    // how many arguments the server is asked with
	first   string // the first argument, if the verdict depends on it (decisiveArg)
}

// rights is a loop's verdicts about what ACL users may run.
type rights map[rightsKey]*rightsVerdict

// rightsVerdict is a verdict, and the question that is under way to get or renew it.
type rightsVerdict struct {
	known   bool       // there is a verdict; else nothing up to until holds
	denial  []byte     // the error for the client; nil if the user may run the command
	unknown bool       // the servers do not have the command
	unsure  bool       // the server gave no verdict: denial is for commands that can't do without
	since   int64      // when the verdict came, as eventloop.Loop.Now
	until   int64      // until when it holds without asking again
	pending bool       // a server has been asked
	waiters []*session // sessions that wait for the answer
}

// restrictedPolicy returns p with session.check for every command that no server checks.
func restrictedPolicy(p *policy) *policy {
	r := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer, inScripts: p.inScripts, subscriberMode: p.subscriberMode}
	for id, v := range r.verdicts {
		if v <= byKey && needsRightsCheck(command.ByID(id)) {
			r.verdicts[id] = checked
		}
	}
	return r
}

// needsRightsCheck reports whether a command is answered by the proxy, or has an effect in
// it, before a server has seen it over a connection of the client's own user. What Redis
// permits everybody, such as AUTH and RESET, needs no check.
func needsRightsCheck(cmd *command.Command) bool {
	switch cmd.Route {
	case command.OneShard, command.Split, command.Dedicated:
		return false // on its way over the user's own connections
	}
	return cmd.Name != "watch" && cmd.Flags&command.FlagNoAuth == 0
}

// checkRights checks whether the client, an ACL user, may run a command that no server
// checks. It returns the error for the client if it may not; with wait, the request must
// wait for the verdict, and deferRun will be called.
func (s *session) checkRights(cmd *command.Command, args [][]byte) (denial []byte, wait bool) {
	args = args[:min(len(args), maxVerdictArgs)]
	q := rightsKey{user: s.user, command: cmd.ID, args: len(args), first: decisiveArg(cmd, args)}
	now := s.w.loop.Now()
	r := s.w.rights[q]
	if r != nil && r.known && now < r.until {
		if r.unknown {
			return unknownToServers(cmd, args), false
		}
		return r.denial, false
	}
	if r == nil {
		if len(s.w.rights) >= maxVerdicts {
			s.w.rights.forget(0)
		}
		r = &rightsVerdict{}
		s.w.rights[q] = r
	}
	if !r.pending {
		conn := s.local.ConnSet(resp.RESP2, s.local.Conf().RedisDB).Conn(s.defaultServer(), s.info.id)
		if conn.Full() {
			s.await(conn)
			return nil, true
		}
		r.pending = true
		d := &dryRun{w: s.w, cmd: cmd, user: s.user, verdict: r}
		if f := conn.Send(requestDryRun(s.user.Name, args), d, 0); f != nil {
			d.unanswered()
			return r.denial, false
		}
	}
	s.pendingWakeups++
	r.waiters = append(r.waiters, s)
	return nil, true
}

// checkKeys checks whether the client, an ACL user, may run a request that the proxy runs in its
// place, with just these keys. It reports true for wait if the request must wait for the verdict;
// deferRun will be called then. sure is false if the servers can't say, as those before Redis 7.
func (s *session) checkKeys(cmd *command.Command, args [][]byte) (denial []byte, wait, sure bool) {
	r := s.keysVerdict
	switch {
	case r == nil:
		conn := s.local.ConnSet(resp.RESP2, s.local.Conf().RedisDB).Conn(s.defaultServer(), s.info.id)
		if conn.Full() {
			s.await(conn)
			return nil, true, true
		}
		r = &rightsVerdict{pending: true, waiters: []*session{s}}
		s.keysVerdict = r
		s.pendingWakeups++
		d := &dryRun{w: s.w, cmd: cmd, user: s.user, verdict: r}
		request := append([][]byte{[]byte("ACL"), []byte("DRYRUN"), []byte(s.user.Name)}, args...)
		if f := conn.Send(resp.AppendRequest(nil, request), d, 0); f != nil {
			d.unanswered()
		}
		return nil, true, true
	case r.pending:
		return nil, true, true
	}
	s.keysVerdict = nil
	if r.unknown {
		return unknownToServers(cmd, args), false, true
	}
	return r.denial, false, !r.unsure
}

// decisiveArg returns the first argument of a command if verdicts depend on it: ACL rules may
// name it, as +info|server does, and a refusal names a channel. The texts of PING and ECHO,
// for instance, decide nothing.
func decisiveArg(cmd *command.Command, args [][]byte) string {
	switch cmd.Name {
	case "select", "info", "subscribe", "psubscribe", "ssubscribe":
		if len(args) > 1 {
			return string(args[1][:min(len(args[1]), maxVerdictText)])
		}
	}
	return ""
}

// deny answers a request that the client's user may not run with an error. It fails the
// transaction that the request is part of, and ends it if the request is EXEC.
func (s *session) deny(cmd *command.Command, denial []byte) {
	switch {
	case cmd.Name == "exec":
		s.tx = nil
		s.unwatch()
		denial = append([]byte("-EXECABORT Transaction discarded because of: "), bytes.TrimPrefix(denial[1:], []byte("ERR "))...)
	case s.tx != nil:
		s.tx.failed = true
	}
	s.reply(denial)
}

// requestDryRun returns the request that asks a server whether a user may run a command. Long
// arguments are cut: rules look at their beginnings only.
func requestDryRun(user string, args [][]byte) []byte {
	request := [][]byte{[]byte("ACL"), []byte("DRYRUN"), []byte(user)}
	for _, arg := range args {
		request = append(request, arg[:min(len(arg), maxVerdictText)])
	}
	return resp.AppendRequest(nil, request)
}

// unknownToServers returns the error of a server that does not have the command.
func unknownToServers(cmd *command.Command, args [][]byte) []byte {
	if strings.Contains(cmd.Name, "|") {
		return command.AppendUnknownSubcommand(nil, args)
	}
	return command.AppendUnknown(nil, args)
}

// dryRun is the Receiver of ACL DRYRUN.
type dryRun struct {
	w       *Worker
	cmd     *command.Command
	user    *pool.User
	verdict *rightsVerdict
	reply   []byte
}

// Reply is pipeline.Receiver's: the verdict, in words that differ between versions of Redis.
func (d *dryRun) Reply(_ uint32, b []byte, last bool) {
	if d.reply = append(d.reply, b[:min(len(b), maxInfo)]...); !last {
		return
	}
	words, said := resp.Text(d.reply)
	d.verdict.unknown = false
	switch {
	case string(d.reply) == string(replyOK):
		d.decide(nil, verdictTTL)
	case said:
		// Redis 7.0 says "This user …" here and "-NOPERM this user …" to the user itself.
		text := string(words)
		if rest, ok := strings.CutPrefix(text, "This user"); ok {
			text = "this user" + rest
		}
		d.decide(resp.AppendError(nil, "NOPERM "+text), verdictTTL)
	case bytes.HasPrefix(d.reply, []byte("-ERR Command '")):
		d.verdict.unknown = true
		d.decide(nil, verdictTTL)
	case bytes.HasPrefix(d.reply, []byte("-ERR wrong number of arguments")): // other versions may want fewer
		d.decide(d.reply, verdictTTL)
	case bytes.HasPrefix(d.reply, []byte("-ERR User '")): // it was deleted
		d.decide(d.noPermission(), verdictTTL)
	default:
		d.unanswered()
	}
}

// Fail is pipeline.Receiver's.
func (d *dryRun) Fail(uint32, *pipeline.Failure, []byte) { d.unanswered() }

// unanswered decides without an answer: Redis before 7 has no DRYRUN, the pool's own user may
// not run it, or the server does not answer. A verdict that is not older than verdictMaxAge
// holds on. Without one, commands that could affect others are refused.
func (d *dryRun) unanswered() {
	r := d.verdict
	r.unsure = true
	switch {
	case r.known && d.w.loop.Now()-r.since < int64(verdictMaxAge):
		r.until = d.w.loop.Now() + int64(verdictRetryAfter)
		d.resumeWaiters()
	case allowedWithoutVerdict(d.cmd):
		d.decide(nil, verdictRetryAfter)
	default:
		d.decide(d.noPermission(), verdictRetryAfter)
	}
}

// noPermission returns the error that Redis gives to a user without rights.
func (d *dryRun) noPermission() []byte {
	return resp.AppendError(nil, "NOPERM User "+d.user.Name+" has no permissions to run the '"+d.cmd.Name+"' command")
}

// decide sets the verdict, which holds for so long, and has the waiting sessions go on.
func (d *dryRun) decide(denial []byte, holds time.Duration) {
	r := d.verdict
	r.known, r.denial, r.since = true, denial, d.w.loop.Now()
	r.until = r.since + int64(holds)
	d.resumeWaiters()
}

// resumeWaiters has the sessions go on that wait for the verdict.
func (d *dryRun) resumeWaiters() {
	r := d.verdict
	r.pending = false
	waiting := r.waiters
	r.waiters = nil
	for _, s := range waiting {
		s.pendingWakeups--
		s.deferRun()
	}
}

// allowedWithoutVerdict reports whether a command that needs a check shows a client nothing
// but its own state, and affects no other client.
func allowedWithoutVerdict(cmd *command.Command) bool {
	switch cmd.Name {
	case "ping", "echo", "time", "select", "multi", "exec", "discard", "unwatch", "acl|whoami", "unsubscribe", "punsubscribe", "sunsubscribe",
		"client|id", "client|info", "client|getname", "client|setname", "client|setinfo", "client|reply", "client|no-evict", "client|no-touch", "client|capa",
		"client|getredir", "client|trackinginfo", "client|caching":
		return true
	}
	family, sub, _ := strings.Cut(cmd.Name, "|")
	return family == "command" || sub == "help"
}

// forget drops the verdicts that came before the given time, as eventloop.Loop.Now, or all
// for 0, but for those that are being asked for.
func (rs rights) forget(before int64) {
	for q, r := range rs {
		if !r.pending && (before == 0 || r.since < before) {
			delete(rs, q)
		}
	}
}

// visible returns those of the sessions that the viewer may see: a restricted one sees only the clients of the
// same user. It must be called on the sessions' loop.
func (who viewer) visible(peers []*session) (seen []*session) {
	if !who.restricted {
		return peers
	}
	for _, peer := range peers {
		if peer.isServersUser() == who.ofServers && peer.userName() == who.name {
			seen = append(seen, peer)
		}
	}
	return seen
}

// viewer is the user that asks for the pool's clients, in a form that may go to any loop.
type viewer struct {
	restricted bool   // it is an ACL user of the servers, or a user of the proxy who is confined to some keys
	ofServers  bool   // it is one of the servers
	name       string // of that
}

// viewer returns the session's user as a viewer.
func (s *session) viewer() viewer {
	if s.isServersUser() || s.proxyUser != nil && !s.proxyUser.HasAllKeys() {
		return viewer{true, s.isServersUser(), s.userName()}
	}
	return viewer{}
}
