package tlsconn

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
)

// FuzzRecords gives a connection what a client has sent, cut anywhere and with a byte of it changed. It must never
// panic, take what is no record, or give the handler anything but the beginning of what was sent.
func FuzzRecords(f *testing.F) {
	sent := bytes.Repeat([]byte("*1\r\n$4\r\nPING\r\n"), 20)
	f.Add(uint16(1), uint16(0xffff), byte(1), false)
	f.Add(uint16(7), uint16(3), byte(0x80), true)
	f.Add(uint16(1000), uint16(60), byte(1), false)
	h := NewHandshakes()
	f.Cleanup(h.Close)
	server, client := configs(f, tls.VersionTLS13)
	server12, client12 := configs(f, tls.VersionTLS12)
	f.Fuzz(func(t *testing.T, cut, at uint16, change byte, old bool) {
		s, c := server, client
		if old {
			s, c = server12, client12
		}
		peer, r := connect(t, h, s, c)
		defer r.Socket.Close()
		for i := 0; i < len(sent); i += 70 {
			peer.Write(sent[i : i+70])
		}
		peer.CloseWrite()
		peer.NetConn().(interface{ CloseWrite() error }).CloseWrite()
		sealed := append(slices.Clone(r.Socket.Input), allIn(t, r.Socket.FD)...)
		changed := int(at) < len(sealed) && change != 0
		if changed {
			sealed[at] ^= change
		}
		got, err := openCut(r.Socket.Cipher, sealed, max(1, int(cut)))
		if !bytes.HasPrefix(sent, got) || !changed && (len(got) != len(sent) || err == nil) {
			t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
		}
	})
}
