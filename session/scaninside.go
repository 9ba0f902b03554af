package session

import (
	"strconv"

	"ringway/command"
	"ringway/join"
	"ringway/resp"
)

// A SCAN in a transaction goes to one shard: its pattern must say which. The shard gets its own
// cursor, and the client one that holds the shard, as outside of a transaction (scan.go).

// scansInside reports whether a SCAN may be queued, and its cursor is not the server's own.
func (tx *transaction) scansInside(cmd *command.Command, args [][]byte) bool {
	if cmd.Route != command.ScanShards {
		return false
	}
	m := tx.s.local.Map()
	if tx.s.local.Shards() == 1 {
		return m.Slotted()
	}
	_, one := onePrefix(m, cmd, args)
	return one
}

// addScan adds a SCAN to what is queued. It returns an error if the transaction can't have it.
func (tx *transaction) addScan(cmd *command.Command, args [][]byte, size int) error {
	cursor, ok := join.ParseCursor(args[1])
	if !ok {
		tx.addOwn(&ownRequest{cmd: cmd, reply: resp.AppendError(nil, errCursor.Error())}, size)
		return nil
	}
	p, err := tx.partOf(cmd, args)
	if p == nil {
		return err
	}
	own, next, done := tx.scanCursor(p, cursor)
	if done {
		tx.addOwn(&ownRequest{cmd: cmd, reply: join.AppendEmptyScan(nil, 0)}, size)
		return nil
	}
	p.add(resp.AppendRequest(nil, append([][]byte{args[0], strconv.AppendUint(nil, own, 10)}, args[2:]...)))
	tx.addOwn(&ownRequest{cmd: cmd, fragments: []*part{p}, scanNext: next}, 0)
	tx.note(cmd, args, size)
	return nil
}

// scanCursor returns the cursor for a part's shard, and what makes the client's next one of the
// shard's. done reports that nothing is left on that shard.
func (tx *transaction) scanCursor(p *part, cursor uint64) (own uint64, next func(own uint64) (uint64, bool), done bool) {
	shard, shards := p.shard, tx.s.local.Shards()
	if !tx.m.Slotted() {
		at, own := join.SplitCursor(cursor, shards)
		at, own, done = nextOf(shard, at, own)
		return own, func(own uint64) (uint64, bool) {
			if own == 0 {
				return 0, true
			}
			return join.NextCursor(own, at, shards)
		}, done
	}
	at, more := join.ParseClusterCursor(cursor).InTransaction(shard)
	return at.Own, func(own uint64) (uint64, bool) {
		if p.resent || p.shard != shard {
			// Another server has executed it, whose cursors are others.
			return join.ClusterCursor{Sum: join.SumMoving}.ToOne(p.shard).Encode()
		}
		return at.Next(own, shards).Encode()
	}, !more
}

// scanned returns the reply to a SCAN, with the client's cursor in place of the shard's.
func (r *ownRequest) scanned() []byte {
	reply := r.fragments[0].next()
	own, rest, ok := join.SplitScan(reply)
	if !ok {
		return reply // an error
	}
	cursor, ok := r.scanNext(own)
	if !ok {
		return resp.AppendError(nil, errScanRange.Error())
	}
	return append(join.AppendScan(nil, cursor), rest...)
}
