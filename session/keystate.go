package session

import (
	"bytes"
	"strconv"

	"ringway/resp"
)

// inspection names a key for which requests wait, and says how servers are asked what it has.
type inspection struct {
	kind  inspectionKind
	key   string
	group string // of a stream, for ofGroup
}

type inspectionKind uint8

const (
	ofList      inspectionKind = iota // how many elements a list has
	ofSortedSet                       // how many elements a sorted set has
	ofStream                          // the last entry of a stream
	ofGroup                           // what a consumer group of a stream has not read yet
)

// keyState is what a key has. The zero value is nothing.
type keyState struct {
	length  int      // of the list or sorted set; of a group, entries that were not read, at least 1 if there are any
	last    streamID // of the stream's last entry
	problem []byte   // the server's error if the key is of another type; replyNoGroup
	missing bool     // with replyNoGroup: the key does not exist

	read streamID // of a group: the last entry that was read
	lag  int      // of a group: how many entries were not, as far as the server says
}

// replyNoGroup is the state of a stream that lacks a group.
var replyNoGroup = []byte("-NOGROUP")

// requests are what the server is asked for, one after the other.
func (what inspection) requests() [][][]byte {
	key := []byte(what.key)
	last := [][]byte{[]byte("XREVRANGE"), key, []byte("+"), []byte("-"), []byte("COUNT"), []byte("1")}
	switch what.kind {
	case ofList:
		return [][][]byte{{[]byte("LLEN"), key}}
	case ofSortedSet:
		return [][][]byte{{[]byte("ZCARD"), key}}
	case ofStream:
		return [][][]byte{last}
	}
	return [][][]byte{{[]byte("XINFO"), []byte("GROUPS"), key}, last}
}

// read completes a state with the reply to request number n. It reports false if the reply does not
// say what the key has.
func (what inspection) read(state *keyState, n int, reply []byte) (ok bool) {
	switch {
	case bytes.HasPrefix(reply, []byte("-WRONGTYPE ")):
		state.problem = bytes.Clone(reply)
		return true
	case what.kind == ofList || what.kind == ofSortedSet:
		length, ok := resp.Int(reply)
		state.length = int(length)
		return ok && length >= 0
	case what.kind == ofGroup && n == 0:
		return state.readGroup(what.group, reply)
	case !state.readLast(reply):
		return false
	}
	if what.kind == ofGroup && state.problem == nil && state.last.after(state.read) {
		state.length = max(state.lag, 1)
	}
	return true
}

// readLast reads the reply to XREVRANGE key + - COUNT 1.
func (state *keyState) readLast(reply []byte) (ok bool) {
	entries, ok := resp.ReadArray(reply)
	if !ok || entries.Len() == 0 {
		return ok
	}
	entry, _ := entries.Next()
	fields, _ := resp.ReadArray(entry)
	id, _ := fields.Next()
	text, _ := resp.Bulk(id)
	state.last, ok = parseStreamID(text)
	return ok
}

// readGroup finds a group in the reply to XINFO GROUPS.
func (state *keyState) readGroup(name string, reply []byte) (ok bool) {
	state.problem = replyNoGroup
	if bytes.HasPrefix(reply, []byte("-ERR no such key")) {
		state.missing = true
		return true
	}
	groups, ok := resp.ReadArray(reply)
	for ok && groups.Len() > 0 {
		group, _ := groups.Next()
		fields, isMap := resp.ReadMap(group)
		if !isMap {
			return false
		}
		var found, read []byte
		lag := 0
		for fields.Len() > 0 {
			field, _ := fields.Next()
			value, whole := fields.Next()
			if !whole {
				return false
			}
			switch field, _ := resp.Bulk(field); string(field) {
			case "name":
				found, _ = resp.Bulk(value)
			case "last-delivered-id":
				read, _ = resp.Bulk(value)
			case "lag":
				n, _ := resp.Int(value) // null if the server does not know
				lag = int(n)
			}
		}
		if string(found) == name {
			state.problem, state.lag = nil, lag
			state.read, ok = parseStreamID(read)
			return ok
		}
	}
	return ok
}

// streamID is the ID of a stream's entry.
type streamID struct{ ms, seq uint64 }

// after reports whether an entry with this ID comes behind the other one.
func (id streamID) after(other streamID) bool {
	return id.ms > other.ms || id.ms == other.ms && id.seq > other.seq
}

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

// parseStreamID reads an ID with or without its second number, which is 0 then.
func parseStreamID(text []byte) (id streamID, ok bool) {
	ms, seq, both := bytes.Cut(text, []byte("-"))
	var err error
	if id.ms, err = strconv.ParseUint(string(ms), 10, 64); err != nil {
		return id, false
	}
	if both {
		id.seq, err = strconv.ParseUint(string(seq), 10, 64)
	}
	return id, err == nil
}
