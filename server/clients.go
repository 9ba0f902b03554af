package server

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

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
}

const badClientName = "ERR Client names cannot contain spaces, newlines or special characters."

func validName(name []byte) bool {
	return !bytes.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' })
}

func clientGetName(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	if s.info.name == "" {
		return s.appendNull(dst)
	}
	return redcon.AppendBulkString(dst, s.info.name)
}

func clientSetName(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if !validName(args[2]) {
		return appendErr(dst, badClientName)
	}
	s.info.name = string(args[2])
	return append(dst, replyOK...)
}

func clientSetInfo(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	option := strings.ToLower(string(args[2]))
	field := map[string]*string{"lib-name": &s.info.lib, "lib-ver": &s.info.ver}[option]
	switch {
	case field == nil:
		return appendErr(dst, "ERR Unrecognized option '"+string(args[2])+"'")
	case !validName(args[3]):
		return appendErr(dst, "ERR "+option+" cannot contain spaces, newlines or special characters.")
	}
	*field = string(args[3])
	return append(dst, replyOK...)
}

// clientSwitch takes ON and OFF of what has no meaning for a proxy's client:
// whether the server may evict it, and whether its reads count as use of a key.
func clientSwitch(_ *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	if v := strings.ToLower(string(args[2])); v != "on" && v != "off" {
		return appendErr(dst, "ERR syntax error")
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
	return appendErr(dst, "ERR syntax error")
}

func clientID(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return redcon.AppendInt(dst, int64(s.info.id))
}

func clientInfoLine(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return s.appendText(dst, s.describe())
}

// describe is the session's line in CLIENT LIST, in Redis's format.
func (s *session) describe() string {
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=N db=%d sub=0 psub=0 ssub=0 multi=-1 "+
		"qbuf=%d qbuf-free=0 obl=0 oll=0 omem=%d tot-mem=%d events=r cmd=NULL user=default redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
		s.info.id, s.info.addr, s.info.local, s.conn.FD(), s.info.name, int(time.Since(s.info.since).Seconds()),
		int(time.Duration(s.w.loop.Now()-s.lastActive).Seconds()), s.local.Conf().RedisDB,
		s.conn.Unread(), s.conn.Waiting(), s.conn.Unread()+s.conn.Waiting()+s.earlyLive+s.far, s.protocol.Version(), s.info.lib, s.info.ver)
}

// gather calls each on every worker's loop, with its sessions of s's pool, and
// answers s's current request with what reply makes of the results.
func (s *session) gather(each func(peers []*session) string, reply func(results []string) []byte) {
	number := s.push()
	workers := s.w.server.workers
	results := make([]string, 0, len(workers))
	home, name := s.w, s.local.Conf().Name
	for _, w := range workers {
		w.loop.Post(func() {
			result := each(w.sessionsOf(name))
			home.loop.Post(func() {
				if results = append(results, result); len(results) == len(workers) {
					s.finish(number, reply(results))
				}
			})
		})
	}
}

func clientList(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	wanted := func(uint64) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) > 3 && strings.EqualFold(string(args[2]), "id"):
		ids := map[uint64]bool{}
		for _, arg := range args[3:] {
			id, ok := resp.ParseInt(arg)
			if !ok {
				return appendErr(dst, "ERR Invalid client ID")
			}
			ids[uint64(id)] = true
		}
		wanted = func(id uint64) bool { return ids[id] }
	case len(args) == 4 && strings.EqualFold(string(args[2]), "type"):
		switch strings.ToLower(string(args[3])) {
		case "normal":
		case "master", "replica", "slave", "pubsub":
			wanted = func(uint64) bool { return false }
		default:
			return appendErr(dst, "ERR Unknown client type '"+string(args[3])+"'")
		}
	default:
		return appendErr(dst, "ERR syntax error")
	}
	s.gather(func(peers []*session) string {
		var lines strings.Builder
		for _, peer := range peers {
			if wanted(peer.info.id) {
				lines.WriteString(peer.describe())
			}
		}
		return lines.String()
	}, func(results []string) []byte {
		return s.appendText(nil, strings.Join(results, ""))
	})
	return nil
}

// killFilter is what CLIENT KILL tells of its victims.
type killFilter struct {
	id          uint64
	addr, laddr string
	maxAge      time.Duration
	none        bool // a filter that no client of the proxy passes
	skipMe      bool
	plain       bool // the old form, CLIENT KILL addr
}

func parseKill(args [][]byte) (k killFilter, problem string) {
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
			switch strings.ToLower(value) {
			case "normal":
			case "master", "replica", "slave", "pubsub":
				k.none = true
			default:
				return k, "ERR Unknown client type '" + value + "'"
			}
		case "user":
			if value != "default" {
				return k, "ERR No such user '" + value + "'"
			}
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

func (k *killFilter) matches(info *clientInfo) bool {
	return !k.none && (k.id == 0 || k.id == info.id) && (k.addr == "" || k.addr == info.addr) &&
		(k.laddr == "" || k.laddr == info.local) && (k.maxAge == 0 || time.Since(info.since) >= k.maxAge)
}

func clientKill(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	k, problem := parseKill(args[2:])
	if problem != "" {
		return appendErr(dst, problem)
	}
	me := s.info.id
	s.gather(func(peers []*session) string {
		killed := 0
		for _, peer := range peers {
			if !k.matches(peer.info) || k.skipMe && peer.info.id == me {
				continue
			}
			killed++
			if peer.info.id == me {
				peer.closing = true // once it has its reply
				peer.settle()
				continue
			}
			peer.close()
		}
		return strconv.Itoa(killed)
	}, func(results []string) []byte {
		total := 0
		for _, r := range results {
			n, _ := strconv.Atoi(r)
			total += n
		}
		switch {
		case !k.plain:
			return redcon.AppendInt(nil, int64(total))
		case total == 0:
			return appendErr(nil, "ERR No such client")
		}
		return replyOK
	})
	return nil
}
