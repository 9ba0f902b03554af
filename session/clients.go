package session

import (
	"bytes"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// clientInfo is what CLIENT INFO tells of a session. It belongs to the
// session's loop.
type clientInfo struct {
	id       uint64 // unique in the process, from 1
	addr     string // the client's, "host:port" or "unix"
	local    string // the address it connected to
	since    time.Time
	name     string
	lib, ver string

	noEvict, noTouch bool // as asked for; the proxy does neither
}

// maxClientName is how long a client's name may be, and those of its library and
// that one's version: each client's are kept, and CLIENT LIST shows them all.
const maxClientName = 1 << 10

// nameProblem returns what is wrong with the name of something, "" if it may be given.
func nameProblem(what string, name []byte) string {
	switch {
	case len(name) > maxClientName:
		return "ERR " + what + " cannot be longer than 1024 bytes."
	case !validName(name):
		return "ERR " + what + " cannot contain spaces, newlines or special characters."
	}
	return ""
}

func validName(name []byte) bool {
	return !bytes.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' })
}

func clientGetName(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	if s.info.name == "" {
		return s.protocol.AppendNull(dst)
	}
	return resp.AppendBulkString(dst, s.info.name)
}

func clientSetName(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if problem := nameProblem("Client names", args[2]); problem != "" {
		return resp.AppendError(dst, problem)
	}
	s.info.name = string(args[2])
	return append(dst, replyOK...)
}

func clientSetInfo(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	option := strings.ToLower(string(args[2]))
	field := map[string]*string{"lib-name": &s.info.lib, "lib-ver": &s.info.ver}[option]
	if field == nil {
		return resp.AppendError(dst, "ERR Unrecognized option '"+string(args[2])+"'")
	}
	if problem := nameProblem(option, args[3]); problem != "" {
		return resp.AppendError(dst, problem)
	}
	*field = string(args[3])
	return append(dst, replyOK...)
}

// clientSwitch takes ON and OFF of what has no meaning for a proxy's client:
// whether the server may evict it, and whether its reads count as use of a key.
func clientSwitch(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	v := strings.ToLower(string(args[2]))
	if v != "on" && v != "off" {
		return resp.AppendError(dst, "ERR syntax error")
	}
	if cmd.Name == "client|no-evict" {
		s.info.noEvict = v == "on"
	} else {
		s.info.noTouch = v == "on"
	}
	return append(dst, replyOK...)
}

// clientReply runs CLIENT REPLY. The replies are dropped here: servers give them
// on connections that others share.
func clientReply(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	s.mutes = true
	switch strings.ToLower(string(args[2])) {
	case "on":
		s.silent, s.muting = false, false
		return append(dst, replyOK...)
	case "off":
		s.silent, s.muting = true, true
		return nil
	case "skip":
		if !s.silent {
			s.skip = 2
		}
		return nil
	}
	return resp.AppendError(dst, "ERR syntax error")
}

func clientID(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return resp.AppendInt(dst, int64(s.info.id))
}

func clientInfoLine(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	return s.protocol.AppendText(dst, s.describe(requestSize(args)))
}
