package eventloop

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAddressOfOneFamilyListensThereOnly(t *testing.T) {
	if ln, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6: ", err)
	} else {
		ln.Close()
	}
	for _, test := range []struct {
		addr      string
		four, six bool
	}{
		{"0.0.0.0:0", true, false},
		{"127.0.0.1:0", true, false},
		{"[::]:0", false, true},
		{"[::1]:0", false, true},
		{":0", true, true},
	} {
		four, six := reachable(t, test.addr)
		for tries := 0; (four != test.four || six != test.six) && tries < 5; tries++ {
			// Another process may listen on the same port of the other family.
			four, six = reachable(t, test.addr)
		}
		if four != test.four || six != test.six {
			t.Errorf("%s: reached at 127.0.0.1: %v, at ::1: %v", test.addr, four, six)
		}
	}
}

// reachable listens at addr and reports whether that can be connected to at 127.0.0.1 and at ::1.
func reachable(t *testing.T, addr string) (four, six bool) {
	t.Helper()
	ln, err := Listen("tcp", addr, 16, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	connects := func(host string) bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 10*time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	return connects("127.0.0.1"), connects("::1")
}

// The file of a unix socket goes with its listener, but not that of another.
func TestClosedListenerRemovesItsOwnSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen := func() *Listener {
		ln, err := Listen("unix", path, 16, false)
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	first := listen()
	if err := os.Rename(path, path+".old"); err != nil { // somebody wants the name
		t.Fatal(err)
	}
	second := listen()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's socket was removed: %v", err)
	}
	second.Close()
	second.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("a socket is left that nobody listens on")
	}
}
