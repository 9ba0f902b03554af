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

// What the proxy answers by itself, or has an effect in it, no server checks. For a
// client that is an ACL user of the servers, the default server is asked with ACL
// DRYRUN whether that user may run it, and its verdict is kept for a while. All such
// commands come to session.check for that (see restrictedPolicy).

const (
	verdictFor     = 5 * time.Second // how long a verdict holds
	verdictRetry   = time.Second     // how long none is asked for again when none was to be had
	verdictKept    = time.Minute     // how long one is remembered that can't be asked for again
	maxVerdicts    = 4096            // of a loop
	maxVerdictArgs = 8               // that one is asked for with, and
	maxVerdictText = 64              // of each
)

// question is what a verdict is about.
type question struct {
	user    *pool.User
	command int    // command.Command.ID
	args    int    // how many of them are told
	first   string // the first of them, if rules or the verdict may name it
}

// rights is a loop's verdicts about what ACL users may do.
type rights map[question]*ruling

// ruling is a verdict, or the question under way.
type ruling struct {
	known   bool
	denial  []byte // the error that the client gets; nil if the user may
	unknown bool   // the servers do not have the command
	since   int64  // when the verdict came, as eventloop.Loop.Now
	until   int64  // until when it need not be asked for again
	asked   bool
	waiting []*session
}

// restrictedPolicy has session.check look at all that no server checks.
func restrictedPolicy(p *policy) *policy {
	r := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer, inScripts: p.inScripts, listening: p.listening}
	for id, v := range r.verdicts {
		if v == permitted && unchecked(command.ByID(id)) {
			r.verdicts[id] = checked
		}
	}
	return r
}

// unchecked reports whether a command is answered by the proxy, or has an effect in
// it, before any server has seen it as the client's own user. What a server permits
// everybody, such as AUTH and RESET, need not be asked for.
func unchecked(cmd *command.Command) bool {
	switch cmd.Route {
	case command.OneShard, command.Split, command.Dedicated:
		return false // on its way over the user's own connections
	}
	return cmd.Name != "watch" && cmd.Flags&command.FlagNoAuth == 0
}

// mayRun looks whether an ACL user may run an unchecked command. It returns the error
// that the client gets if not; with wait, the request must wait for the verdict.
func (s *session) mayRun(cmd *command.Command, args [][]byte) (denial []byte, wait bool) {
	args = args[:min(len(args), maxVerdictArgs)]
	q := question{user: s.user, command: cmd.ID, args: len(args), first: toldApart(cmd, args)}
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
		r = &ruling{}
		s.w.rights[q] = r
	}
	if !r.asked {
		conn := s.local.ConnSet(resp.RESP2, s.local.Conf().RedisDB).Conn(s.defaultServer(), s.info.id)
		if conn.Full() {
			s.await(conn)
			return nil, true
		}
		r.asked = true
		d := &dryRun{w: s.w, cmd: cmd, user: s.user, ruling: r}
		if f := conn.Send(requestDryRun(s.user.Name, args), d, 0); f != nil {
			d.unanswered()
			return r.denial, false
		}
	}
	s.awaited++
	r.waiting = append(r.waiting, s)
	return nil, true
}

// toldApart returns the first argument of a command if a verdict holds for that alone:
// rules may name it, as +info|server does, and a refusal names a channel. Of PING and
// ECHO it is a text of the client's, which nothing hangs on.
func toldApart(cmd *command.Command, args [][]byte) string {
	switch cmd.Name {
	case "select", "info", "subscribe", "psubscribe", "ssubscribe":
		if len(args) > 1 {
			return string(args[1][:min(len(args[1]), maxVerdictText)])
		}
	}
	return ""
}

// deny answers a request that the client's user may not run. It fails the transaction
// that it is part of, and ends it if it is EXEC.
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

// requestDryRun asks whether a user may run a command. Rules look at no more than
// the beginning of its arguments.
func requestDryRun(user string, args [][]byte) []byte {
	request := [][]byte{[]byte("ACL"), []byte("DRYRUN"), []byte(user)}
	for _, arg := range args {
		request = append(request, arg[:min(len(arg), maxVerdictText)])
	}
	return resp.AppendRequest(nil, request)
}

// unknownToServers is what a server says of a command that it does not have.
func unknownToServers(cmd *command.Command, args [][]byte) []byte {
	if strings.Contains(cmd.Name, "|") {
		return command.AppendUnknownSubcommand(nil, args)
	}
	return command.AppendUnknown(nil, args)
}

// dryRun is the Receiver of ACL DRYRUN.
type dryRun struct {
	w      *Worker
	cmd    *command.Command
	user   *pool.User
	ruling *ruling
	reply  []byte
}

// Reply is pipeline.Receiver's.
func (d *dryRun) Reply(_ uint32, b []byte, last bool) {
	if d.reply = append(d.reply, b[:min(len(b), maxInfo)]...); !last {
		return
	}
	words, said := resp.Text(d.reply)
	d.ruling.unknown = false
	switch {
	case string(d.reply) == string(replyOK):
		d.decide(nil, verdictFor)
	case said:
		// 7.0 begins with "This user", and so does its error but for the capital.
		text := string(words)
		if rest, ok := strings.CutPrefix(text, "This user"); ok {
			text = "this user" + rest
		}
		d.decide(resp.AppendError(nil, "NOPERM "+text), verdictFor)
	case bytes.HasPrefix(d.reply, []byte("-ERR Command '")):
		d.ruling.unknown = true
		d.decide(nil, verdictFor)
	case bytes.HasPrefix(d.reply, []byte("-ERR wrong number of arguments")): // fewer do for other versions
		d.decide(d.reply, verdictFor)
	case bytes.HasPrefix(d.reply, []byte("-ERR User '")): // it is gone
		d.decide(d.noPermission(), verdictFor)
	default:
		d.unanswered()
	}
}

// Fail is pipeline.Receiver's.
func (d *dryRun) Fail(uint32, *pipeline.Failure, []byte) { d.unanswered() }

// unanswered decides without a verdict: Redis before 7 has no DRYRUN, the pool's own
// user may not run it, or the server does not answer. What was known before holds
// for a while; else nothing is done that could hurt others.
func (d *dryRun) unanswered() {
	r := d.ruling
	switch {
	case r.known && d.w.loop.Now()-r.since < int64(verdictKept):
		r.until = d.w.loop.Now() + int64(verdictRetry)
		d.tell()
	case isAllowedMeanwhile(d.cmd):
		d.decide(nil, verdictRetry)
	default:
		d.decide(d.noPermission(), verdictRetry)
	}
}

func (d *dryRun) noPermission() []byte {
	return resp.AppendError(nil, "NOPERM User "+d.user.Name+" has no permissions to run the '"+d.cmd.Name+"' command")
}

func (d *dryRun) decide(denial []byte, holds time.Duration) {
	r := d.ruling
	r.known, r.denial, r.since = true, denial, d.w.loop.Now()
	r.until = r.since + int64(holds)
	d.tell()
}

// tell has the sessions go on that wait for the verdict.
func (d *dryRun) tell() {
	r := d.ruling
	r.asked = false
	waiting := r.waiting
	r.waiting = nil
	for _, s := range waiting {
		s.awaited--
		s.settle()
	}
}

// isAllowedMeanwhile reports whether an unchecked command tells a client nothing but of
// itself, and does nothing to others.
func isAllowedMeanwhile(cmd *command.Command) bool {
	switch cmd.Name {
	case "ping", "echo", "time", "select", "multi", "exec", "discard", "unwatch", "acl|whoami", "unsubscribe", "punsubscribe", "sunsubscribe",
		"client|id", "client|info", "client|getname", "client|setname", "client|setinfo", "client|reply", "client|no-evict", "client|no-touch",
		"client|getredir", "client|trackinginfo", "client|caching":
		return true
	}
	family, sub, _ := strings.Cut(cmd.Name, "|")
	return family == "command" || sub == "help"
}

// forget drops verdicts that came before a time and for which nobody waits; 0 for
// all of these.
func (rs rights) forget(before int64) {
	for q, r := range rs {
		if !r.asked && (before == 0 || r.since < before) {
			delete(rs, q)
		}
	}
}

// sees returns those sessions that the viewer may see: an ACL user sees the clients
// of its own name alone. It is called on the sessions' loop.
func (who viewer) sees(peers []*session) (seen []*session) {
	if !who.restricted {
		return peers
	}
	for _, peer := range peers {
		if peer.user != nil && peer.user.Name == who.name {
			seen = append(seen, peer)
		}
	}
	return seen
}

// viewer is who looks at the pool's clients, for any loop.
type viewer struct {
	restricted bool
	name       string
}

func (s *session) viewer() viewer {
	if s.user == nil {
		return viewer{}
	}
	return viewer{true, s.user.Name}
}
