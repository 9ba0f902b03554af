package server

import (
	"fmt"
	"syscall"

	"ringway/conf"
)

// otherDescriptors is how many open files are kept for what is neither a
// client nor a server: Redis keeps as many.
const otherDescriptors = 32

// loopDescriptors is what a loop has of its own: epoll, to be woken, io_uring.
const loopDescriptors = 3

// openFiles is how many files the process may have open; the runtime has
// raised that to what the system allows. 0 means unknown.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// descriptorsFor is how many descriptors the loops take and connections to the
// configured servers when all are in use: those of each loop in either protocol,
// and one for subscriptions. What only some clients need (other databases and users, pinned
// connections) is not counted.
func descriptorsFor(cfg *conf.Config, loops int) (n uint64) {
	n = uint64(loops) * loopDescriptors
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		each := 2*p.ServerConnections + 1
		if p.ServerTLS != nil {
			each *= 3 // and a pair of sockets between the loop and who encrypts
		}
		n += uint64(loops) * uint64(each) * uint64(max(1, len(p.Servers), len(p.Shards)))
	}
	return n
}

// fitClients returns how many clients are to be accepted where limit files may
// be open: max_clients, or fewer so that servers can still be reached.
func fitClients(cfg *conf.Config, loops int, limit uint64) (int, error) {
	wanted := cfg.Proxy.MaxClients
	reserved := descriptorsFor(cfg, loops) + otherDescriptors
	if limit == 0 || limit >= reserved+uint64(wanted) {
		return wanted, nil
	}
	if limit <= reserved {
		return 0, fmt.Errorf("open files: %d are allowed, and %d are needed without a single client; raise the limit (ulimit -n)", limit, reserved)
	}
	return int(limit - reserved), nil
}
