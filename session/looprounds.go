package session

// A client may send SUBSCRIBE, and then have another client of another loop publish: by a job
// that it has queued, say. On one Redis the subscription comes first. Here the first loop's thread
// may be late by milliseconds, and the PUBLISH would be at the server before the SUBSCRIBE is even
// read. So a PUBLISH waits until all other loops have handled what they had received when it was
// read.

// loopRounds asks the other loops whether they have, for a pool's clients of one loop. That is a
// round: one is enough for all PUBLISHes that were read before it, and one is under way at a time.
type loopRounds struct {
	sh       *shared
	number   uint64 // of the last round that has begun
	awaited  int    // loops that have yet to answer it; 0 when it is over
	began    int64  // when it did, as eventloop.Loop.Now
	wanted   bool   // by sessions: another will begin
	deferred bool   // RunDeferred will be called at the end of the turn
	owes     []bool // by peer: it was asked and has not answered, in this round or one that was given up
}

// awaitsLoops reports whether a request that publishes must wait for a round; if so the session
// goes on by resumePublishers. A pipeline waits once for each time that bytes of it were read.
func (s *session) awaitsLoops() bool {
	r := &s.rounds
	switch {
	case s.roundAwaited != 0:
		if r.isOver(s.roundAwaited) {
			s.roundAwaited = 0
			return false
		}
	case !s.newInput || len(s.peers) == 1:
		return false
	default:
		s.newInput = false
		s.roundAwaited = r.next(s.shared)
	}
	s.awaitTurnToPublish()
	return true
}

func (r *loopRounds) isOver(number uint64) bool {
	return number < r.number || number == r.number && r.awaited == 0
}

// next returns the number of the next round, and has it begin: at the end of the turn, when no
// more is read, or when the one under way is over.
func (r *loopRounds) next(sh *shared) uint64 {
	r.sh, r.wanted = sh, true
	if r.awaited == 0 && !r.deferred {
		r.deferred = true
		sh.w.loop.Defer(r)
	}
	return r.number + 1
}

// RunDeferred is eventloop.Deferred's: it begins a round. A loop that sleeps need not be asked,
// and one that still owes an answer from a round that was given up is not waited for again.
func (r *loopRounds) RunDeferred() {
	sh := r.sh
	r.number++
	r.wanted, r.deferred, r.began = false, false, sh.w.loop.Now()
	if r.owes == nil {
		r.owes = make([]bool, len(sh.peers))
	}
	for i, peer := range sh.peers {
		if peer == sh || r.owes[i] || peer.w.loop.Quiet() {
			continue
		}
		r.owes[i] = true
		r.awaited++
		number := r.number
		peer.w.loop.AfterPoll(func() { sh.w.loop.Post(func() { r.answered(i, number) }) })
	}
	if r.awaited == 0 {
		r.end()
	}
}

// answered notes that a peer has handled what it had received when a round began.
func (r *loopRounds) answered(peer int, number uint64) {
	r.owes[peer] = false
	if number == r.number && r.awaited > 0 {
		if r.awaited--; r.awaited == 0 {
			r.end()
		}
	}
}

// giveUp ends a round that takes longer than a PUBLISH may wait. A tick calls it.
func (r *loopRounds) giveUp() {
	if r.awaited > 0 && r.sh.w.loop.Now()-r.began >= int64(maxJoinWait) {
		r.awaited = 0
		r.end()
	}
}

// end has the sessions go on that have waited for the round.
func (r *loopRounds) end() {
	r.sh.w.resumePublishers(true)
	if r.wanted {
		r.next(r.sh)
	}
}
