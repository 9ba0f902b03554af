package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/acl"
	"ringway/command"
	"ringway/pubsub"
	"ringway/resp"
	"ringway/stats"
)

// requestSize is how many bytes the request with the given arguments has in RESP.
func requestSize(args [][]byte) int { return len(resp.AppendRequest(nil, args)) }

// kind is the session's type as in CLIENT LIST TYPE: "normal" or "pubsub".
func (s *session) kind() string {
	if s.sub != nil && s.sub.total() > 0 {
		return "pubsub"
	}
	return "normal"
}

// describe returns the session's line in CLIENT LIST, in Redis's format. requestBytes is the
// of the request under way if that is the CLIENT LIST itself, else 0.
func (s *session) describe(requestBytes int) string {
	multi, multiMem := -1, 0
	if s.tx != nil {
		multi, multiMem = s.tx.queued, s.tx.size-len(requestMulti)
	}
	var subs [pubsub.TopicKinds]int
	if s.sub != nil {
		for kind, names := range s.sub.subs {
			subs[kind] = len(names)
		}
	}
	cmd := "NULL"
	if s.lastCommand > 0 {
		cmd = command.ByID(int(s.lastCommand) - 1).Name
	}
	waiting := s.waiting()
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d "+
		"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=%d rbs=0 rbp=0 obl=0 oll=0 omem=%d tot-mem=%d events=r cmd=%s user=%s redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
		s.info.id, s.info.addr, s.info.local, s.conn.FD(), s.info.name, int(time.Since(s.info.since).Seconds()),
		int(time.Duration(s.w.loop.Now()-s.lastActive).Seconds()), s.flags(), s.conns.DB(),
		subs[pubsub.Channel], subs[pubsub.Pattern], subs[pubsub.ShardChannel], multi,
		requestBytes+s.conn.Unread(), multiMem, waiting, requestBytes+s.conn.Unread()+multiMem+waiting, cmd, s.userName(), s.protocol.Version(), s.info.lib, s.info.ver)
}

// flags returns the letters that stand for the session's state in CLIENT LIST.
func (s *session) flags() (letters string) {
	for _, f := range []struct {
		letter string
		on     bool
	}{
		{"O", s.monitor != nil}, {"P", s.kind() == "pubsub"}, {"x", s.tx != nil}, {"b", s.isBlocked()},
		{"t", s.tracking != nil}, {"R", s.tracking != nil && s.tracking.redirect != nil && s.tracking.redirect.targetGone}, {"B", s.tracking != nil && s.tracking.bcast},
		{"c", s.closing},
		{"U", strings.HasPrefix(s.info.addr, "/")}, {"e", s.info.noEvict}, {"T", s.info.noTouch},
	} {
		if f.on {
			letters += f.letter
		}
	}
	if letters == "" {
		return "N"
	}
	return letters
}

// isBlocked reports whether the session waits for the reply to a request that may block.
func (s *session) isBlocked() bool {
	return s.blockedSince != 0 && s.window == 0 && (s.dedicated != nil || s.shardsWait != nil)
}

// survey calls each on every worker's loop, with the sessions there that s may see, some at a
// time. It answers s's current request with what reply makes of all results, which are in no
// particular order. The session's window is closed meanwhile.
func (s *session) survey(each func(peers []*session) string, reply func(results []string) []byte) {
	number, viewer := s.push(), s.viewer()
	s.closeWindow()
	gatherLoops(s.shared, func(peer *shared, report func([]string)) {
		peer.w.survey(viewer.visible(peer.sessions()), each, report)
	}, func(results [][]string) {
		s.answerAndResume(number, reply(slices.Concat(results...)))
	})
}

// survey calls each with the given sessions of the worker, some at a time, as a task. It leaves
// out those that have been closed meanwhile. At the end it calls done with the results.
func (w *Worker) survey(peers []*session, each func(peers []*session) string, done func(results []string)) {
	var results []string
	w.inPortions(func() bool {
		n := min(portion, len(peers))
		some := slices.DeleteFunc(peers[:n:n], func(peer *session) bool { return !peer.conn.Open() })
		results = append(results, each(some))
		if peers = peers[n:]; len(peers) > 0 {
			return false
		}
		done(results)
		return true
	})
}

// clientList runs CLIENT LIST.
func clientList(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	filter, problem := s.parseListFilter(args[2:])
	if problem != "" {
		return resp.AppendError(dst, problem)
	}
	me, size := s.info.id, requestSize(args)
	s.survey(func(peers []*session) string {
		var lines strings.Builder
		for _, peer := range peers {
			switch {
			case !filter.matches(peer) || filter.skipMe && peer.info.id == me:
			case peer.info.id == me:
				lines.WriteString(peer.describe(size))
			default:
				lines.WriteString(peer.describe(0))
			}
		}
		return lines.String()
	}, func(results []string) []byte {
		return s.protocol.AppendText(nil, strings.Join(results, ""))
	})
	return nil
}

// clientKill runs CLIENT KILL on all loops.
func clientKill(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	k, problem := s.parseKillFilter(args[2:])
	if problem != "" {
		return resp.AppendError(dst, problem)
	}
	me := s.info.id
	s.survey(func(peers []*session) string {
		killed := 0
		for _, peer := range peers {
			if !k.matches(peer) || k.skipMe && peer.info.id == me {
				continue
			}
			killed++
			if peer.info.id == me {
				peer.closing, peer.closeReason = true, stats.ClosedKilled // once it has its reply
				peer.deferRun()
				continue
			}
			peer.closeFor(stats.ClosedKilled)
		}
		return strconv.Itoa(killed)
	}, func(results []string) []byte {
		total := 0
		for _, r := range results {
			n, _ := strconv.Atoi(r)
			total += n
		}
		switch {
		case total == 0 && k.user != "" && k.user != acl.Default && s.local.Conf().Users.Named(k.user) == nil:
			return resp.AppendError(nil, "ERR No such user '"+k.user+"'") // or one without clients here
		case !k.plain:
			return resp.AppendInt(nil, int64(total))
		case total == 0:
			return resp.AppendError(nil, "ERR No such client")
		}
		return replyOK
	})
	return nil
}
