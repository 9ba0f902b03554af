package session

import (
	"bytes"
	"errors"
	"iter"

	"ringway/command"
	"ringway/conf"
	"ringway/resp"
)

// newTransaction returns the transaction that a MULTI begins.
func newTransaction(s *session) *transaction {
	tx := &transaction{s: s, selects: -1, size: len(requestMulti)}
	tx.first = part{tx: tx, shard: -1, bucket: -1, db: -1, unit: append([]byte(nil), requestMulti...)}
	return tx
}

// perShard reports whether each shard's part is a transaction of its own, if there are several.
func (tx *transaction) perShard() bool { return tx.s.perShard() }

// perShard reports whether a transaction may have keys of several shards.
func (s *session) perShard() bool {
	return s.local.Conf().Transactions == conf.PerShard && s.local.Shards() > 1
}

// all returns the parts, those without requests left out.
func (tx *transaction) all() iter.Seq[*part] {
	return func(yield func(*part) bool) {
		if tx.first.queued > 0 && !yield(&tx.first) {
			return
		}
		for _, p := range tx.parts {
			if !yield(p) {
				return
			}
		}
	}
}

// partOf returns the part that a request with keys belongs to, and makes it if there is none.
// It returns nil, and no error, for a request that it has dealt with: one whose keys are on
// several shards and that was split, or one that will fail as it does at a server.
func (tx *transaction) partOf(cmd *command.Command, args [][]byte) (*part, error) {
	s := tx.s
	if tx.m == nil {
		tx.m = s.local.Map()
	}
	shard, err := s.ownerOn(tx.m, s.policy, cmd, args)
	switch {
	case err == errCrossShard && cmd.Route == command.Split && tx.perShard():
		return nil, tx.split(cmd, args)
	case err == errCrossShard:
		return nil, tx.otherShard(cmd, args)
	case err == errDatabase || isReplyError(err) && cmd.KeysKnown():
		tx.addOwn(&ownRequest{cmd: cmd, reply: resp.AppendError(nil, err.Error())}, 0)
		return nil, nil
	case err != nil:
		return nil, err
	}
	bucket := shard
	if tx.m.Slotted() {
		bucket = tx.slotOf(cmd, args)
	}
	if p := tx.partAt(shard, bucket); p != nil {
		return p, nil
	}
	return nil, tx.otherShard(cmd, args)
}

// isReplyError reports whether err is an error that a server would give.
func isReplyError(err error) bool { return errors.As(err, new(command.ReplyError)) }

// slotOf returns the slot of a request's keys; -1 if it has none.
func (tx *transaction) slotOf(cmd *command.Command, args [][]byte) int {
	keys, err := cmd.Keys(args, tx.s.w.keys[:0])
	if tx.s.w.keys = keys[:0]; err != nil || len(keys) == 0 {
		return -1
	}
	return tx.m.Bucket(args[keys[0]])
}

// partAt returns the part for a shard and a bucket, which is -1 if any of the shard will do.
// It returns nil if the transaction can't have another part.
func (tx *transaction) partAt(shard, bucket int) *part {
	p := &tx.first
	switch {
	case p.shard < 0, p.shard == shard && (p.bucket == bucket || p.bucket < 0 || bucket < 0):
		p.shard = shard
		if bucket >= 0 {
			p.bucket = bucket
		}
		return p
	case !tx.perShard():
		return nil
	}
	if bucket < 0 {
		for _, p := range tx.parts {
			if p.shard == shard {
				return p
			}
		}
	}
	if p := tx.byBucket[bucket]; p != nil && p.shard == shard {
		return p
	}
	p = &part{tx: tx, shard: shard, bucket: bucket, db: -1, unit: append([]byte(nil), requestMulti...)}
	tx.parts = append(tx.parts, p)
	if tx.byBucket == nil {
		tx.byBucket = map[int]*part{}
	}
	tx.byBucket[bucket] = p
	return p
}

// addEntry adds to the list of all requests, which begins with those of the first part.
func (tx *transaction) addEntry(e entry) {
	if tx.entries == nil {
		tx.entries = make([]entry, tx.queued, tx.queued+8)
		for i := range tx.entries {
			tx.entries[i].part = &tx.first
		}
	}
	tx.entries = append(tx.entries, e)
}

// addOwn adds a request that no server gets as it is, and counts it with size bytes; with 0
// the caller counts it.
func (tx *transaction) addOwn(r *ownRequest, size int) {
	tx.addEntry(entry{own: r})
	if size > 0 {
		tx.queued++
		tx.size += size
	}
}

// split cuts a request by the shards of its keys, in a Cluster by their slots, and adds a
// fragment to each one's part.
func (tx *transaction) split(cmd *command.Command, args [][]byte) error {
	step := cmd.Step
	if (len(args)-1)%step != 0 {
		refusal := command.AppendArity(nil, cmd)
		tx.addOwn(&ownRequest{cmd: cmd, reply: refusal}, 0)
		return nil
	}
	r := &ownRequest{cmd: cmd}
	index := map[int]int{}
	var requests [][][]byte
	for rest := args[1:]; len(rest) > 0; rest = rest[step:] {
		bucket := tx.m.Bucket(rest[0])
		i, known := index[bucket]
		if !known {
			i = len(requests)
			index[bucket] = i
			r.fragments = append(r.fragments, tx.partAt(tx.m.ShardAt(bucket), bucket))
			r.keys = append(r.keys, 0)
			requests = append(requests, [][]byte{args[0]})
		}
		r.keys[i]++
		r.fragmentOf = append(r.fragmentOf, uint16(i))
		requests[i] = append(requests[i], rest[:step]...)
	}
	for i, p := range r.fragments {
		p.add(resp.AppendRequest(nil, requests[i]))
	}
	tx.addOwn(r, 0)
	return nil
}

// cloneArgs copies arguments.
func cloneArgs(args [][]byte) [][]byte {
	copies := make([][]byte, len(args))
	for i, arg := range args {
		copies[i] = bytes.Clone(arg)
	}
	return copies
}
