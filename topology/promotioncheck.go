package topology

import (
	"context"
	"errors"
	"syscall"
	"time"

	"ringway/conf"
)

const (
	// promotionCheckMax bounds how long writes, and the primary's replies, are held until
	// the replica has told its role.
	promotionCheckMax = 500 * time.Millisecond
	// roleRetry is the pause between two attempts to ask it.
	roleRetry = 5 * time.Millisecond
)

// checkPromotion begins a promotion check: something suggests that Sentinel has just promoted
// the replica s, and reason says what. Writes are held, and so are the primary's replies,
// which may acknowledge writes that will be lost. Then s is asked for its role. A check is not
// begun while writes are held anyway, or for a server that was not known to be a replica.
func (f *sentinelFollower) checkPromotion(sh *sentinelShard, s *server, reason string) {
	if sh.primary == "" || s.addr == sh.primary || sh.held || sh.candidate.addr != "" || s.replicaRunID == "" {
		return
	}
	at := time.Now()
	sh.log.Debug("possible promotion: holding writes until the replica tells its role", "primary", sh.primary, "replica", s.addr, "reason", reason)
	sh.maybePromoted, sh.maybePromotedAt, sh.heldForCheck = s.addr, at, true
	sh.holdReplies()
	sh.interval.speedUpAnew(fastPolling)
	f.interval.speedUpAnew(fastPolling)
	f.wg.Go(func() {
		catchPanic(f.log, "asking "+s.addr, func() {
			o := askRole(s.ctx, f.conf, s.addr)
			f.mailbox.post(func() {
				if sh.maybePromoted == s.addr && sh.maybePromotedAt.Equal(at) {
					f.finishPromotionCheck(sh, &o)
				}
			})
		})
	})
}

// askRole asks a server for its role, over a connection of its own. That connection is made
// after the promotion, if there was one, and Redis runs the promotion as one transaction, so
// the answer is the new role. It returns when the server has answered or refuses connections,
// or promotionCheckMax has passed.
func askRole(ctx context.Context, c *conf.Pool, addr string) (o observation) {
	ctx, cancel := context.WithTimeout(ctx, promotionCheckMax)
	defer cancel()
	for {
		client := NewClient(ctx, c, &conf.Server{Network: "tcp", Addr: addr})
		o = observe(ctx, client, addr)
		client.Close()
		if o.answered() || errors.Is(o.err, syscall.ECONNREFUSED) || !sleep(ctx, roleRetry, nil, nil) {
			return o
		}
	}
}

// finishPromotionCheck takes the replica's answer. If it is primary now, the old primary's
// outstanding replies are given up and writes wait for the Sentinels to name the new one.
// Otherwise everything continues, and clients notice a pause of milliseconds at most.
func (f *sentinelFollower) finishPromotionCheck(sh *sentinelShard, o *observation) {
	if !o.isPrimary() {
		f.endPromotionCheck(sh)
		return
	}
	sh.log.Info("failover: replica was promoted; writes wait for the Sentinels to name it", "primary", sh.primary, "replica", sh.maybePromoted)
	sh.maybePromoted, sh.heldForCheck = "", false
	sh.pool.GiveUpReplies(sh.index)
	sh.interval.speedUpAnew(f.conf.FailoverWait + fastPolling)
	f.interval.speedUpAnew(f.conf.FailoverWait + fastPolling)
}

// endPromotionCheck ends the check without a promotion. If writes are held for another reason
// by now, only the replies are let go.
func (f *sentinelFollower) endPromotionCheck(sh *sentinelShard) {
	switch {
	case sh.heldForCheck:
		sh.release()
	case sh.held:
		sh.pool.Hold(sh.index)
	}
	sh.maybePromoted, sh.heldForCheck = "", false
}

// expirePromotionCheck ends a check to which no answer came. It is called by the clock:
// askRole's goroutine may have been ended together with its server.
func (f *sentinelFollower) expirePromotionCheck(sh *sentinelShard) {
	if sh.maybePromoted != "" && time.Since(sh.maybePromotedAt) > promotionCheckMax+roleRetry {
		f.endPromotionCheck(sh)
	}
}
