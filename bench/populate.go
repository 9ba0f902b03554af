package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// populateTimeout bounds the writing of all values of a workload through one target.
const populateTimeout = 60 * time.Second

// populateTarget writes every key of w once through t, over one connection, in
// batches of at most 1 MiB.
func populateTarget(ctx context.Context, w Workload, t *Target) error {
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(populateTimeout))
	enc := newEncoder(w)
	replies := bufio.NewReader(conn)
	batch := max(1, min(256, (1<<20)/w.Value))
	var out []byte
	for k := 0; k < w.Keys; k += batch {
		out = out[:0]
		n := min(batch, w.Keys-k)
		for i := range n {
			out = enc.appendRequest(out, OpSet, []uint32{uint32(keyNumber(k + i))})
		}
		if _, err := conn.Write(out); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		for range n {
			if err := expectOK(replies); err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// flushAll empties one server.
func flushAll(ctx context.Context, addr string) error {
	conn, err := dialPlain(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(populateTimeout))
	if _, err := conn.Write([]byte("*1\r\n$8\r\nFLUSHALL\r\n")); err != nil {
		return err
	}
	return expectOK(bufio.NewReader(conn))
}

// expectOK reads one reply line, which must be +OK.
func expectOK(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if string(line) != "+OK\r\n" {
		return fmt.Errorf("reply %q to a SET", clip(line))
	}
	return nil
}

// dial connects to the target for what is not measured, or not by the generator.
func (t *Target) dial(ctx context.Context) (net.Conn, error) {
	conn, err := dialPlain(ctx, t.Addr)
	if err != nil || !t.TLS {
		return conn, err
	}
	return tls.Client(conn, tlsConfig()), nil
}

// dialPlain connects with package net, for connections that are not measured.
func dialPlain(ctx context.Context, addr string) (net.Conn, error) {
	network, address := splitAddr(addr)
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return conn, nil
}
