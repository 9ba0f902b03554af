package session

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
	"ringway/stats"
)

// localHandler runs a command that the proxy answers itself. It appends the reply to dst and
// returns that; nil means that there is no reply, or that the handler answers later.
type localHandler func(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte

// localHandlers are the handlers of the commands that the proxy answers, by command.Command.ID;
// nil for other commands.
var localHandlers = handlersByID(map[string]localHandler{
	"ping": ping, "echo": echo, "quit": quit, "time": timeOfDay, "reset": reset, "select": selectDB,
	"auth": auth, "acl|whoami": whoAmI, "hello": hello, "info": info,

	"client|getname": clientGetName, "client|setname": clientSetName, "client|setinfo": clientSetInfo,
	"client|id": clientID, "client|info": clientInfoLine, "client|list": clientList, "client|kill": clientKill,
	"client|no-evict": clientSwitch, "client|no-touch": clientSwitch,
	"client|tracking": clientTracking, "client|caching": clientCaching,
	"client|getredir": clientGetRedir, "client|trackinginfo": clientTrackingInfo,
	"client|maint_notifications": clientMaintNotifications,
	"client|capa":                clientCapabilities, "client|reply": clientReply, "client|unblock": clientUnblock,
	"hotkeys|start": hotKeysStart, "hotkeys|stop": hotKeysStop, "hotkeys|get": hotKeysGet, "hotkeys|reset": hotKeysReset,
	"monitor": monitor,
})

// handlersByID makes the table. Local commands without an entry get tableReply.
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
	if (cmd.Name == "hello" || cmd.Name == "reset" || cmd.Name == "select" || cmd.Name == "auth") && !s.isAlone() {
		// They may change the session's connections to servers. Requests sent over the
		// former ones must be answered first, to keep the order.
		return false
	}
	if (cmd.Name == "auth" || cmd.Name == "hello" && len(args) > 2) && s.holdsLogin() {
		return false
	}
	if reply := localHandlers[cmd.ID](s, cmd, args, s.w.scratch[:0]); reply != nil {
		s.w.effort += effortOf(cmd, reply)
		s.reply(reply)
	}
	return true
}

// maxEffort is how much work for replies of the proxy's own one client may cause in a turn: some
// hundreds of microseconds. Its further requests then wait for the next turn, so that other
// clients are served.
const maxEffort = 64

// effortOf estimates the work that a reply was: one for each KiB, and one for a look at tables.
func effortOf(cmd *command.Command, reply []byte) (n int) {
	if strings.HasPrefix(cmd.Name, "command") || cmd.Name == "client|info" {
		n = 1
	}
	return n + len(reply)>>10
}

// ping runs PING. Subscribed clients of RESP2 get a reply in the form of a message.
func ping(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	if len(args) <= 2 && s.inSubscriberMode() {
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

// quit runs QUIT: the client is closed when everything before is answered.
func quit(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	s.closing, s.closeReason = true, stats.ClosedQuit
	s.deferRun()
	return append(dst, replyOK...)
}

// timeOfDay runs TIME, with the proxy's clock.
func timeOfDay(_ *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	now := time.Now().UnixMicro()
	dst = resp.AppendArray(dst, 2)
	dst = resp.AppendBulkString(dst, strconv.FormatInt(now/1e6, 10))
	return resp.AppendBulkString(dst, strconv.FormatInt(now%1e6, 10))
}

// reset runs RESET: all state of the client ends, as if it had just connected.
func reset(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	s.info.name, s.info.noTouch, s.notices, s.toldFailover = "", false, false, false
	s.muting = s.muting && !s.replyOff // CLIENT REPLY SKIP still applies to RESET itself
	s.replyOff = false
	s.db = s.local.Conf().RedisDB
	s.setUser(s.defaultUser())
	s.speak(resp.RESP2)
	s.tx = nil
	s.unwatch()
	s.endMonitor()
	s.unsubscribeAll()
	s.untrack()
	s.replyOff, s.muting = false, s.replySkip > 0 // CLIENT REPLY OFF ends, its own reply included; SKIP has it
	s.updatePolicy()
	s.requireAuth()
	return append(dst, "+RESET\r\n"...)
}

// tableReply runs what the table of commands answers: COMMAND, and HELP of a command with
// subcommands.
func tableReply(s *session, cmd *command.Command, args [][]byte, dst []byte) []byte {
	dst, ok := command.AppendTableReply(dst, cmd, args, s.protocol, s.poolPolicy.permits)
	if !ok {
		panic("bug: no handler for " + cmd.Name)
	}
	return dst
}
