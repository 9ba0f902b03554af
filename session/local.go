package session

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// localHandler answers a command without asking a server: it appends the reply
// to dst. A nil result means that it has seen to the reply itself.
type localHandler func(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte

// localHandlers are the commands that the proxy answers, by command.Command.ID.
var localHandlers = handlersByID(map[string]localHandler{
	"ping": ping, "echo": echo, "quit": quit, "time": tellTime, "reset": reset, "select": selectDB,
	"auth": auth, "acl|whoami": whoAmI, "hello": hello, "info": info,

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
	if (cmd.Name == "hello" || cmd.Name == "reset" || cmd.Name == "select" || cmd.Name == "auth") && !s.replies.idle() {
		// They may change the connections to servers: what went over the old ones
		// must be done first.
		return false
	}
	if reply := localHandlers[cmd.ID](s, cmd, args, s.w.scratch[:0]); reply != nil {
		s.w.effort += effortOf(cmd, reply)
		s.reply(reply)
	}
	return true
}

// maxEffort is after how much work for replies of the proxy's own a client's further
// requests wait, so that others are served meanwhile: some hundreds of microseconds.
const maxEffort = 64

// effortOf is how much work a reply was: one for each KiB, and for a look at tables.
func effortOf(cmd *command.Command, reply []byte) (n int) {
	if strings.HasPrefix(cmd.Name, "command") || cmd.Name == "client|info" {
		n = 1
	}
	return n + len(reply)>>10
}

func ping(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	if len(args) <= 2 && s.listening() {
		dst = resp.AppendBulkString(resp.AppendArray(dst, 2), "pong")
		return resp.AppendBulkString(dst, string(bytes.Join(args[1:], nil)))
	}
	switch len(args) {
	case 1:
		return append(dst, "+PONG\r\n"...)
	case 2:
		return resp.AppendBulk(dst, args[1])
	}
	return command.AppendArity(dst, cmd)
}

func echo(_ *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	return resp.AppendBulk(dst, args[1])
}

func quit(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	s.closing = true
	s.settle()
	return append(dst, replyOK...)
}

func tellTime(_ *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	now := time.Now().UnixMicro()
	dst = resp.AppendArray(dst, 2)
	dst = resp.AppendBulkString(dst, strconv.FormatInt(now/1e6, 10))
	return resp.AppendBulkString(dst, strconv.FormatInt(now%1e6, 10))
}

func reset(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	s.info.name, s.info.noTouch = "", false
	s.muting = s.muting && !s.silent // CLIENT REPLY SKIP still concerns RESET itself
	s.silent = false
	s.db = s.local.Conf().RedisDB
	s.become(nil)
	s.speak(resp.RESP2)
	s.tx = nil
	s.unwatch()
	s.endMonitor()
	s.unsubscribeAll()
	s.untrack()
	s.silent, s.muting = false, s.skip > 0 // CLIENT REPLY OFF ends, its own reply included; SKIP has it
	s.changed()
	s.deauthenticate()
	return append(dst, "+RESET\r\n"...)
}

// tableReply answers what the table of commands knows: COMMAND, and the HELP of
// a container.
func tableReply(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	dst, ok := command.AppendTableReply(dst, cmd, args, s.protocol, s.policy.permits)
	if !ok {
		panic("bug: no handler for " + cmd.Name)
	}
	return dst
}
