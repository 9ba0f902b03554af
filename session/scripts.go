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

// scriptMemory holds the bodies of scripts that clients have sent, the most recently used
// ones. A server may not have a script because it was restarted, or was down at the time of
// SCRIPT LOAD. There is one memory for each pool and loop.
type scriptMemory struct {
	byBody map[string]*list.Element
	byHash map[scriptHash]*list.Element
	recent list.List // of *script, the most recently used one first
	size   int       // of all bodies, in bytes

	speeds map[string]*scriptSpeed // by name, of functions; by hash, of scripts whose body is unknown
}

// script is a remembered script.
type script struct {
	body  string
	hash  scriptHash
	speed scriptSpeed
}

// scriptHash is a SHA-1 in lower-case hexadecimal, as EVALSHA names a script.
type scriptHash [2 * sha1.Size]byte

const (
	// maxScripts is the most bytes of bodies that a scriptMemory holds.
	maxScripts = 4 << 20
	// maxScript is the longest body, in bytes, that it holds: a longer script is one with
	// data in its text, which is unlikely to come again.
	maxScript = 256 << 10
)

// newScriptMemory returns an empty memory.
func newScriptMemory() *scriptMemory {
	return &scriptMemory{byBody: map[string]*list.Element{}, byHash: map[scriptHash]*list.Element{}, speeds: map[string]*scriptSpeed{}}
}

// note remembers a script and returns it, or nil if it is too long. It copies and hashes the
// body only if it is new. The least recently used scripts make room.
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
	clear(m.speeds)
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

// speedOf returns what has been seen of a request's script or function. The caller may set it.
func (m *scriptMemory) speedOf(cmd *command.Command, args [][]byte) *scriptSpeed {
	var sc *script
	switch cmd.Name {
	case "eval", "eval_ro":
		if sc = m.note(args[1]); sc == nil {
			return &scriptSpeed{} // too long to be remembered: never quick
		}
	case "evalsha", "evalsha_ro":
		sc = m.find(args[1])
	}
	if sc != nil {
		return &sc.speed
	}
	if p := m.speeds[string(args[1])]; p != nil {
		return p
	}
	if len(m.speeds) >= maxSpeeds {
		clear(m.speeds)
	}
	p := &scriptSpeed{}
	m.speeds[string(args[1])] = p
	return p
}

// noteScripts keeps the memories of all loops up to date with commands that load or flush
// scripts or functions.
func (s *session) noteScripts(cmd *command.Command, args [][]byte) {
	var note func(m *scriptMemory)
	switch cmd.Name {
	case "script|load":
		body := bytes.Clone(args[2])
		note = func(m *scriptMemory) { m.note(body) }
	case "script|flush":
		note = (*scriptMemory).forget
	case "function|load", "function|restore":
		note = func(m *scriptMemory) { clear(m.speeds) }
	default:
		return
	}
	s.eachLoop(func(peer *shared) { note(peer.scripts) })
}

// evalsha is the Receiver of an EVALSHA whose script's body is known. If the server does not
// have the script, it has executed nothing, and the request is sent once more as EVAL. The
// request keeps its position in the session's line.
type evalsha struct {
	s      *session
	server int
	raw    []byte // the request, copied
	body   string // of the script
	begun  bool   // a part of a large reply has been passed on
}

// sendEvalsha sends an EVALSHA whose script's body is known. Like handle, it reports false if
// the request must wait.
func (s *session) sendEvalsha(server int, raw []byte, body string) bool {
	conn := s.primaryConn(server)
	if conn.Full() {
		s.await(conn)
		return false
	}
	number := s.push()
	h := s.w.newEvalsha()
	h.s, h.server, h.raw, h.body = s, server, append(h.raw[:0], raw...), body
	if f := conn.SendMarked(raw, h, number); f != nil {
		h.recycle()
		s.finish(number, s.failureReply(f))
	}
	return true
}

// noScript is the reply of a server that does not have a script. A script that returns this
// very reply itself is run twice.
var noScript = []byte("-NOSCRIPT No matching script. Please use EVAL.\r\n")

// Reply is pipeline.Receiver's.
func (h *evalsha) Reply(number uint32, b []byte, last bool) {
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
func (h *evalsha) Fail(number uint32, f *pipeline.Failure, request []byte) {
	s := h.s
	h.recycle()
	s.Fail(number, f, request)
}

// sendBody sends the request again as EVAL, with the body in place of the hash.
func (h *evalsha) sendBody(number uint32) {
	s := h.s
	var state resp.RequestState
	if n, err := s.w.resendParser.Parse(h.raw, &state, &s.w.limits); n == 0 || err != nil {
		s.finish(number, noScript)
		return
	}
	args := s.w.resendParser.Args
	eval := []byte("EVAL")
	if len(args[0]) > len("EVALSHA") {
		eval = []byte("EVAL_RO")
	}
	request := resp.AppendRequest(nil, append([][]byte{eval, []byte(h.body)}, args[2:]...))
	s.w.resendParser.Release()
	conn := s.primaryConn(h.server)
	if f := conn.SendMarked(request, s, number); f != nil {
		s.finish(number, s.failureReply(f))
	}
}

const (
	// maxSpareEvalsha is how many finished evalsha a Worker keeps for reuse.
	maxSpareEvalsha = 256
	// spareRequest is the largest buffer, in bytes, with which one is kept.
	spareRequest = 4 << 10
)

// newEvalsha returns an evalsha to be filled, perhaps a finished one.
func (w *Worker) newEvalsha() *evalsha {
	if n := len(w.spareEvalsha); n > 0 {
		h := w.spareEvalsha[n-1]
		w.spareEvalsha = w.spareEvalsha[:n-1]
		return h
	}
	return &evalsha{}
}

// recycle gives h back for reuse. The caller must not use it any more.
func (h *evalsha) recycle() {
	w := h.s.w
	if len(w.spareEvalsha) >= maxSpareEvalsha || cap(h.raw) > spareRequest {
		return
	}
	*h = evalsha{raw: h.raw[:0]}
	w.spareEvalsha = append(w.spareEvalsha, h)
}
