package session

import (
	"container/list"
	"time"

	"ringway/command"
	"ringway/eventloop"
	"ringway/limit"
	"ringway/resp"
)

// What the clients of a pool, of a user and of a network may use is bounded (package limit, docs/limits.md). A session with such
// limits has a budget: before each batch it asks how many requests may run (mayRun), and afterwards it is charged for those
// that did (settle). A session that may not run any waits in the line of the share that is used up, and its client
// is not read meanwhile. A timer of the loop looks after the lines. Sessions without limits have no budget.

// budget is what bounds the requests of one session.
type budget struct {
	shares   []*share // of its pool, user and network, as far as they have limits for requests
	allowed  int      // how many requests may run before mayRun is called again
	refusing *share   // whose limit is reached: requests are refused; nil if none is
	what     limit.What
	line     *share        // in whose line the session waits; nil if it does not
	at       *list.Element // where in it
	turn     bool          // its turn has come: it goes before those that wait

	ran, bytes int    // what of the current call of session.run is charged
	written    uint64 // bytes that the client had been sent by then
	underWay   int    // requests that the shares count as under way
	index      int    // in shares.underWay, if that is not 0
}

// share is one loop's part of the limits of a group, and the sessions that wait for more.
type share struct {
	*limit.Share
	line list.List  // of *session, oldest first
	what limit.What // the limit that is reached
}

// shares are those of a loop.
type shares struct {
	loop     *eventloop.Loop
	of       map[*limit.Group]*share
	waited   []*share // whose lines are not empty
	timer    *eventloop.Timer
	next     int64      // when it runs, as eventloop.Loop.Now
	underWay []*session // those with requests under way that are counted
	counted  int64      // when they were last counted anew, as eventloop.Loop.Now
}

func newShares(loop *eventloop.Loop) *shares {
	ss := &shares{loop: loop, of: map[*limit.Group]*share{}}
	ss.timer = loop.NewTimer(ss.serve)
	return ss
}

// turnsAtOnce is how many sessions of a line have their turn in one turn of the loop.
const turnsAtOnce = 256

// mayRun reports whether the session may run requests, of which budget.allowed says how many. n is how many bytes of requests the
// current call of run has run. If it may not, the session waits in a line.
func (s *session) mayRun(n int) bool {
	b := s.budget
	s.settle(n)
	b.allowed, b.refusing = maxBatch, nil
	if b.line != nil {
		if !(b.line.what == limit.UnderWay && b.line.line.Front() == b.at) { // else one of its own may have been answered
			return false
		}
		s.leaveLine()
		b.turn = true
	}
	turn := b.turn
	b.turn = false
	for _, sh := range b.shares {
		if sh.line.Len() > 0 && !turn {
			return s.wait(sh, sh.what)
		}
		got, what := sh.Admit(b.allowed)
		if got == 0 && what == limit.UnderWay && s.w.shares.recount() {
			got, what = sh.Admit(b.allowed)
		}
		switch {
		case got > 0:
			b.allowed = got
		case sh.Settings().Refuse:
			b.refusing, b.what, b.allowed = sh, what, 1
			return true
		default:
			return s.wait(sh, what)
		}
	}
	return true
}

// wait puts the session in the line of a share. It returns false, for mayRun.
func (s *session) wait(sh *share, what limit.What) bool {
	ss := s.w.shares
	s.budget.line = sh
	if s.budget.at = sh.line.PushBack(s); sh.line.Len() == 1 {
		sh.what = what
		ss.waited = append(ss.waited, sh)
	}
	sh.Delayed(what)
	if at := ss.loop.Now() + int64(sh.Wait(what)); !ss.timer.Armed() || at < ss.next {
		ss.next = at
		ss.timer.Reset(at)
	}
	return false
}

// isDelayed reports whether the session waits since a limit is reached.
func (s *session) isDelayed() bool { return s.budget != nil && s.budget.line != nil }

// serve gives those that wait their turns.
func (ss *shares) serve() {
	ss.recount()
	waited := ss.waited
	ss.waited = nil
	next := time.Hour
	for _, sh := range waited {
		wait := sh.serve()
		if sh.line.Len() > 0 {
			ss.waited = append(ss.waited, sh)
			next = min(next, wait)
		}
	}
	if len(ss.waited) > 0 {
		ss.next = ss.loop.Now() + int64(next)
		ss.timer.Reset(ss.next)
	}
}

// serve gives the sessions of the line their turns, as far as the limit allows. It returns when to go on.
func (sh *share) serve() time.Duration {
	for range turnsAtOnce {
		if sh.line.Len() == 0 {
			return 0
		}
		if got, what := sh.Admit(1); got == 0 {
			sh.what = what
			return sh.Wait(what)
		}
		s := sh.line.Front().Value.(*session)
		s.leaveLine()
		s.budget.turn = true
		s.RunDeferred()
	}
	return 0
}

// leaveLine takes the session out of the line that it waits in, if it does.
func (s *session) leaveLine() {
	b := s.budget
	if b == nil || b.line == nil {
		return
	}
	b.line.line.Remove(b.at)
	b.line, b.at = nil, nil
}

// settle charges the session for what it has used since the last time. n is as for mayRun.
func (s *session) settle(n int) {
	b := s.budget
	requests, bytes := s.w.ran-b.ran, int64(n-b.bytes)
	b.ran, b.bytes = s.w.ran, n
	bytes += s.takeWritten()
	if requests != 0 || bytes != 0 {
		for _, sh := range b.shares {
			sh.Charge(requests, bytes)
		}
	}
	s.countUnderWay()
}

// takeWritten returns how many bytes of replies the client has been sent since the last time. Messages are nothing that a
// client asks for each, so subscribers are not charged.
func (s *session) takeWritten() (bytes int64) {
	b, written := s.budget, s.conn.Written()
	if written > b.written && s.sub == nil && s.monitor == nil {
		bytes = int64(written - b.written)
	}
	b.written = written
	return bytes
}

// settled ends a call of run, which has run n bytes of requests.
func (s *session) settled(n int) {
	s.settle(n)
	s.budget.ran, s.budget.bytes = 0, 0
}

// countUnderWay has the shares know how many requests of the session are under way. One that is blocked at a server, as BLPOP is, costs
// nothing there and does not count.
func (s *session) countUnderWay() {
	b, ss := s.budget, s.w.shares
	now := s.replies.unanswered()
	if s.blockedSince != 0 && s.window == 0 {
		now = max(0, now-1)
	}
	if now == b.underWay {
		return
	}
	for _, sh := range b.shares {
		sh.UnderWay += now - b.underWay
	}
	switch {
	case b.underWay == 0:
		b.index = len(ss.underWay)
		ss.underWay = append(ss.underWay, s)
	case now == 0:
		ss.dropUnderWay(b.index)
	}
	b.underWay = now
}

// dropUnderWay takes a session out of those with requests under way. The last one takes its index.
func (ss *shares) dropUnderWay(i int) {
	last := len(ss.underWay) - 1
	ss.underWay[i] = ss.underWay[last]
	ss.underWay[i].budget.index = i
	ss.underWay[last] = nil
	ss.underWay = ss.underWay[:last]
}

// recount counts anew how many requests are under way, at most once a turn, and reports whether it has: nobody
// says when a reply has come.
func (ss *shares) recount() bool {
	if ss.counted == ss.loop.Now() {
		return false
	}
	ss.counted = ss.loop.Now()
	for i := len(ss.underWay) - 1; i >= 0; i-- {
		ss.underWay[i].countUnderWay()
	}
	return true
}

// tick gives back what the loop has taken and does not use, and looks after the log.
func (ss *shares) tick() {
	if len(ss.of) == 0 {
		return
	}
	ss.recount()
	for _, sh := range ss.of {
		sh.Tick()
	}
}

// join returns the share of a group. leave must be called once for it.
func (ss *shares) join(g *limit.Group) *share {
	sh := ss.of[g]
	if sh == nil {
		sh = &share{Share: limit.NewShare(g)}
		ss.of[g] = sh
	}
	sh.Users++
	return sh
}

func (ss *shares) leave(sh *share) {
	if sh.Users--; sh.Users == 0 {
		delete(ss.of, sh.Group)
		sh.Close()
	}
}

// updateLimits makes the session follow the limits of its pool, user and network, after a change of the user or of the
// configuration.
func (s *session) updateLimits() {
	limits := s.local.Limits()
	if !limits.Any() && s.userGroup == nil && s.network == nil && s.budget == nil {
		return
	}
	var user *limit.Group
	if s.proxyUser != nil && !s.wantAuth {
		user = limits.User(s.proxyUser.Name)
	}
	swapGroup(&s.userGroup, user)
	swapGroup(&s.network, limits.Network(s.address()))

	var bound []*limit.Group
	for _, g := range []*limit.Group{limits.All(), s.userGroup, s.network} {
		if c := settingsOf(g); c.BoundsRequests() {
			bound = append(bound, g)
		}
	}
	if s.budget.isOf(bound) {
		return
	}
	s.dropBudget()
	if bound == nil {
		return
	}
	s.budget = &budget{}
	if s.conn != nil {
		s.budget.written = s.conn.Written()
	}
	s.budget.ran = s.w.ran // what is under way in run counts for the former ones
	for _, g := range bound {
		s.budget.shares = append(s.budget.shares, s.w.shares.join(g))
	}
	if s.conn != nil {
		s.countUnderWay()
	}
}

func settingsOf(g *limit.Group) *limit.Settings {
	if g == nil {
		return &limit.Settings{}
	}
	return g.Settings()
}

// swapGroup makes a session a member of another group; nil for none.
func swapGroup(group **limit.Group, to *limit.Group) {
	if *group == to {
		return
	}
	if to != nil {
		to.Join(true)
	}
	if *group != nil {
		(*group).Leave()
	}
	*group = to
}

// isOf reports whether the budget is that of some groups.
func (b *budget) isOf(groups []*limit.Group) bool {
	if b == nil || len(b.shares) != len(groups) {
		return b == nil && groups == nil
	}
	for i, sh := range b.shares {
		if sh.Group != groups[i] {
			return false
		}
	}
	return true
}

// dropBudget ends the session's budget on this loop.
func (s *session) dropBudget() {
	b := s.budget
	if b == nil {
		return
	}
	if s.conn != nil {
		if bytes := s.takeWritten(); bytes > 0 {
			for _, sh := range b.shares {
				sh.Charge(0, bytes)
			}
		}
	}
	if b.line != nil {
		s.leaveLine()
		if s.conn.Open() {
			s.deferRun() // by its new budget, if it has one
		}
	}
	if b.underWay > 0 {
		for _, sh := range b.shares {
			sh.UnderWay -= b.underWay
		}
		s.w.shares.dropUnderWay(b.index)
	}
	for _, sh := range b.shares {
		s.w.shares.leave(sh)
	}
	s.budget = nil
}

// left says that the session's client is gone: it does not count any more.
func (s *session) left() {
	s.leaveGroups()
	s.w.host.Left(s.poolIndex)
}

func (s *session) leaveGroups() {
	s.dropBudget()
	swapGroup(&s.userGroup, nil)
	swapGroup(&s.network, nil)
}

// TooMany is Redis's error for a client too many, without the leading "-".
const TooMany = "ERR max number of clients reached"

// joinUser makes the client one of a user's, and reports whether the user may have one more.
func (s *session) joinUser(name string) bool {
	g := s.local.Limits().User(name)
	if g == nil || g == s.userGroup {
		return true
	}
	if !g.Join(false) {
		g.Refused(limit.Connections)
		return false
	}
	if s.userGroup != nil {
		s.userGroup.Leave()
	}
	s.userGroup = g
	return true
}

// isTooMany reports whether the client, which is a user without having logged in, is one more than that user may have.
func (s *session) isTooMany() bool {
	g := s.userGroup
	if g == nil || g.Settings().Connections == 0 || g.Clients() <= g.Settings().Connections {
		return false
	}
	g.Refused(limit.Connections)
	return true
}

// refuseByLimit refuses the parser's request since a limit is reached. It reports false for a request that runs all the same,
// with which a client logs in, leaves, or ends a transaction.
func (s *session) refuseByLimit() bool {
	b := s.budget
	cmd, problem := s.w.lookUp()
	if len(s.w.parser.Args) == 0 || problem != command.NoProblem || cmd.Flags&command.FlagNoAuth != 0 || cmd.Name == "exec" || cmd.Name == "discard" {
		return false
	}
	s.begin(s.w.parser.Args, nil)
	b.refusing.Refused(b.what)
	s.lastCommand = uint16(cmd.ID) + 1
	s.deny(cmd, resp.AppendError(s.w.scratch[:0], limitText(b.refusing.Group, b.what)))
	return true
}

// limitText is the error for a request that is refused by a limit.
func limitText(g *limit.Group, what limit.What) string {
	of := map[limit.What]string{limit.Requests: "requests per second", limit.Bytes: "bytes per second", limit.UnderWay: "requests under way"}[what]
	return "ERR max number of " + of + " reached for this " + g.Kind.String() + ": try again later"
}
