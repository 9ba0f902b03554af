package session

import (
	"bytes"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// clientInfo is what CLIENT INFO and LIST show of a client. It belongs to the session's loop,
// and moves with the session.
type clientInfo struct {
	id    uint64 // unique in the process, from 1; the answer to CLIENT ID
	addr  string // the client's, "host:port" or "unix"
	local string // the address it connected to
	since time.Time
	name  string

	certified string // the user that its certificate names; "" if none does
	lib, ver  string

	noEvict, noTouch bool // as asked for; the proxy does neither
}

// maxClientName is the most bytes in the name of a client, of its library, or of the library's
// version. They are kept for each client, and CLIENT LIST shows all of them.
const maxClientName = 1 << 10

// nameProblem returns the error for a name that is not allowed, or "". what says whose name it
// is, as the subject of the error's sentence.
func nameProblem(what string, name []byte) string {
	switch {
	case len(name) > maxClientName:
		return "ERR " + what + " cannot be longer than 1024 bytes."
	case !validName(name):
		return "ERR " + what + " cannot contain spaces, newlines or special characters."
	}
	return ""
}

// validName reports whether a name has printable ASCII characters only, and no spaces, as Redis
// demands.
func validName(name []byte) bool {
	return !bytes.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' })
}

// clientGetName runs CLIENT GETNAME.
func clientGetName(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	if s.info.name == "" {
		return s.protocol.AppendNull(dst)
	}
	return resp.AppendBulkString(dst, s.info.name)
}

// clientSetName runs CLIENT SETNAME.
func clientSetName(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if problem := nameProblem("Client names", args[2]); problem != "" {
		return resp.AppendError(dst, problem)
	}
	s.info.name = string(args[2])
	return append(dst, replyOK...)
}

// clientSetInfo runs CLIENT SETINFO.
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

// clientSwitch runs CLIENT NO-EVICT and NO-TOUCH. The setting is shown in CLIENT INFO and has
// no effect: it would have to be made on connections that clients share.
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

// clientCapabilities runs Valkey's CLIENT CAPA. The one capability that there is, to be redirected to the primary, is never
// needed here.
func clientCapabilities(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if !s.local.Valkey() {
		return resp.AppendError(dst, "ERR unknown subcommand '"+string(args[1])+"'. Try CLIENT HELP.")
	}
	return append(dst, replyOK...)
}

// clientReply runs CLIENT REPLY. The proxy drops the replies: CLIENT REPLY at a server would
// silence a connection that clients share.
func clientReply(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	s.replyModeUsed = true
	switch strings.ToLower(string(args[2])) {
	case "on":
		s.replyOff, s.muting = false, false
		return append(dst, replyOK...)
	case "off":
		s.replyOff, s.muting = true, true
		return nil
	case "skip":
		if !s.replyOff {
			s.replySkip = 2
		}
		return nil
	}
	return resp.AppendError(dst, "ERR syntax error")
}

// clientID runs CLIENT ID.
func clientID(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return resp.AppendInt(dst, int64(s.info.id))
}

// clientInfoLine runs CLIENT INFO.
func clientInfoLine(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	return s.protocol.AppendText(dst, s.describe(requestSize(args)))
}
