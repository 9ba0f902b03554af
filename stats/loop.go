package stats

// Loop counts the turns of one event loop.
type Loop struct {
	Turns Histogram // how long they took, without the sleep before them; the sum is how long the loop was busy
	Idle  int64     // nanoseconds asleep
}
