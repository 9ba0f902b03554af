//go:build !race

// With the race detector crypto/tls's sync.Pool drops buffers at random.

package tlsconn

import "testing"

// With TLS, too, a request and its reply allocate nothing.
func TestNothingIsAllocatedPerRecord(t *testing.T) {
	for name, version := range versions {
		server, config := configs(t, version)
		client, r := connect(t, handshakes(t), server, config)
		c := r.Socket.Cipher
		const runs = 200
		for range runs + 1 {
			client.Write([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"))
		}
		client.NetConn().(interface{ CloseWrite() error }).CloseWrite()
		sealed := allIn(t, r.Socket.FD)
		plain, out := make([]byte, 0, 64<<10), make([]byte, 0, 64<<10)
		reply := []byte("$3\r\none\r\n")
		if avg := testing.AllocsPerRun(runs, func() {
			size, _ := recordSize(sealed)
			o := c.Open(plain, sealed[:size], out[:0])
			if sealed = sealed[size:]; o.Err != nil || len(o.Plain) == 0 {
				t.Fatal(o.Err)
			}
			c.Seal(out[:0], reply)
		}); avg >= 1 {
			t.Errorf("%s: %v allocations", name, avg)
		}
		r.Socket.Close()
	}
}
