package session

import (
	"bytes"

	"ringway/pipeline"
	"ringway/resp"
)

// watchCheck asks the servers of an EXEC that watches keys on several shards whether one has
// changed, before any of them executes its part: each executes its own in an EXEC, so one that
// finds out only then is too late for the others. CLIENT INFO says it without ending WATCH. It is
// the Receiver of the replies. A server that does not know CLIENT INFO, or a user who may not
// run it, gets no check.
type watchCheck struct {
	e       *execution
	replies [][]byte // what has come of each connection's
	asked   bool
	changed bool // a key has changed
}

var requestClientInfo = resp.AppendRequest(nil, [][]byte{[]byte("CLIENT"), []byte("INFO")})

// checkWatches starts the check, or ends the execution if a key has changed. Like sendWave, it
// reports false if it must wait.
func (e *execution) checkWatches() bool {
	c := e.check
	if c.asked {
		e.check = nil
		if c.changed {
			e.waves = nil
			e.end(e.s.protocol.AppendNullArray(nil))
		}
		return true
	}
	c.asked = true
	e.left = 1 // this function, since a request may fail at once
	for d := range e.s.watches() {
		e.left++
		c.replies = append(c.replies, nil)
		if f := d.conn.Send(requestClientInfo, c, uint32(len(c.replies)-1)); f != nil {
			e.left--
		}
	}
	e.left--
	return true
}

// Reply implements pipeline.Receiver.
func (c *watchCheck) Reply(number uint32, b []byte, last bool) {
	reply := append(c.replies[number], b...)
	c.replies[number] = reply
	if !last {
		return
	}
	if _, flags, found := bytes.Cut(reply, []byte(" flags=")); found {
		flags, _, _ = bytes.Cut(flags, []byte(" "))
		c.changed = c.changed || bytes.IndexByte(flags, 'd') >= 0
	}
	c.answered()
}

// Fail implements pipeline.Receiver. What was lost fails again when the part is sent.
func (c *watchCheck) Fail(uint32, *pipeline.Failure, []byte) {
	c.answered()
}

// answered counts an answer.
func (c *watchCheck) answered() {
	if c.e.left--; c.e.left == 0 && !c.e.ended {
		c.e.s.deferRun()
	}
}
