package bench

import "time"

// usage is the processor time a process has used since it began.
type usage struct {
	Total  time.Duration // in nanoseconds, if the kernel has schedstat
	User   time.Duration // in clock ticks, usually of 10 ms: good for the proportion to System
	System time.Duration
	Known  bool
}

// sub returns the time used from u0 to u.
func (u usage) sub(u0 usage) usage {
	return usage{
		Total: max(0, u.Total-u0.Total), User: max(0, u.User-u0.User), System: max(0, u.System-u0.System),
		Known: u.Known && u0.Known,
	}
}

// userShare returns the part of u that was spent outside the kernel.
func (u usage) userShare() float64 {
	if sum := u.User + u.System; sum > 0 {
		return float64(u.User) / float64(sum)
	}
	return 0
}

// memory is the resident memory of a process in bytes; 0 where it is not known.
type memory struct {
	Now  int64 // VmRSS
	Peak int64 // VmHWM: the most since the peak was last reset
}
