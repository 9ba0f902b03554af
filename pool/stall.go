package pool

// Stalled appends to dst the shards whose primary has let the oldest request on a
// shared connection wait since before a moment, as eventloop.Loop.Now, and returns
// the extended slice.
func (l *Local) StalledShards(before int64, dst []int) []int {
	for _, n := range l.shared {
		for i, c := range n.conns {
			if at := c.WaitingSince(); at != 0 && at < before {
				dst = append(dst, i/n.width)
			}
		}
	}
	return dst
}
