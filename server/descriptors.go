package server

import (
	"fmt"
	"syscall"

	"ringway/conf"
)

// otherDescriptors is how many descriptors are reserved for everything but clients and
// servers: listeners, log files, the control plane. Redis reserves as many
// (CONFIG_MIN_RESERVED_FDS).
const otherDescriptors = 32

// loopDescriptors is how many descriptors a loop has for itself: epoll, the one that wakes
// it, io_uring.
const loopDescriptors = 3

// openFiles returns how many files the process may have open; 0 means unknown. The Go
// runtime has already raised the soft limit to the hard one.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}

// descriptorsFor returns how many descriptors the loops and their connections to the
// configured servers take: for each loop and server, server_connections in either protocol,
// and once more for a second database, and one for subscriptions. Connections that only
// some clients need are not counted: dedicated ones, and those of further databases and of
// users.
func descriptorsFor(cfg *conf.Config, loops int) (n uint64) {
	n = uint64(loops) * loopDescriptors
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		each := 2*p.ServerConnections + 1
		if p.Databases > 1 {
			each += p.ServerConnections
		}
		if p.ServerTLS != nil {
			each *= 3 // and a pair of sockets between the loop and the goroutines that encrypt
		}
		n += uint64(loops) * uint64(each) * uint64(max(1, len(p.Servers), len(p.Shards)))
	}
	return n
}

// fitClients returns how many clients the process accepts if it may have limit files open
// (0: unknown): max_clients, or fewer so that descriptors for servers are left. It returns
// an error if none are left for clients.
func fitClients(cfg *conf.Config, loops int, limit uint64) (int, error) {
	wanted := cfg.Proxy.MaxClients
	reserved := descriptorsFor(cfg, loops) + otherDescriptors
	if limit == 0 || limit >= reserved+uint64(wanted) {
		return wanted, nil
	}
	if limit <= reserved {
		return 0, fmt.Errorf("the limit of open files is %d, and %d are needed without any client; raise the limit (ulimit -n)", limit, reserved)
	}
	return int(limit - reserved), nil
}

// fitClients is fitClients for the limit that the process has. It logs when max_clients is lowered.
func (srv *Server) fitClients(cfg *conf.Config, loops int) (int, error) {
	limit := openFiles()
	most, err := fitClients(cfg, loops, limit)
	if err == nil && most < cfg.Proxy.MaxClients {
		srv.log.Warn("max_clients lowered to what the limit of open files allows (ulimit -n)",
			"max_clients", most, "configured", cfg.Proxy.MaxClients, "open_files", limit)
	}
	return most, err
}
