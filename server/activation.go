package server

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"ringway/conf"
)

// activated are the listening sockets that a service manager has opened for this process, by the pools
// whose clients they are.
type activated map[string]*os.File

// activate chooses the pools of sockets that a service manager has opened, and owns them afterwards. A socket
// belongs to the pool that listens at its address, or to the one that has its name. The error is for
// an operator; then all sockets are closed.
func activate(cfg *conf.Config, files []*os.File) (activated, error) {
	of := activated{}
	for _, f := range files {
		name, err := of.add(cfg, f)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("socket %q of the service manager: %w", f.Name(), err)
		}
		of[name] = f
	}
	return of, nil
}

// add returns the pool whose clients a socket has.
func (of activated) add(cfg *conf.Config, f *os.File) (pool string, err error) {
	ln, err := net.FileListener(f) // a copy
	if err != nil {
		return "", fmt.Errorf("it is no listening stream socket (ListenStream, Accept=no): %w", err)
	}
	defer ln.Close()
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	for i := range cfg.Pools {
		if listensAt(cfg.Pools[i].Listen, ln.Addr()) {
			pool = cfg.Pools[i].Name
		}
	}
	if pool == "" && cfg.Pool(f.Name()).Listen.Addr != "" {
		pool = f.Name()
	}
	switch {
	case pool == "":
		return "", fmt.Errorf("it belongs to no pool: none listens at %s, and none has its name (FileDescriptorName)", ln.Addr())
	case of[pool] != nil:
		return "", fmt.Errorf("pool %s has a socket already", pool)
	}
	return pool, nil
}

// listensAt reports whether a socket's address is where a pool wants to listen. Names are not resolved.
func listensAt(at conf.Listen, addr net.Addr) bool {
	if at.Network != addr.Network() {
		return false
	}
	if at.Addr == addr.String() {
		return true
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	if strings.HasPrefix(at.Addr, ":") { // of both families
		return tcp.IP.IsUnspecified() && at.Addr == fmt.Sprintf(":%d", tcp.Port)
	}
	want, err := netip.ParseAddrPort(at.Addr)
	return err == nil && want == tcp.AddrPort()
}

// take returns the socket of a pool, or nil if there is none. The caller owns it.
func (of activated) take(pool string) *os.File {
	f := of[pool]
	delete(of, pool)
	return f
}

// close closes the sockets that were not taken.
func (of activated) close() {
	for _, f := range of {
		f.Close()
	}
}
