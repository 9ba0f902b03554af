package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/tidwall/redcon"
)

// nullServer answers the harness's requests without storing anything: it computes a value
// from its key. Behind a proxy it shows the proxy's own cost; alone it shows what the
// generator can do.
type nullServer struct {
	listener net.Listener
}

// listenNull opens a null server on addr. The caller runs serve.
func listenNull(addr string) (*nullServer, error) {
	network, address := splitAddr(addr)
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("null server: %w", err)
	}
	return &nullServer{listener: l}, nil
}

// addr returns the address the server listens on.
func (s *nullServer) addr() string { return s.listener.Addr().String() }

// serve answers until close is called.
func (s *nullServer) serve() error {
	err := redcon.Serve(s.listener, answerNull, nil, nil)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// answerNull writes the reply to one request.
func answerNull(conn redcon.Conn, cmd redcon.Command) {
	name, args := strings.ToLower(string(cmd.Args[0])), cmd.Args[1:]
	switch {
	case name == "get" && len(args) == 1:
		conn.WriteRaw(appendNullValue(nil, args[0]))
	case name == "mget" && len(args) > 0:
		conn.WriteArray(len(args))
		for _, key := range args {
			conn.WriteRaw(appendNullValue(nil, key))
		}
	case name == "set" && len(args) >= 2, name == "mset" && len(args) >= 2 && len(args)%2 == 0, name == "flushall":
		conn.WriteString("OK")
	case name == "ping" && len(args) == 0:
		conn.WriteString("PONG")
	case name == "ping", name == "echo" && len(args) == 1:
		conn.WriteBulk(args[0])
	case name == "dbsize":
		conn.WriteInt(0)
	default:
		conn.WriteError("ERR unknown command '" + name + "', this is a null server")
	}
}

// appendNullValue appends the value of key as a bulk string, or a null if the key is not
// the harness's.
func appendNullValue(b, key []byte) []byte {
	k, size, ok := parseKey(key)
	if !ok {
		return append(b, "$-1\r\n"...)
	}
	b = appendBulkHeader(b, size)
	b = appendValue(b, k, size)
	return append(b, crlf...)
}

// serveNull is the subcommand that runs a null server in a process of its own.
func serveNull(args []string, stdout, stderr io.Writer) int {
	addr := "127.0.0.1:0"
	if len(args) == 2 && args[0] == "--listen" {
		addr = args[1]
	} else if len(args) != 0 {
		fmt.Fprintln(stderr, "usage: bench null-server [--listen HOST:PORT]")
		return exitUsage
	}
	s, err := listenNull(addr)
	if err == nil {
		fmt.Fprintln(stdout, s.addr())
		err = s.serve()
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailure
	}
	return exitOK
}
