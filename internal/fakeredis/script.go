package fakeredis

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Script is what happens on one connection, in order. After its last step the
// connection stays open, and a request that comes then fails the test.
type Script []Step

// Step is one thing that a connection does. A step that returns an error fails the
// test and ends the connection. Steps run on a goroutine of the connection; many
// connections may run a step of StartEach at the same time.
type Step func(c *Conn) error

// Expect reads one request and fails the test unless it has these arguments.
func Expect(args ...string) Step {
	return func(c *Conn) error {
		got, err := c.request()
		if err != nil {
			return fmt.Errorf("waiting for %q: %w", args, err)
		}
		if !slices.Equal(got, args) {
			return fmt.Errorf("got %q, want %q", got, args)
		}
		return nil
	}
}

// AnswerEcho reads one ECHO and answers it, as a marker of package pipeline wants.
func AnswerEcho() Step {
	return func(c *Conn) error {
		got, err := c.request()
		if err != nil {
			return fmt.Errorf("waiting for ECHO: %w", err)
		}
		if len(got) != 2 || got[0] != "ECHO" {
			return fmt.Errorf("got %q, want ECHO", got)
		}
		c.Reply(Bulk(got[1]))
		return nil
	}
}

// ExpectAny reads any n requests.
func ExpectAny(n int) Step {
	return func(c *Conn) error {
		for i := range n {
			if _, err := c.request(); err != nil {
				return fmt.Errorf("waiting for request %d of %d: %w", i+1, n, err)
			}
		}
		return nil
	}
}

// Reply writes raw in one write. It may be part of a reply, or several.
func Reply(raw string) Step {
	return func(c *Conn) error {
		if _, err := io.WriteString(c.tcp, raw); err != nil {
			return fmt.Errorf("reply %.80q: %w", raw, err)
		}
		return nil
	}
}

// Garbage writes bytes that are not a reply.
func Garbage(b []byte) Step { return Reply(string(b)) }

// Split writes raw in writes of a single byte, each a packet of its own. The
// client's system may still hand it several of them in one read.
func Split(raw string) Step {
	return func(c *Conn) error {
		for i := range len(raw) {
			if _, err := io.WriteString(c.tcp, raw[i:i+1]); err != nil {
				return fmt.Errorf("byte %d of reply %.80q: %w", i, raw, err)
			}
		}
		return nil
	}
}

// Wait waits until the test closes release (or sends on it), or is over.
func Wait(release <-chan struct{}) Step {
	return func(c *Conn) error {
		select {
		case <-release:
			return nil
		case <-c.server.closing:
			return io.ErrClosedPipe
		}
	}
}

// Call calls f, so that the test knows how far the script has come or does something in
// between.
func Call(f func()) Step {
	return func(*Conn) error { f(); return nil }
}

// Close closes the connection in the orderly way. It is a script's last step.
func Close() Step {
	return func(c *Conn) error { c.Close(); return nil }
}

// Reset closes the connection with an RST. It is a script's last step.
func Reset() Step {
	return func(c *Conn) error { c.Reset(); return nil }
}

// HalfClose ends the server's sending half, and goes on reading.
func HalfClose() Step {
	return func(c *Conn) error { return c.tcp.CloseWrite() }
}

// Stall stops reading and keeps the connection open until the test ends, so that the
// client's output piles up on its side. A small receive buffer makes that happen soon.
func Stall() Step {
	return func(c *Conn) error {
		c.tcp.SetReadBuffer(4096)
		<-c.server.closing
		return nil
	}
}

// Discard reads and records requests, and answers none, until the connection is
// closed.
func Discard() Step { return Handle(func(*Conn, []string) {}) }

// Handle calls handle for every request until the connection is closed, by the
// client or by handle. It may keep args.
func Handle(handle func(c *Conn, args []string)) Step {
	return func(c *Conn) error {
		for {
			args, err := c.request()
			if err != nil {
				if c.isOver(err) {
					c.Close()
					return nil
				}
				return err
			}
			handle(c, args)
		}
	}
}

// Bulk returns s as a bulk string.
func Bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// Array returns an array of these replies.
func Array(replies ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(replies), strings.Join(replies, ""))
}
