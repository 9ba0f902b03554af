package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"ringway/command"
	"ringway/resp"
)

// localHandler answers a command without asking a server: it appends the reply
// to dst. A nil result means that it has seen to the reply itself.
type localHandler func(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte

// localHandlers are the commands that the proxy answers, by command.Command.ID.
var localHandlers = handlersByID(map[string]localHandler{
	"ping": ping, "echo": echo, "quit": quit, "time": tellTime, "reset": reset, "select": selectDB,
	"auth": auth, "hello": hello, "info": info,

	"client|getname": clientGetName, "client|setname": clientSetName, "client|setinfo": clientSetInfo,
	"client|id": clientID, "client|info": clientInfoLine, "client|list": clientList, "client|kill": clientKill,
	"client|no-evict": clientSwitch, "client|no-touch": clientSwitch,
	"client|tracking": clientTracking, "client|caching": clientCaching,
	"client|getredir": clientGetRedir, "client|trackinginfo": clientTrackingInfo,
	"client|reply": clientReply, "client|unblock": clientUnblock,
	"monitor": monitor,
})

func handlersByID(byName map[string]localHandler) []localHandler {
	handlers := make([]localHandler, command.Count())
	for name, h := range byName {
		handlers[command.ByName(name).ID] = h
	}
	for id := range handlers {
		if cmd := command.ByID(id); handlers[id] == nil && cmd.Route == command.Local {
			handlers[id] = tableReply
		}
	}
	return handlers
}

// answer runs a command that the proxy answers. Like handle, it reports false if
// the request must wait.
func (s *session) answer(cmd *command.Command, args [][]byte) bool {
	if (cmd.Name == "hello" || cmd.Name == "reset" || cmd.Name == "select") && s.head != s.tail {
		// They may change the connections to servers: what went over the old ones
		// must be done first.
		return false
	}
	if reply := localHandlers[cmd.ID](s, cmd, args, s.w.scratch[:0]); reply != nil {
		s.reply(reply)
	}
	return true
}

func appendErr(dst []byte, text string) []byte { return resp.AppendError(dst, text) }

func ping(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	if len(args) <= 2 && s.listening() {
		dst = redcon.AppendBulkString(redcon.AppendArray(dst, 2), "pong")
		return redcon.AppendBulkString(dst, string(bytes.Join(args[1:], nil)))
	}
	switch len(args) {
	case 1:
		return append(dst, "+PONG\r\n"...)
	case 2:
		return redcon.AppendBulk(dst, args[1])
	}
	return command.AppendArity(dst, cmd)
}

func echo(_ *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	return redcon.AppendBulk(dst, args[1])
}

func quit(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	s.closing = true
	s.settle()
	return append(dst, replyOK...)
}

func tellTime(_ *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	now := time.Now().UnixMicro()
	dst = redcon.AppendArray(dst, 2)
	dst = redcon.AppendBulkString(dst, strconv.FormatInt(now/1e6, 10))
	return redcon.AppendBulkString(dst, strconv.FormatInt(now%1e6, 10))
}

func reset(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	s.info.name = ""
	s.db = s.local.Conf().RedisDB
	s.speak(resp.RESP2)
	s.tx = nil
	s.unwatch()
	s.endMonitor()
	s.unsubscribeAll()
	s.untrack()
	s.changed()
	s.deauthenticate()
	return append(dst, "+RESET\r\n"...)
}

// tableReply answers what the table of commands knows: COMMAND, and the HELP of
// a container.
func tableReply(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	dst, ok := command.AppendTableReply(dst, cmd, args, s.protocol == resp.RESP3, s.policy.permits)
	if !ok {
		panic("bug: no handler for " + cmd.Name)
	}
	return dst
}

const wrongPass = "WRONGPASS invalid username-password pair or user is disabled."

// auth takes the pool's password, alone or with the user "default", as a Redis
// with requirepass does.
func auth(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	switch {
	case len(args) > 3:
		return appendErr(dst, "ERR syntax error")
	case len(args) == 2 && s.local.Conf().RedisAuth == "":
		return appendErr(dst, "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	}
	user := []byte("default")
	if len(args) == 3 {
		user = args[1]
	}
	if !s.authenticate(user, args[len(args)-1]) {
		return appendErr(dst, wrongPass)
	}
	return append(dst, replyOK...)
}

// authenticate reports whether the credentials are right. A wrong attempt does
// not undo an earlier right one, as in Redis.
func (s *session) authenticate(user, password []byte) bool {
	if string(user) != "default" {
		return false
	}
	want := s.local.Conf().RedisAuth
	// Digests have one length, so that the time tells nothing.
	a, b := sha256.Sum256(password), sha256.Sum256([]byte(want))
	if want != "" && subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return false
	}
	s.wantAuth, s.limits = false, &s.w.limits
	return true
}

func (s *session) deauthenticate() {
	if s.local.Conf().RedisAuth != "" {
		s.wantAuth, s.limits = true, &resp.UnauthenticatedLimits
	}
}

const helloNoAuth = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> " +
	"option can be used to authenticate the client and select the RESP protocol version at the same time"

func hello(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	protocol := s.protocol
	if len(args) > 1 {
		v, ok := resp.ParseInt(args[1])
		switch {
		case !ok:
			return appendErr(dst, "ERR Protocol version is not an integer or out of range")
		case v != int64(resp.RESP2.Version()) && v != int64(resp.RESP3.Version()):
			return appendErr(dst, "NOPROTO unsupported protocol version")
		}
		protocol = resp.Protocol(int(v) - resp.RESP2.Version())
	}
	var user, password, name []byte
	for i := 2; i < len(args); i++ {
		switch left := len(args) - 1 - i; {
		case strings.EqualFold(string(args[i]), "auth") && left >= 2:
			user, password = args[i+1], args[i+2]
			i += 2
		case strings.EqualFold(string(args[i]), "setname") && left >= 1:
			if name = args[i+1]; !validName(name) {
				return appendErr(dst, badClientName)
			}
			i++
		default:
			return appendErr(dst, "ERR Syntax error in HELLO option '"+string(args[i])+"'")
		}
	}
	if user != nil && !s.authenticate(user, password) {
		return appendErr(dst, wrongPass)
	}
	if s.wantAuth {
		return appendErr(dst, helloNoAuth)
	}
	if name != nil {
		s.info.name = string(name)
	}
	s.speak(protocol)
	s.changed()
	dst = s.appendMap(dst, 7)
	for _, pair := range [][2]string{{"server", "redis"}, {"version", s.local.Version()}} {
		dst = redcon.AppendBulkString(redcon.AppendBulkString(dst, pair[0]), pair[1])
	}
	dst = redcon.AppendInt(redcon.AppendBulkString(dst, "proto"), int64(protocol.Version()))
	dst = redcon.AppendInt(redcon.AppendBulkString(dst, "id"), int64(s.info.id))
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		dst = redcon.AppendBulkString(redcon.AppendBulkString(dst, pair[0]), pair[1])
	}
	return redcon.AppendArray(redcon.AppendBulkString(dst, "modules"), 0)
}
