package session

import (
	"iter"

	"ringway/command"
	"ringway/resp"
)

// With transactions = "per_shard" a client may watch keys of several shards: each shard's, in a
// Cluster each slot's, over a dedicated connection of its own. session.dedicated is that of the
// keys that were watched last, and session.otherWatches has the others.

// watches returns the dedicated connections that the session has.
func (s *session) watches() iter.Seq[*dedicated] {
	return func(yield func(*dedicated) bool) {
		if s.dedicated != nil && !yield(s.dedicated) {
			return
		}
		for _, d := range s.otherWatches {
			if !yield(d) {
				return
			}
		}
	}
}

// releaseWatches gives all of the session's dedicated connections back to the pool, as
// releaseDedicated does.
func (s *session) releaseWatches(clean bool) {
	s.releaseDedicated(clean)
	others := s.otherWatches
	s.otherWatches = nil
	for _, d := range others {
		s.local.ReleaseDedicated(d.conn, clean && !d.altered)
	}
}

// watchedBy reports whether keys of the part are watched on d.
func (p *part) watchedBy(d *dedicated) bool {
	if d.slot >= 0 && p.bucket >= 0 && (d.slot == p.bucket || p.tx.perShard()) {
		return d.slot == p.bucket
	}
	return d.shard == p.shard
}

// useWatch makes session.dedicated the connection for a bucket, nil if there is none yet.
func (s *session) useWatch(bucket int) {
	serves := func(d *dedicated) bool {
		if d.slot >= 0 {
			return d.slot == bucket
		}
		return d.shard == bucket
	}
	if s.dedicated == nil || serves(s.dedicated) {
		return
	}
	for i, d := range s.otherWatches {
		if serves(d) {
			s.otherWatches[i], s.dedicated = s.dedicated, d
			return
		}
	}
	s.otherWatches = append(s.otherWatches, s.dedicated)
	s.dedicated = nil
}

// restoreWatch makes session.dedicated one of the session's dedicated connections again, after
// one more could not be acquired.
func (s *session) restoreWatch() {
	if n := len(s.otherWatches); n > 0 && s.dedicated == nil {
		s.dedicated, s.otherWatches = s.otherWatches[n-1], s.otherWatches[:n-1]
	}
	if len(s.otherWatches) == 0 {
		s.otherWatches = nil
	}
}

// watchPerShard runs WATCH where each shard's keys may be watched, one shard after the other.
// Like handle, it reports false if it must wait.
func (s *session) watchPerShard(cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.isAlone() {
		return false
	}
	s.restoreWatch()
	m := s.local.Map()
	var buckets []int
	byBucket := map[int][][]byte{}
	for _, key := range args[1:] {
		bucket := m.Bucket(key)
		if byBucket[bucket] == nil {
			buckets = append(buckets, bucket)
			byBucket[bucket] = [][]byte{args[0]}
		}
		byBucket[bucket] = append(byBucket[bucket], key)
	}
	if len(buckets) == 1 {
		s.useWatch(buckets[0])
		done := s.watch(cmd, args, raw)
		if s.dedicated == nil {
			s.restoreWatch()
		}
		return done
	}
	e := &execution{s: s, watching: true}
	for _, bucket := range buckets {
		e.entries = append(e.entries, entry{own: &ownRequest{cmd: cmd, args: cloneArgs(byBucket[bucket])}})
	}
	e.start()
	return true
}

// watchInside runs one shard's part of a WATCH.
func (s *session) watchInside(r *ownRequest) bool {
	s.restoreWatch()
	return s.watchPerShard(r.cmd, r.args, resp.AppendRequest(nil, r.args))
}
