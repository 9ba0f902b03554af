package session

import (
	"bytes"
	"container/list"
	"crypto/sha1"
	"encoding/hex"

	"ringway/command"
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
	body     string
	hash     scriptHash
	speed    scriptSpeed
	presence []presence // by shard; see presenceAt

	publishes bool // it may publish
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
	sc := &script{body: string(body), publishes: mayPublish(body)}
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

// mayPublish reports whether a script may have PUBLISH or SPUBLISH executed: its text has the
// word, in any case. Who puts the word together in the script is not looked after.
func mayPublish(body []byte) bool {
	return bytes.Contains(bytes.ToLower(body), []byte("publish"))
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
	hash, ok := scriptHashOf(name)
	if !ok {
		return nil
	}
	e := m.byHash[hash]
	if e == nil {
		return nil
	}
	m.recent.MoveToFront(e)
	return e.Value.(*script)
}

// scriptHashOf returns the hash that EVALSHA's argument says, in any case. ok is false if it is
// none.
func scriptHashOf(name []byte) (hash scriptHash, ok bool) {
	if len(name) != len(hash) {
		return hash, false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'F' {
			c += 'a' - 'A'
		}
		hash[i] = c
	}
	return hash, true
}

// scriptOf returns the script that a request runs, which it remembers; nil for functions, unknown
// scripts and those that are too long.
func (m *scriptMemory) scriptOf(cmd *command.Command, args [][]byte) *script {
	switch cmd.Name {
	case "eval", "eval_ro":
		return m.note(args[1])
	case "evalsha", "evalsha_ro":
		return m.find(args[1])
	}
	return nil
}

// speedOf returns what has been seen of a request's script or function; sc is its scriptOf. The
// caller may set it.
func (m *scriptMemory) speedOf(cmd *command.Command, args [][]byte, sc *script) *scriptSpeed {
	switch {
	case sc != nil:
		return &sc.speed
	case cmd.Name == "eval" || cmd.Name == "eval_ro":
		return &scriptSpeed{} // too long to be remembered: never quick
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
