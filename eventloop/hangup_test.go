package eventloop

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

// hangUpRecorder is a recorder that is also a HangUpHandler.
type hangUpRecorder struct {
	*recorder
	hungUp chan struct{}
}

func (l hangUpRecorder) HungUp() { l.hungUp <- struct{}{} }

// pausedPeer returns a peer of a connection that is paused, with bytes unread.
func pausedPeer(t *testing.T, l *Loop, network string) (hangUpRecorder, net.Conn) {
	t.Helper()
	h := hangUpRecorder{newRecorder(), make(chan struct{}, 16)}
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	ln, err := Listen(network, addr, 16, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	fd, _, err := ln.AcceptFD()
	if err != nil {
		t.Fatal(err)
	}
	onLoop(l, func() {
		if h.conn, err = l.Attach(fd, h); err != nil {
			t.Error(err)
			return
		}
		h.conn.Pause()
	})
	io.WriteString(peer, "unread")
	return h, peer
}

func TestHangUpBehindUnreadBytesIsSeenOnce(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			l := startLoop(t)
			h, peer := pausedPeer(t, l, network)
			peer.(interface{ CloseWrite() error }).CloseWrite()
			receive(t, h.hungUp, "hang-up")
			onLoop(l, func() {
				if len(l.poll.wait(0)) > 0 {
					t.Error("the loop is woken for it again and again")
				}
				if len(h.data) > 0 || !h.conn.Open() {
					t.Error("a paused connection was read or closed")
				}
				h.conn.Resume()
			})
			if b := receive(t, h.data, "data"); string(b) != "unread" {
				t.Errorf("%q", b)
			}
			receive(t, h.eof, "end of input")
			onLoop(l, func() {
				h.conn.Pause()
				h.conn.Append([]byte("still heard"))
			})
			b := make([]byte, 11)
			if _, err := io.ReadFull(peer, b); err != nil {
				t.Error(err)
			}
			if len(h.hungUp) > 0 {
				t.Error("reported twice")
			}
		})
	}
}

// A hang-up that came before the pause is seen, too.
func TestHangUpBeforeThePauseIsSeen(t *testing.T) {
	l := startLoop(t)
	h, peer := pausedPeer(t, l, "tcp")
	onLoop(l, func() { h.conn.Resume() })
	receive(t, h.data, "data")
	onLoop(l, func() {
		io.WriteString(peer, "more")
		peer.Close()
		h.conn.Pause()
	})
	receive(t, h.hungUp, "hang-up")
}

// What was written last arrives although bytes are unread when the connection is
// closed.
func TestCloseWrittenLosesNoOutput(t *testing.T) {
	l := startLoop(t)
	h, peer := pausedPeer(t, l, "tcp")
	onLoop(l, func() {
		h.conn.Append([]byte("last words"))
		h.conn.CloseWritten()
		h.conn.CloseWritten()
	})
	b, err := io.ReadAll(peer)
	if string(b) != "last words" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
