package topology

import (
	"context"
	"errors"
	"syscall"
	"time"

	"ringway/conf"
)

const (
	// signMost is for how long writes, and the primary's replies, wait at most for a
	// replica to say what it is.
	signMost = 500 * time.Millisecond
	// askAgain is the rest between two attempts to ask it.
	askAgain = 5 * time.Millisecond
)

// noticed takes a sign that a replica may have been promoted: writes wait, and what
// the primary answers, until it has said what it is.
func (f *sentinelFollower) noticed(sh *sentinelShard, s *server, why string) {
	if sh.primary == "" || s.addr == sh.primary || sh.held || sh.next.addr != "" || s.wasReplica == "" {
		return
	}
	at := time.Now()
	sh.log.Debug("perhaps a failover: writes wait for a moment", "primary", sh.primary, "replica", s.addr, "reason", why)
	sh.sign, sh.signAt, sh.goOnDue = s.addr, at, true
	sh.holdReplies()
	sh.pace.urge(suspense)
	f.pace.urge(suspense)
	f.wg.Go(func() {
		survive(f.log, "asking "+s.addr, func() {
			o := askRole(s.life, f.conf, s.addr)
			f.box.post(func() {
				if sh.sign == s.addr && sh.signAt.Equal(at) {
					f.judgeSign(sh, &o)
				}
			})
		})
	})
}

// askRole asks a server who it is, over a connection of its own, which is made after
// the sign and so is answered after what the sign may have told of. It returns when
// there is an answer, nobody listens there, or signMost has passed.
func askRole(ctx context.Context, c *conf.Pool, addr string) (o observation) {
	ctx, cancel := context.WithTimeout(ctx, signMost)
	defer cancel()
	for {
		client := NewClient(ctx, c, &conf.Server{Network: "tcp", Addr: addr})
		o = observe(ctx, client, addr)
		client.Close()
		if o.answered() || errors.Is(o.err, syscall.ECONNREFUSED) || !sleep(ctx, askAgain, nil, nil) {
			return o
		}
	}
}

// judgeSign decides what a sign has meant: the replica says that it is primary, and
// the Sentinels will follow; or not, and all goes on.
func (f *sentinelFollower) judgeSign(sh *sentinelShard, o *observation) {
	if !o.isPrimary() {
		f.goOn(sh)
		return
	}
	sh.log.Info("failover: a replica says that it is primary; writes wait for the Sentinels to name it", "primary", sh.primary, "replica", sh.sign)
	sh.sign, sh.goOnDue = "", false
	sh.to.GiveUpReplies(sh.index)
	sh.pace.urge(f.conf.FailoverWait + suspense)
	f.pace.urge(f.conf.FailoverWait + suspense)
}

// goOn ends what noticed has begun. Writes wait on if there is another reason.
func (f *sentinelFollower) goOn(sh *sentinelShard) {
	switch {
	case sh.goOnDue:
		sh.unhold()
	case sh.held:
		sh.to.Hold(sh.index)
	}
	sh.sign, sh.goOnDue = "", false
}

// forgetSign ends it if nobody has said what the sign has meant.
func (f *sentinelFollower) forgetSign(sh *sentinelShard) {
	if sh.sign != "" && time.Since(sh.signAt) > signMost+askAgain {
		f.goOn(sh)
	}
}
