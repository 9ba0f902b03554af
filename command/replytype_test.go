package command

import (
	"strings"
	"testing"
)

func TestReplyTypesAreOfCommandsThatThereAre(t *testing.T) {
	for want, names := range replyTypes {
		for name := range strings.FieldsSeq(names) {
			cmd, problem := Lookup([][]byte{[]byte(name)})
			if problem != NoProblem || cmd.ReplyType() != want {
				t.Errorf("%s: %v, type %d", name, problem, want)
			}
		}
	}
}
