package command

import (
	"strings"

	"ringway/resp"
)

// A ReplyError is the text of an error reply, without the leading "-" and the trailing CRLF:
// "ERR syntax error". It can be sent to a client as it is.
type ReplyError string

// Error returns the text.
func (e ReplyError) Error() string { return string(e) }

// AppendError appends the error reply to dst.
func (e ReplyError) AppendError(dst []byte) []byte { return resp.AppendError(dst, string(e)) }

// The errors that Keys returns, as variables so that returning one costs no
// allocation. The texts are those of Redis, of 7.0.15 where versions differ.
var (
	errSyntax        error = ReplyError("ERR syntax error")
	errNotInteger    error = ReplyError("ERR value is not an integer or out of range")
	errTimeout       error = ReplyError("ERR timeout is not an integer or out of range")
	errKeysNegative  error = ReplyError("ERR Number of keys can't be negative")
	errKeysTooMany   error = ReplyError("ERR Number of keys can't be greater than number of args")
	errKeysPositive  error = ReplyError("ERR numkeys should be greater than 0")
	errKeysBadNumber error = ReplyError("ERR Bad number of keys provided")
	errUnbalanced    error = ReplyError("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
	errGroupMissing  error = ReplyError("ERR Missing GROUP option for XREADGROUP")
	errGroupNotRead  error = ReplyError("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
	errNoackNotRead  error = ReplyError("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
	errMigrateKeys   error = ReplyError("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string")
)

// arityError returns the error of a request that AppendArity answers.
func (c *Command) arityError() error {
	return ReplyError("ERR wrong number of arguments for '" + c.Name + "' command")
}

// maxRepeated is how many bytes of the client's own request an error repeats.
const maxRepeated = 128

// AppendUnknown appends the error reply to a request whose command is unknown:
//
//	-ERR unknown command 'FOO', with args beginning with: 'bar'
//
// It repeats the first 128 bytes of the name and of the quoted arguments, each
// up to its first NUL, with CR and LF turned into spaces, as Redis does.
func AppendUnknown(dst []byte, args [][]byte) []byte {
	dst = append(dst, "-ERR unknown command '"...)
	if len(args) > 0 {
		dst = appendRepeated(dst, args[0], maxRepeated)
		args = args[1:]
	}
	dst = append(dst, "', with args beginning with: "...)
	start := len(dst)
	for _, arg := range args {
		room := maxRepeated - (len(dst) - start)
		if room <= 0 {
			break
		}
		dst = append(dst, '\'')
		dst = appendRepeated(dst, arg, room)
		dst = append(dst, "' "...)
	}
	return append(dst, "\r\n"...)
}

// AppendUnknownSubcommand appends the error reply to a request whose container
// has no such subcommand:
//
//	-ERR unknown subcommand 'foo'. Try OBJECT HELP.
//
// With fewer than two arguments it answers as AppendUnknown does.
func AppendUnknownSubcommand(dst []byte, args [][]byte) []byte {
	if len(args) < 2 {
		return AppendUnknown(dst, args)
	}
	dst = append(dst, "-ERR unknown subcommand '"...)
	dst = appendRepeated(dst, args[1], maxRepeated)
	dst = append(dst, "'. Try "...)
	for _, b := range args[0] {
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return append(dst, " HELP.\r\n"...)
}

// AppendArity appends the error reply to a request of c with too few or too
// many arguments:
//
//	-ERR wrong number of arguments for 'get' command
//
// EXEC alone is answered with -EXECABORT, in a transaction or not.
func AppendArity(dst []byte, c *Command) []byte {
	if c.Name == "exec" {
		dst = append(dst, "-EXECABORT Transaction discarded because of: wrong number of arguments for '"...)
	} else {
		dst = append(dst, "-ERR wrong number of arguments for '"...)
	}
	dst = append(dst, c.Name...)
	return append(dst, "' command\r\n"...)
}

// AppendGuarded appends the error reply to a request of c, which is Guarded, in a
// pool that does not allow it:
//
//	-ERR command 'keys' is not allowed by this proxy: it goes through all keys of all shards at once; the pool's allow_commands allows it
func AppendGuarded(dst []byte, c *Command) []byte {
	dst = appendNotAllowed(dst, c)
	dst = append(dst, c.Reason...)
	return append(dst, "; the pool's allow_commands allows it\r\n"...)
}

// AppendForbidden appends the error reply to a request of c in a pool that
// refuses it by its configuration:
//
//	-ERR command 'get' is not allowed by this proxy: the pool's deny_commands refuses it
func AppendForbidden(dst []byte, c *Command) []byte {
	return append(appendNotAllowed(dst, c), "the pool's deny_commands refuses it\r\n"...)
}

func appendNotAllowed(dst []byte, c *Command) []byte {
	dst = append(dst, "-ERR command '"...)
	dst = append(dst, c.Name...)
	return append(dst, "' is not allowed by this proxy: "...)
}

// AppendDenied appends the error reply to a request of c, whose route is NotYet
// or Refused. A command that is not supported yet is answered like an unknown one,
// which every client understands; a refused one gets an error that says so:
//
//	-ERR command 'shutdown' is not allowed by this proxy: it administers a server that others share
//
// The commands of Redis Cluster get the error of a server that is not part of one.
func AppendDenied(dst []byte, c *Command, args [][]byte) []byte {
	switch {
	case c.Route == NotYet && strings.Contains(c.Name, "|"):
		return AppendUnknownSubcommand(dst, args)
	case c.Route == NotYet:
		return AppendUnknown(dst, args)
	case c.Group == "cluster":
		return append(dst, "-ERR This instance has cluster support disabled\r\n"...)
	}
	dst = appendNotAllowed(dst, c)
	dst = append(dst, c.Reason...)
	return append(dst, "\r\n"...)
}

// appendShown appends at most room bytes of b, up to a NUL, on one line.
func appendRepeated(dst, b []byte, room int) []byte {
	if len(b) > room {
		b = b[:room]
	}
	for _, c := range b {
		switch c {
		case 0:
			return dst
		case '\r', '\n':
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}
