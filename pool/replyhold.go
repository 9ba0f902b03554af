package pool

import "ringway/pipeline"

// A replica may have been promoted without an event. Then what the old primary has
// acknowledged since is lost. So its replies are held as well, until the replica has
// answered what its role is: see docs/adr/0020.

// HoldReplies is Hold, and in addition nothing that the shard's primary answers is read
// until Hold, Release, SetView or GiveUpReplies. It is for a moment.
func (p *Pool) HoldReplies(shard int) {
	p.eachLocal(func(l *Local) { l.shards[shard].holdReplies() })
}

// GiveUpReplies ends HoldReplies when another server has become primary: requests that
// the old one has not answered fail, their outcome unknown. Writes are still held.
func (p *Pool) GiveUpReplies(shard int) {
	p.eachLocal(func(l *Local) { l.shards[shard].giveUpReplies() })
}

// holdReplies begins "replies held".
func (sh *localShard) holdReplies() {
	sh.setMustWait(true)
	sh.holdWrites()
	if !sh.writesHeld {
		sh.setMustWait(false)
		return
	}
	for _, cs := range sh.l.connSets {
		for _, c := range cs.primaryConns[sh.index*cs.width:][:cs.width] {
			sh.holdRepliesOf(c)
		}
	}
	for c, k := range sh.l.lent {
		if k.shard == sh.index && k.server == sh.primary {
			sh.holdRepliesOf(c)
		}
	}
}

// holdRepliesOf stops reading a connection.
func (sh *localShard) holdRepliesOf(c *pipeline.Conn) {
	if c.HoldReplies() {
		sh.repliesHeldOn = append(sh.repliesHeldOn, c)
	}
}

// releaseReplies reads those connections again.
func (sh *localShard) releaseReplies() {
	conns := sh.repliesHeldOn
	sh.repliesHeldOn = nil
	sh.setMustWait(false)
	for _, c := range conns {
		c.ReleaseReplies()
	}
}

// giveUpReplies closes the connections on which replies were held and are due. Their
// requests fail if they were sent; those not sent wait with the other writes.
func (sh *localShard) giveUpReplies() {
	conns := sh.repliesHeldOn
	sh.repliesHeldOn = nil
	for _, c := range conns {
		if c.InFlight() > 0 {
			c.GiveUp()
		} else {
			c.ReleaseReplies()
		}
	}
	sh.giveUpUnacked()
}
