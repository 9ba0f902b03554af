package conf

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path of a unix socket on Linux, in bytes.
const maxSocketPath = 107

var (
	errListenForm = errors.New(`want "host:port", "[ipv6]:port" or "/path" with octal permissions after a space if need be, such as "/run/ringway.sock 660"`)
	errServerForm = errors.New(`want "host:port:weight name" or "/path:weight name"; weight and name may be left out`)
)

// parseListen reads the value of `listen`: "host:port" split at the last colon, with
// or without brackets around an IPv6 address; "*:port" for all addresses of IPv4 and
// IPv6; or an absolute path, perhaps with octal permissions after a space. Port 0
// lets the system choose one.
func parseListen(s string) (Listen, error) {
	if err := refuseURL(s, "22121"); err != nil {
		return Listen{}, err
	}
	if strings.HasPrefix(s, "/") {
		return parseListenPath(s)
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.ContainsAny(s, " \t") {
		return Listen{}, errListenForm
	}
	host, err := "", error(nil)
	if s[:colon] != "*" {
		host, err = parseHost(s[:colon])
	}
	if port := s[colon+1:]; colon == 0 {
		return Listen{}, fmt.Errorf("want a host; %q listens on all addresses, %q on those of IPv4, %q on this machine only", "*:"+port, "0.0.0.0:"+port, "127.0.0.1:"+port)
	}
	if err != nil {
		return Listen{}, err
	}
	port, err := parsePort(s[colon+1:], 0)
	if err != nil {
		return Listen{}, err
	}
	return Listen{Network: "tcp", Addr: net.JoinHostPort(host, port)}, nil
}

func parseListenPath(s string) (Listen, error) {
	path, mode := s, uint64(0)
	if space := strings.LastIndexByte(s, ' '); space >= 0 {
		var err error
		mode, err = strconv.ParseUint(s[space+1:], 8, 32)
		if err != nil || mode == 0 || mode > 0o777 {
			return Listen{}, fmt.Errorf("permissions %q: want octal digits from 1 to 777, such as 660", s[space+1:])
		}
		path = s[:space]
	}
	if err := checkPath(path); err != nil {
		return Listen{}, err
	}
	return Listen{Network: "unix", Addr: path, Mode: uint32(mode)}, nil
}

func checkPath(path string) error {
	if len(path) < 2 || hasControl(path) {
		return errors.New("want an absolute path of a socket")
	}
	if len(path) > maxSocketPath {
		return fmt.Errorf("path of %d bytes: want at most %d, which is what a unix socket's address holds", len(path), maxSocketPath)
	}
	return nil
}

// parseServer reads one element of `servers` as twemproxy 0.5.0 does, from its end:
// the name follows the last space, the weight the last colon, the port the colon
// before that. The rest is the host, so an IPv6 address needs no brackets. In
// addition,
//
//   - weight and name may be left out: with just one colon, "host:port", or
//     none after an absolute path, the weight is 1;
//   - an IPv6 address may have brackets, and must have them where the weight is
//     left out: without brackets the last two numbers are always port and weight.
//
// The ring hashes names, so a server without a name gets the one that twemproxy
// derives: "host:port", the host alone if the port is 11211 (memcached's), and
// for a unix socket the path and a colon. The host in it is as it was written, but
// without brackets, which twemproxy does not know.
func parseServer(s string) (Server, error) {
	if err := refuseURL(s, "6379"); err != nil {
		return Server{}, err
	}
	addr, name, named := s, "", false
	if space := strings.LastIndexByte(s, ' '); space >= 0 {
		addr, name, named = s[:space], s[space+1:], true
	}
	if err := refuseOrder(s); err != nil {
		return Server{}, err
	}
	if addr == "" || named && name == "" || hasControl(s) || !strings.HasPrefix(addr, "/") && strings.Contains(addr, " ") {
		return Server{}, errServerForm
	}
	var (
		server  Server
		derived string
		err     error
	)
	if strings.HasPrefix(addr, "/") {
		server, derived, err = parseServerPath(addr)
	} else {
		server, derived, err = parseServerAddr(addr)
	}
	if err != nil {
		return Server{}, err
	}
	server.Name = derived
	if named {
		server.Name = name
	}
	return server, nil
}

var (
	nameAfterColon = regexp.MustCompile(`^([^\s:]+:\d+:\d+):([A-Za-z][^\s:]*)$`)
	nameFirst      = regexp.MustCompile(`^([^\s:]+)\s+([^\s:,]+:\d+(?::\d+)?)$`)
)

// refuseOrder returns an error that shows the right form, for a server whose parts are
// in the wrong order or joined in the wrong way; nil for any other.
func refuseOrder(s string) error {
	if m := nameAfterColon.FindStringSubmatch(s); m != nil {
		return fmt.Errorf("want a space before the name: %q", m[1]+" "+m[2])
	}
	if m := nameFirst.FindStringSubmatch(s); m != nil {
		return fmt.Errorf("want the name behind the address: %q", m[2]+" "+m[1])
	}
	if strings.Contains(s, ",") && !strings.HasPrefix(s, "/") {
		return errors.New(`want each server in quotes of its own, and no comma within: "host:port:weight name"`)
	}
	return nil
}

// parseServerPath reads "/path" or "/path:weight".
func parseServerPath(addr string) (s Server, derived string, err error) {
	path, weight, weighted := strings.Cut(addr, ":")
	if !weighted {
		weight = "1"
	}
	if strings.Contains(weight, ":") {
		return Server{}, "", errors.New(`want a path without a colon, then ":weight"`)
	}
	if err := checkPath(path); err != nil {
		return Server{}, "", err
	}
	s = Server{Network: "unix", Addr: path}
	s.Weight, err = parseWeight(weight)
	return s, path + ":", err
}

// parseServerAddr reads "host:port" or "host:port:weight".
func parseServerAddr(addr string) (s Server, derived string, err error) {
	host, port, weight, err := splitServerAddr(addr)
	if err != nil {
		return Server{}, "", err
	}
	written := strings.Trim(host, "[]")
	if host, err = parseHost(host); err != nil {
		if strings.Count(addr, ":") > 2 && !strings.HasPrefix(addr, "[") {
			if bare, err := netip.ParseAddrPort(bracketed(addr)); err == nil {
				return Server{}, "", fmt.Errorf("want brackets around an IPv6 address where no weight follows: %q", bare.String())
			}
		}
		return Server{}, "", err
	}
	number, err := parsePort(port, 1)
	if err != nil {
		return Server{}, "", err
	}
	s = Server{Network: "tcp", Addr: net.JoinHostPort(host, number)}
	derived = written + ":" + port
	if number == "11211" {
		derived = written
	}
	s.Weight, err = parseWeight(weight)
	return s, derived, err
}

// splitServerAddr takes an address with port and weight apart, checking only
// where the colons are.
func splitServerAddr(addr string) (host, port, weight string, err error) {
	rest, bracket := addr, strings.LastIndexByte(addr, ']')
	if strings.HasPrefix(addr, "[") {
		if bracket < 0 {
			return "", "", "", errors.New(`want "]" after the IPv6 address`)
		}
		host, rest = addr[:bracket+1], addr[bracket+1:]
		if !strings.HasPrefix(rest, ":") {
			return "", "", "", errServerForm
		}
	}
	weight = "1"
	colons := strings.Count(rest, ":")
	if colons == 0 || host != "" && colons > 2 {
		return "", "", "", errServerForm
	}
	if colons >= 2 {
		i := strings.LastIndexByte(rest, ':')
		rest, weight = rest[:i], rest[i+1:]
	}
	i := strings.LastIndexByte(rest, ':')
	return host + rest[:i], rest[i+1:], weight, nil
}

// bracketed puts brackets around the part before the last colon.
func bracketed(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	return "[" + addr[:i] + "]" + addr[i:]
}

// parseHost checks a host name, an IPv4 address, or an IPv6 address with or
// without brackets, and returns it without them. Names are not resolved.
func parseHost(host string) (string, error) {
	inner, bracket := strings.CutPrefix(host, "[")
	if bracket {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return "", errors.New(`want "]" after the IPv6 address`)
		}
	}
	if bracket || strings.Contains(inner, ":") {
		a, err := netip.ParseAddr(inner)
		if err != nil || !a.Is6() {
			return "", fmt.Errorf("host %q: want an IPv6 address such as ::1", inner)
		}
		return a.String(), nil // in canonical form, so that equal addresses are found
	}
	if inner == "" {
		return "", errors.New(`want a host before the port, such as "127.0.0.1"`)
	}
	if strings.Trim(inner, "0123456789.") == "" {
		if _, err := netip.ParseAddr(inner); err != nil {
			return "", fmt.Errorf("host %q: want an IPv4 address of four numbers up to 255", inner)
		}
	}
	for _, c := range inner {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._", c)) {
			return "", fmt.Errorf("host %q: want a host name of letters, digits, hyphens and dots, or an address", inner)
		}
	}
	return inner, nil
}

// parsePort checks a port from low to 65535 and returns it without leading
// zeros.
func parsePort(s string, low int) (string, error) {
	n, err := strconv.Atoi(s)
	if err != nil || !isDigits(s) || n < low || n > math.MaxUint16 {
		if low == 0 {
			return "", fmt.Errorf("port %q: want 1 to %d, or 0 for any that is free", s, math.MaxUint16)
		}
		return "", fmt.Errorf("port %q: want %d to %d", s, low, math.MaxUint16)
	}
	return strconv.Itoa(n), nil
}

func parseWeight(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || !isDigits(s) || n < 1 {
		return 0, fmt.Errorf("weight %q: want 1 or more", s)
	}
	return int(n), nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
