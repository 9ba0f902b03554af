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

// isClientKind reports whether Redis has a client type of that name, for CLIENT LIST and KILL TYPE.
func isClientKind(name string) bool {
	return slices.Contains([]string{"normal", "pubsub", "master", "replica", "slave"}, name)
}

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
	wanted := func(*session) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) > 3 && strings.EqualFold(string(args[2]), "id"):
		ids := map[uint64]bool{}
		for _, arg := range args[3:] {
			id, ok := resp.ParseInt(arg)
			if !ok {
				return resp.AppendError(dst, "ERR Invalid client ID")
			}
			ids[uint64(id)] = true
		}
		wanted = func(peer *session) bool { return ids[peer.info.id] }
	case len(args) == 4 && strings.EqualFold(string(args[2]), "type"):
		kind := strings.ToLower(string(args[3]))
		if !isClientKind(kind) {
			return resp.AppendError(dst, "ERR Unknown client type '"+string(args[3])+"'")
		}
		wanted = func(peer *session) bool { return peer.kind() == kind }
	default:
		return resp.AppendError(dst, "ERR syntax error")
	}
	me, size := s.info.id, requestSize(args)
	s.survey(func(peers []*session) string {
		var lines strings.Builder
		for _, peer := range peers {
			switch {
			case !wanted(peer):
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

// killFilter says which clients CLIENT KILL is to close. Zero values match any client.
type killFilter struct {
	id          uint64
	addr, laddr string
	maxAge      time.Duration
	kind, user  string // "" for any
	skipMe      bool
	plain       bool // the old form, CLIENT KILL addr
}

// parseKill reads the arguments behind CLIENT KILL. problem is the error for the client, or "".
// mayExist says whether a user of that name may exist.
func parseKill(args [][]byte, mayExist func(user string) bool) (k killFilter, problem string) {
	if len(args) == 1 {
		return killFilter{addr: string(args[0]), plain: true}, ""
	}
	k.skipMe = true
	if len(args)%2 != 0 {
		return k, "ERR syntax error"
	}
	for ; len(args) > 0; args = args[2:] {
		value := string(args[1])
		switch strings.ToLower(string(args[0])) {
		case "id":
			id, ok := resp.ParseInt(args[1])
			if !ok || id <= 0 {
				return k, "ERR client-id should be greater than 0"
			}
			k.id = uint64(id)
		case "addr":
			k.addr = value
		case "laddr":
			k.laddr = value
		case "maxage":
			seconds, err := strconv.ParseInt(value, 10, 32)
			if err != nil || seconds <= 0 {
				return k, "ERR maxage is not an integer or out of range"
			}
			k.maxAge = time.Duration(seconds) * time.Second
		case "type":
			if k.kind = strings.ToLower(value); !isClientKind(k.kind) {
				return k, "ERR Unknown client type '" + value + "'"
			}
		case "user":
			if !mayExist(value) {
				return k, "ERR No such user '" + value + "'"
			}
			k.user = value
		case "skipme":
			switch strings.ToLower(value) {
			case "yes":
			case "no":
				k.skipMe = false
			default:
				return k, "ERR syntax error"
			}
		default:
			return k, "ERR syntax error"
		}
	}
	return k, ""
}

// matches reports whether the filter selects s.
func (k *killFilter) matches(s *session) bool {
	info := s.info
	return (k.kind == "" || k.kind == s.kind()) && (k.user == "" || k.user == s.userName()) && (k.id == 0 || k.id == info.id) && (k.addr == "" || k.addr == info.addr) &&
		(k.laddr == "" || k.laddr == info.local) && (k.maxAge == 0 || time.Since(info.since) >= k.maxAge)
}

// clientKill runs CLIENT KILL on all loops.
func clientKill(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	c := s.local.Conf()
	k, problem := parseKill(args[2:], func(user string) bool {
		return user == acl.Default || c.ACLUsers > 0 || c.Users.Named(user) != nil
	})
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
		case total == 0 && k.user != "" && k.user != acl.Default && c.Users.Named(k.user) == nil:
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
