package pool

// StalledShards appends to dst each shard whose primary has left the oldest request on a
// shared connection unanswered since before the time before (as eventloop.Loop.Now), and
// returns the extended slice.
func (l *Local) StalledShards(before int64, dst []int) []int {
	for _, cs := range l.connSets {
		for i, c := range cs.conns {
			if at := c.WaitingSince(); at != 0 && at < before {
				dst = append(dst, i/cs.width)
			}
		}
	}
	return dst
}
