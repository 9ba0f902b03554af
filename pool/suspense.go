package pool

import "ringway/pipeline"

// When a replica may have been promoted without a word, what the old primary has
// acknowledged since then is lost. So its replies are held back, too, until the
// replica has said what it is: see docs/adr/0020.

// HoldReplies is Hold, and nothing is read any more of what the shard's primary
// answers, until Hold, Unhold, SetView or Overtaken. It is for a moment.
func (p *Pool) HoldReplies(shard int) {
	p.eachLocal(func(l *Local) { l.shards[shard].holdReplies() })
}

// Overtaken ends HoldReplies where another server has taken the primary's place: what
// it was sent and has not answered is of unknown outcome. Writes wait on.
func (p *Pool) GiveUpReplies(shard int) {
	p.eachLocal(func(l *Local) { l.shards[shard].overtaken() })
}

// holdReplies has writes wait, and replies.
func (sh *localShard) holdReplies() {
	sh.hold()
	if !sh.held {
		return
	}
	for _, n := range sh.l.shared {
		for _, c := range n.fallback[sh.index*n.width:][:n.width] {
			sh.mute(c)
		}
	}
	for c, k := range sh.l.lent {
		if k.shard == sh.index && k.server == sh.primary {
			sh.mute(c)
		}
	}
}

func (sh *localShard) mute(c *pipeline.Conn) {
	if c.HoldReplies() {
		sh.muted = append(sh.muted, c)
	}
}

// release has the replies read.
func (sh *localShard) release() {
	muted := sh.muted
	sh.muted = nil
	for _, c := range muted {
		c.ReleaseReplies()
	}
}

// overtaken ends the connections on which replies were held and are due. Those who
// wait for them are told; what was not sent waits with the other writes.
func (sh *localShard) overtaken() {
	muted := sh.muted
	sh.muted = nil
	for _, c := range muted {
		if c.InFlight() > 0 {
			c.GiveUp()
		} else {
			c.ReleaseReplies()
		}
	}
}
