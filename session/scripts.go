package session

import (
	"bytes"
	"container/list"
	"crypto/sha1"
	"encoding/hex"

	"ringway/command"
	"ringway/pipeline"
	"ringway/resp"
)

// scriptMemory holds the bodies of scripts that clients have sent lately, for
// servers that do not know them: a server that was restarted, or that was away
// when SCRIPT LOAD came. It is one pool's on one loop.
type scriptMemory struct {
	byBody map[string]*list.Element
	byHash map[scriptHash]*list.Element
	recent list.List // of *script, the last used one first
	size   int       // bytes of all bodies

	proofs map[string]*proof // of functions, and of scripts whose bodies are unknown
}

type script struct {
	body  string
	hash  scriptHash
	proof proof
}

// scriptHash is a SHA-1 in lower-case hexadecimal, as EVALSHA names a script.
type scriptHash [2 * sha1.Size]byte

// A scriptMemory holds at most so many bytes, and no script over the second
// bound: what is that long is data that somebody wrote into a script.
const (
	maxScripts = 4 << 20
	maxScript  = 256 << 10
)

func newScriptMemory() *scriptMemory {
	return &scriptMemory{byBody: map[string]*list.Element{}, byHash: map[scriptHash]*list.Element{}, proofs: map[string]*proof{}}
}

// note remembers a script and returns it, or nil if it is too long. One that is
// known costs a look-up.
func (m *scriptMemory) note(body []byte) *script {
	if e := m.byBody[string(body)]; e != nil {
		m.recent.MoveToFront(e)
		return e.Value.(*script)
	}
	if len(body) > maxScript {
		return nil
	}
	sc := &script{body: string(body)}
	sum := sha1.Sum(body)
	hex.Encode(sc.hash[:], sum[:])
	e := m.recent.PushFront(sc)
	m.byBody[sc.body], m.byHash[sc.hash] = e, e
	for m.size += len(body); m.size > maxScripts; {
		oldest := m.recent.Remove(m.recent.Back()).(*script)
		delete(m.byBody, oldest.body)
		delete(m.byHash, oldest.hash)
		m.size -= len(oldest.body)
	}
	return sc
}

// forget empties the memory.
func (m *scriptMemory) forget() {
	clear(m.byBody)
	clear(m.byHash)
	clear(m.proofs)
	m.recent.Init()
	m.size = 0
}

// find returns the script that EVALSHA names, in any case, or nil.
func (m *scriptMemory) find(name []byte) *script {
	var hash scriptHash
	if len(name) != len(hash) {
		return nil
	}
	for i, c := range name {
		if 'A' <= c && c <= 'F' {
			c += 'a' - 'A'
		}
		hash[i] = c
	}
	e := m.byHash[hash]
	if e == nil {
		return nil
	}
	m.recent.MoveToFront(e)
	return e.Value.(*script)
}

// noteScripts keeps the memories of all loops up with SCRIPT LOAD and FLUSH.
func (s *session) noteScripts(cmd *command.Command, args [][]byte) {
	var note func(m *scriptMemory)
	switch cmd.Name {
	case "script|load":
		body := bytes.Clone(args[2])
		note = func(m *scriptMemory) { m.note(body) }
	case "script|flush":
		note = (*scriptMemory).forget
	case "function|load", "function|restore":
		note = func(m *scriptMemory) { clear(m.proofs) }
	default:
		return
	}
	s.each(func(peer *shared) { note(peer.scripts) })
}

// runScript sends a script or function to its server. Like handle, it reports
// false if the request must wait.
func (s *session) runScript(cmd *command.Command, args [][]byte, raw []byte, server int) bool {
	if p := s.scripts.proof(cmd, args); !p.quick {
		if done, took := s.runApart(cmd, args, raw, server, p); done {
			return took
		}
	}
	if cmd.Name == "evalsha" || cmd.Name == "evalsha_ro" {
		if sc := s.scripts.find(args[1]); sc != nil {
			return s.evalKnown(server, raw, sc.body)
		}
	}
	return s.sendMarked(server, raw)
}

// hashed is the Receiver of an EVALSHA whose script is known here. If the server
// does not know it, nothing was executed, and the request is sent once more as
// EVAL. The reply keeps its place in the session's line.
type hashed struct {
	s      *session
	server int
	raw    []byte // the request
	body   string
	begun  bool // a part of a large reply has been passed on
}

// evalKnown sends an EVALSHA whose script's body is known. Like handle, it
// reports false if the request must wait.
func (s *session) evalKnown(server int, raw []byte, body string) bool {
	conn := s.primaryConn(server)
	if conn.Full() {
		s.await(conn)
		return false
	}
	number := s.push()
	h := s.w.newHashed()
	h.s, h.server, h.raw, h.body = s, server, append(h.raw[:0], raw...), body
	if f := conn.SendMarked(raw, h, number); f != nil {
		h.recycle()
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
	return true
}

// noScript is what a server says that does not know a script. A script that
// makes up this very reply is run again.
var noScript = []byte("-NOSCRIPT No matching script. Please use EVAL.\r\n")

// Reply is pipeline.Receiver's.
func (h *hashed) Reply(number uint32, b []byte, last bool) {
	s := h.s
	switch {
	case last && !h.begun && bytes.Equal(b, noScript) && s.conn.Open():
		h.sendBody(number)
	default:
		h.begun = true
		s.Reply(number, b, last)
	}
	if last {
		h.recycle()
	}
}

// Fail is pipeline.Receiver's.
func (h *hashed) Fail(number uint32, f *pipeline.Failure, request []byte) {
	s := h.s
	h.recycle()
	s.Fail(number, f, request)
}

// sendBody sends the request again, with the script in place of its hash.
func (h *hashed) sendBody(number uint32) {
	s := h.s
	var state resp.RequestState
	if n, err := s.w.again.Parse(h.raw, &state, &s.w.limits); n == 0 || err != nil {
		s.finish(number, noScript)
		return
	}
	args := s.w.again.Args
	eval := []byte("EVAL")
	if len(args[0]) > len("EVALSHA") {
		eval = []byte("EVAL_RO")
	}
	request := resp.AppendRequest(nil, append([][]byte{eval, []byte(h.body)}, args[2:]...))
	s.w.again.Release()
	conn := s.primaryConn(h.server)
	if f := conn.SendMarked(request, s, number); f != nil {
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
}

// spareHashed is how many finished Receivers of EVALSHA a worker keeps, and
// spareRequest the most bytes that one of them may have copied.
const (
	spareHashed  = 256
	spareRequest = 4 << 10
)

func (w *Worker) newHashed() *hashed {
	if n := len(w.hashed); n > 0 {
		h := w.hashed[n-1]
		w.hashed = w.hashed[:n-1]
		return h
	}
	return &hashed{}
}

// recycle makes h ready for another request.
func (h *hashed) recycle() {
	w := h.s.w
	if len(w.hashed) >= spareHashed || cap(h.raw) > spareRequest {
		return
	}
	*h = hashed{raw: h.raw[:0]}
	w.hashed = append(w.hashed, h)
}
