package eventloop

import (
	"net"
	"syscall"
	"testing"
	"time"
)

func TestAcceptedSocketsHaveTheListenersKeepAlive(t *testing.T) {
	for _, test := range []struct {
		idle             time.Duration
		seconds, between int
		on               bool
	}{
		{300 * time.Second, 300, 100, true},
		{2500 * time.Millisecond, 2, 1, true},
		{0, 0, 0, true},
		{-1, 0, 0, false}, // not asked for
	} {
		ln, err := Listen("tcp", "127.0.0.1:0", 16, false)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if test.idle >= 0 {
			if err := ln.KeepAlive(test.idle); err != nil {
				t.Fatal(err)
			}
		}
		peer, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		fd, _, err := ln.AcceptFD()
		if err != nil {
			t.Fatal(err)
		}
		defer CloseFD(fd)
		option := func(level, name int) int {
			n, err := syscall.GetsockoptInt(fd, level, name)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if on := option(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) != 0; on != test.on {
			t.Errorf("%s: keepalive is %v", test.idle, on)
		}
		if test.seconds == 0 {
			continue
		}
		idle, between, probes := option(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE), option(syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL), option(syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT)
		if idle != test.seconds || between != test.between || probes != 3 {
			t.Errorf("%s: after %d s, %d times every %d s", test.idle, idle, probes, between)
		}
	}
}
