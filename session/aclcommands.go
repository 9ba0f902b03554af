package session

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/acl"
	"ringway/command"
	"ringway/resp"
)

// In a pool with users the proxy answers ACL itself, since the users are its own. In other pools ACL goes to the servers.

func init() {
	for name, h := range map[string]localHandler{
		"acl|cat": aclCat, "acl|getuser": aclGetUser, "acl|list": aclList, "acl|users": aclUsers, "acl|dryrun": aclDryRun,
		"acl|genpass": aclGenPass, "acl|log": aclLog, "acl|setuser": aclFixed, "acl|deluser": aclFixed, "acl|load": aclFixed, "acl|save": aclFixed,
	} {
		localHandlers[command.ByName(name).ID] = h
	}
}

// isAboutUsers reports whether a command is a subcommand of ACL.
func isAboutUsers(cmd *command.Command) bool { return strings.HasPrefix(cmd.Name, "acl|") }

// answersAboutUsers reports whether the proxy answers a command about users that otherwise goes to servers.
func (s *session) answersAboutUsers(cmd *command.Command) bool {
	return s.local.Conf().Users != nil && isAboutUsers(cmd)
}

// appendACLSyntax appends Redis's error for a subcommand of ACL with too many arguments.
func appendACLSyntax(dst []byte, args [][]byte) []byte {
	name := string(args[1][:min(len(args[1]), 128)])
	return resp.AppendError(dst, "ERR unknown subcommand or wrong number of arguments for '"+name+"'. Try "+strings.ToUpper(string(args[0]))+" HELP.")
}

// aclCat runs ACL CAT.
func aclCat(_ *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	switch {
	case len(args) > 3:
		return appendACLSyntax(dst, args)
	case len(args) == 2:
		return appendBulks(dst, command.Categories())
	}
	category := strings.ToLower(string(args[2]))
	if !slices.Contains(command.Categories(), category) {
		return resp.AppendError(dst, "ERR Unknown category '"+string(args[2][:min(len(args[2]), 128)])+"'")
	}
	var found []string
	for id := range command.Count() {
		if c := command.ByID(id); c.InCategory(category) {
			found = append(found, c.Name)
		}
	}
	return appendBulks(dst, found)
}

func appendBulks(dst []byte, texts []string) []byte {
	dst = resp.AppendArray(dst, len(texts))
	for _, text := range texts {
		dst = resp.AppendBulkString(dst, text)
	}
	return dst
}

// aclList runs ACL LIST.
func aclList(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	var lines []string
	for _, u := range s.local.Conf().Users.All() {
		lines = append(lines, u.String())
	}
	return appendBulks(dst, lines)
}

// aclUsers runs ACL USERS.
func aclUsers(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	var names []string
	for _, u := range s.local.Conf().Users.All() {
		names = append(names, u.Name)
	}
	return appendBulks(dst, names)
}

// aclGetUser runs ACL GETUSER.
func aclGetUser(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	u := s.local.Conf().Users.Named(string(args[2]))
	if u == nil {
		return s.protocol.AppendNull(dst)
	}
	flags, selectors := u.Flags(), u.Selectors()
	dst = resp.AppendBulkString(s.protocol.AppendMap(dst, 6), "flags")
	dst = s.protocol.AppendSet(dst, len(flags))
	for _, flag := range flags {
		dst = resp.AppendBulkString(dst, flag)
	}
	dst = appendBulks(resp.AppendBulkString(dst, "passwords"), u.Passwords())
	dst = appendDescription(dst, selectors[0])
	dst = resp.AppendArray(resp.AppendBulkString(dst, "selectors"), len(selectors)-1)
	for _, d := range selectors[1:] {
		dst = appendDescription(s.protocol.AppendMap(dst, 3), d)
	}
	return dst
}

func appendDescription(dst []byte, d acl.Description) []byte {
	for _, pair := range [][2]string{{"commands", d.Commands}, {"keys", d.Keys}, {"channels", d.Channels}} {
		dst = resp.AppendBulkString(resp.AppendBulkString(dst, pair[0]), pair[1])
	}
	return dst
}

// aclDryRun runs ACL DRYRUN.
func aclDryRun(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	u := s.local.Conf().Users.Named(string(args[2]))
	if u == nil {
		return resp.AppendError(dst, "ERR User '"+string(args[2][:min(len(args[2]), maxNameShown)])+"' not found")
	}
	args = args[3:]
	cmd, problem := command.Lookup(args)
	switch {
	case problem != command.NoProblem:
		return resp.AppendError(dst, "ERR Command '"+string(args[0][:min(len(args[0]), maxNameShown)])+"' not found")
	case !cmd.ArityOK(len(args)):
		return resp.AppendError(dst, "ERR wrong number of arguments for '"+cmd.Name+"' command")
	}
	d, at, _ := u.Check(cmd, args, nil)
	switch d {
	case acl.Allowed:
		return append(dst, replyOK...)
	case acl.Unclear:
		_, err := cmd.Keys(args, nil)
		return resp.AppendError(dst, err.Error())
	}
	return resp.AppendBulkString(dst, d.DryRun(cmd, args, at))
}

// maxPassBits is the longest password that ACL GENPASS makes.
const maxPassBits = 4096

// aclGenPass runs ACL GENPASS.
func aclGenPass(_ *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	bits := int64(256)
	switch {
	case len(args) > 3:
		return appendACLSyntax(dst, args)
	case len(args) == 3:
		var ok bool
		if bits, ok = resp.ParseInt(args[2]); !ok {
			return resp.AppendError(dst, "ERR value is not an integer or out of range")
		}
	}
	if bits <= 0 || bits > maxPassBits {
		return resp.AppendError(dst, "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to "+strconv.Itoa(maxPassBits))
	}
	var random [maxPassBits / 8]byte
	rand.Read(random[:])
	return resp.AppendBulkString(dst, hex.EncodeToString(random[:])[:(bits+3)/4])
}

// aclFixed answers the subcommands that would change users.
func aclFixed(_ *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return resp.AppendError(dst, "ERR users are those of the proxy's configuration, in users and acl_file: change them there, and reload it")
}

// aclLog runs ACL LOG: the denials of all loops.
func aclLog(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	count := int64(10)
	switch {
	case len(args) > 3:
		return appendACLSyntax(dst, args)
	case len(args) == 3 && strings.EqualFold(string(args[2]), "reset"):
		who := s.viewer()
		s.gatherLog(func(log *acl.Log) { log.Forget(who.mayKnow) }, func([]acl.Entry) []byte { return replyOK })
		return nil
	case len(args) == 3:
		var ok bool
		if count, ok = resp.ParseInt(args[2]); !ok {
			return resp.AppendError(dst, "ERR value is not an integer or out of range")
		}
	}
	s.gatherLog(func(*acl.Log) {}, func(entries []acl.Entry) []byte {
		return s.appendLog(nil, entries[:min(max(count, 0), int64(len(entries)))])
	})
	return nil
}

// gatherLog calls each for the log of each loop, and answers the current request with what reply makes of all
// entries that the client may see.
func (s *session) gatherLog(each func(*acl.Log), reply func([]acl.Entry) []byte) {
	number, who := s.push(), s.viewer()
	s.closeWindow()
	gatherLoops(s.shared, func(peer *shared, tell func([]acl.Entry)) {
		each(&peer.aclLog)
		tell(slices.DeleteFunc(peer.aclLog.Entries(), func(e acl.Entry) bool { return !who.mayKnow(e) }))
	}, func(logs [][]acl.Entry) { s.answerAndResume(number, reply(acl.Joined(logs))) })
}

// mayKnow reports whether the viewer may see an entry of ACL LOG, which shows a client.
func (who viewer) mayKnow(e acl.Entry) bool { return !who.restricted || e.User == who.name }

func (s *session) appendLog(dst []byte, entries []acl.Entry) []byte {
	dst = resp.AppendArray(dst, len(entries))
	for _, e := range entries {
		dst = resp.AppendInt(resp.AppendBulkString(s.protocol.AppendMap(dst, 7), "count"), int64(e.Count))
		for _, pair := range [][2]string{{"reason", e.Reason.String()}, {"context", e.Context}, {"object", e.Object}, {"username", e.User}} {
			dst = resp.AppendBulkString(resp.AppendBulkString(dst, pair[0]), pair[1])
		}
		age := strconv.AppendFloat(nil, time.Since(e.Time).Seconds(), 'f', 3, 64)
		dst = s.protocol.AppendDouble(resp.AppendBulkString(dst, "age-seconds"), age)
		dst = resp.AppendBulkString(resp.AppendBulkString(dst, "client-info"), e.Client)
	}
	return dst
}
