package command

import (
	"strings"
	"testing"
)

func TestReplyIsSmallKnowsItsCommands(t *testing.T) {
	for _, name := range strings.Fields(smallReplies) {
		if ByName(name) == nil {
			t.Errorf("no command %q", name)
		}
	}
	for request, want := range map[string]bool{
		"SET k v": true, "SET k v EX 10 NX": true, "SET k v get": false, "SET k v PX 5 GET": false,
		"INCR k": true, "DEL k": true, "EXPIRE k 1": true, "OBJECT ENCODING k": true,
		"GET k": false, "GETSET k v": false, "LPOP k": false, "SPOP k": false, "EVAL s 0": false, "MGET a b": false,
	} {
		var args [][]byte
		for _, word := range strings.Fields(request) {
			args = append(args, []byte(word))
		}
		cmd, problem := Lookup(args)
		if problem != NoProblem || cmd.ReplyIsSmall(args) != want {
			t.Errorf("%s: problem %v, want %t", request, problem, want)
		}
	}
}
