package session

import (
	"math/rand/v2"

	"ringway/command"
	"ringway/stats"
)

// noteBatch puts the batch's requests, which b begins with, into Worker.recent if they are small.
func (s *session) noteBatch(b []byte, count int) {
	if batch := &s.w.batch; s.stats != nil {
		batch.notedAt, batch.noted = s.w.recent.addBatch(b[:batch.size], count)
	}
}

// noteNext makes a request of the batch, which begins off bytes behind the first, the current one of
// Worker.recent.
func (s *session) noteNext(i, off int) {
	if s.stats == nil {
		return
	}
	batch, r := &s.w.batch, &s.w.recent
	if batch.noted {
		r.at, r.size = batch.notedAt+uint32(off), uint32(len(batch.requests[i]))
		return
	}
	r.noteSole(batch.keys[i], len(batch.requests[i]))
}

// noteKeys puts the keys of a request, which has the given size, into Worker.recent: some if the
// request will be a sample, else one.
func (s *session) noteKeys(cmd *command.Command, args [][]byte, size int) {
	if s.stats == nil {
		return
	}
	r, due := &s.w.recent, s.w.sampler.Due()
	switch {
	case cmd.SoleKey > 0:
		r.noteSole(args[cmd.SoleKey], size)
		return
	case cmd.FirstKey > 0 && cmd.FirstKey < len(args) && !due:
		r.noteSole(args[cmd.FirstKey], size)
		return
	}
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	switch {
	case err != nil || len(keys) == 0:
	case due:
		r.note(args, keys, size, noteKeys, rand.Uint32())
	default:
		r.note(args, keys, size, 1, 0)
	}
}

// note has the position p of the current request know where that is in Worker.recent, and whether
// it is a sample.
func (s *session) note(p *position) {
	r := &s.w.recent
	p.off, p.size, r.size = r.at, r.size, 0
	if s.w.sampler.Next() {
		p.flags = sampled | positionFlags(s.w.sampler.Take())<<weightShift
	}
}

// sampleAnswer counts the current request, which gets a reply of the proxy at once, if it is a sample.
// It may have keys in a transaction, say.
func (s *session) sampleAnswer(replySize int) {
	p := position{command: s.lastCommand}
	if s.note(&p); p.flags&sampled != 0 {
		s.countSample(&p, replySize)
	}
}

// countSample counts the keys of a sample, whose reply has the given size. Its bytes are shared
// equally by its keys.
func (s *session) countSample(p *position, replySize int) {
	n := s.w.recent.find(p.command, p.off, p.size)
	if n == nil {
		return
	}
	bytes := (uint64(p.size) + uint64(replySize)) / uint64(n.keys)
	for _, key := range n.list[:n.count] {
		s.hot.Add(key, uint64(n.stride)<<(p.flags>>weightShift), bytes)
	}
}

// HotKeys returns a copy of what the worker knows of the hot keys of a pool, which is an index in the
// configuration; nil if nothing is counted (statistics = false).
func (w *Worker) HotKeys(pool int) *stats.KeyCounts {
	if sh := w.pool(pool); sh != nil && sh.hot != nil {
		return sh.hot.Copy(w.loop.Now())
	}
	return nil
}
