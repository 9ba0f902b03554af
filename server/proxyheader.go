package server

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/proxyheader"
)

// In a pool with proxy_protocol a connection begins with a header that names the client behind a load
// balancer. It is read before anything else, TLS included, and to its last byte only: what follows stays in the socket. A header
// that is there when the connection is accepted costs two system calls. For one that is not, a goroutine
// waits, of which there is a bounded number.

const (
	headerWithin = 5 * time.Second // how long a header may take
	maxHeaders   = 1024            // how many headers of all pools may be waited for
)

// needsHeader reports whether a client at an address has to begin with a header: it is a load balancer that is
// trusted.
func needsHeader(c *conf.Pool, peer netip.Addr) bool {
	return c.ProxyProtocol && (c.ProxyProtocolFrom == nil || contains(c.ProxyProtocolFrom, peer))
}

// readHeader reads the header of a connection that was accepted and counted, and has ln take the
// client in by next, with the address that the header has, if it has one; else with peer. Without a valid
// header the connection is closed. It returns at once.
func (ln *listener) readHeader(fd int, peer netip.AddrPort, next func(peer netip.AddrPort)) {
	h := &header{fd: fd}
	if h.read(); !h.over() {
		if file := ln.srv.headers.begin(fd); file != nil {
			ln.srv.accepting.Go(func() {
				defer ln.srv.headers.end(file)
				h.await(file)
				ln.afterHeader(h, peer, next)
			})
			return
		}
		h.err = errTooManyHeaders
	}
	ln.afterHeader(h, peer, next)
}

func (ln *listener) afterHeader(h *header, peer netip.AddrPort, next func(peer netip.AddrPort)) {
	if h.err != nil {
		if !h.isProbe() {
			ln.away.header.Add(1)
			ln.warn("clients closed: they come from a load balancer of proxy_protocol without its header; turn it on there (send-proxy, send-proxy-v2), or leave them out of proxy_protocol_from",
				"client", peer.String(), "err", h.err)
		}
		eventloop.CloseFD(h.fd)
		ln.srv.Left(ln.index)
		return
	}
	if h.Source.IsValid() {
		peer = h.Source
	}
	next(peer)
}

var errTooManyHeaders = errors.New("too many connections whose header has not come")

// header is one that is being read.
type header struct {
	proxyheader.Reader
	fd   int
	any  bool // a part of it has come
	done bool
	err  error
}

func (h *header) over() bool { return h.done || h.err != nil }

// isProbe reports whether the connection has ended without a byte: load balancers probe so.
func (h *header) isProbe() bool { return h.err == io.EOF && !h.any }

// read reads what has come of the header, and nothing beyond it.
func (h *header) read() {
	var b [256]byte
	for !h.over() {
		n, _, err := syscall.Recvfrom(h.fd, b[:], syscall.MSG_PEEK)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return
		case err != nil:
			h.err = os.NewSyscallError("recvfrom", err)
			return
		case n == 0:
			h.err = io.EOF
			return
		}
		h.any = true
		used, done, err := h.Feed(b[:n])
		if _, errRead := syscall.Read(h.fd, b[:used]); err == nil {
			err = errRead
		}
		h.done, h.err = done, err
	}
}

// await reads the rest of the header as it comes. The file is one of the socket.
func (h *header) await(file *os.File) {
	conn, err := file.SyscallConn()
	if err == nil {
		err = conn.Read(func(uintptr) bool {
			h.read()
			return h.over()
		})
	}
	if h.err == nil && err != nil {
		h.err = err
	}
}

// headers are those that are waited for.
type headers struct {
	mu    sync.Mutex // guards what follows; nothing is called under it but to set deadlines
	ended bool
	files map[*os.File]struct{}
}

// begin returns a file of the socket to wait with, until end; nil if there are too many, or at the process's end.
func (hs *headers) begin(fd int) *os.File {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.ended || len(hs.files) >= maxHeaders {
		return nil
	}
	file, err := eventloop.Duplicate(fd)
	if err != nil {
		return nil
	}
	if err := file.SetReadDeadline(time.Now().Add(headerWithin)); err != nil {
		file.Close()
		return nil
	}
	if hs.files == nil {
		hs.files = map[*os.File]struct{}{}
	}
	hs.files[file] = struct{}{}
	return file
}

func (hs *headers) end(file *os.File) {
	hs.mu.Lock()
	delete(hs.files, file)
	hs.mu.Unlock()
	file.Close()
}

// stop ends all waiting.
func (hs *headers) stop() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.ended = true
	for file := range hs.files {
		file.SetReadDeadline(time.Now())
	}
}
