package session

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"ringway/command"
	"ringway/join"
	"ringway/resp"
)

// blockingRead is an XREAD or XREADGROUP with keys on several shards. Each key is read by a request
// of its own, without BLOCK.
type blockingRead struct {
	head     [][]byte // the request up to STREAMS, without BLOCK
	from     []readFrom
	blocks   bool
	claims   bool          // XREADGROUP takes over what other consumers have left pending, too
	timeout  time.Duration // 0 for none
	group    string        // "" for XREAD
	most     int           // how many entries it reads of each stream
	protocol resp.Protocol
	version  string // of the servers
}

// readFrom is what is read of a stream.
type readFrom struct {
	kind readKind
	id   streamID // readAfter: read what comes behind it
	text []byte   // readHistory: the ID
}

type readKind uint8

const (
	readAfter   readKind = iota // what comes behind an ID
	readNew                     // $: what comes behind the last entry that there is now
	readLast                    // +: the last entry, and nothing before it
	readForAll                  // >: what nobody in the group has read
	readHistory                 // what the consumer has read, and not acknowledged
)

// Redis's errors, in its words.
var (
	errStreamID      = command.ReplyError("ERR Invalid stream ID specified as stream command argument")
	errNewInGroup    = command.ReplyError("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.")
	errLastInGroup   = command.ReplyError("ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.")
	errForAllOutside = command.ReplyError("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
)

// parseBlockingRead reads a request whose keys are at the given positions. It copies what it keeps
// of the arguments. The errors are Redis's, but for BLOCK with CLAIM.
func parseBlockingRead(args [][]byte, positions []int, protocol resp.Protocol, version string) (*blockingRead, error) {
	r := &blockingRead{protocol: protocol, version: version, most: math.MaxInt32}
	r.head = append(r.head, bytes.Clone(args[0]))
	for i := 1; i < positions[0]; i++ {
		values := 0
		switch strings.ToLower(string(args[i])) {
		case "claim":
			r.claims, values = true, 1
		case "block":
			i++
			if err := r.parseBlock(args[i]); err != nil {
				return nil, err
			}
			continue
		case "count":
			if n, _ := resp.ParseInt(args[i+1]); n > 0 {
				r.most = int(min(n, math.MaxInt32))
			} else {
				r.most = math.MaxInt32
			}
			values = 1
		case "group":
			r.group = string(args[i+1])
			values = 2
		}
		for _, arg := range args[i : i+values+1] {
			r.head = append(r.head, bytes.Clone(arg))
		}
		i += values
	}
	if r.blocks && r.claims {
		return nil, errClaimWaits
	}
	inGroup := len(args[0]) == len("xreadgroup")
	for _, k := range positions {
		from, err := r.parseID(args[k+len(positions)], inGroup)
		if err != nil {
			return nil, err
		}
		r.from = append(r.from, from)
	}
	return r, nil
}

// errClaimWaits is for XREADGROUP with BLOCK and CLAIM: it would have to wait for time to pass at the
// servers.
var errClaimWaits = fmt.Errorf("%s; XREADGROUP with BLOCK and CLAIM waits for streams of one shard only: want one hash tag in all of them, or no BLOCK", crossSlotText)

// parseBlock reads the milliseconds of BLOCK.
func (r *blockingRead) parseBlock(arg []byte) error {
	ms, _ := resp.ParseInt(arg)
	if ms < 0 {
		return errTimeoutNegative
	}
	r.blocks, r.timeout = true, time.Duration(min(ms, longestTimeout*1000))*time.Millisecond
	return nil
}

// parseID reads the ID for a stream.
func (r *blockingRead) parseID(arg []byte, inGroup bool) (from readFrom, err error) {
	switch text := string(arg); {
	case text == "$" && inGroup:
		return from, errNewInGroup
	case text == "+" && inGroup && join.AtLeastVersion(r.version, "7.4"):
		return from, errLastInGroup
	case text == ">" && !inGroup:
		return from, errForAllOutside
	case text == "$":
		return readFrom{kind: readNew}, nil
	case text == "+" && !inGroup:
		return readFrom{kind: readLast}, nil
	case text == ">":
		return readFrom{kind: readForAll}, nil
	}
	id, ok := parseStreamID(arg)
	switch {
	case !ok:
		return from, errStreamID
	case inGroup && id == streamID{math.MaxUint64, math.MaxUint64}:
		return readFrom{kind: readForAll}, nil // as Redis has it
	case inGroup:
		return readFrom{kind: readHistory, text: bytes.Clone(arg)}, nil
	}
	return readFrom{kind: readAfter, id: id}, nil
}

func (r *blockingRead) inspection(i int, name []byte) inspection {
	if k := r.from[i].kind; k == readForAll || k == readHistory {
		return inspection{kind: ofGroup, key: string(name), group: r.group}
	}
	return inspection{kind: ofStream, key: string(name)}
}

// inspected finds out what $ means, and what + means for a request that waits.
func (r *blockingRead) inspected(i int, state *keyState) {
	switch from := &r.from[i]; from.kind {
	case readNew:
		*from = readFrom{id: state.last}
	case readLast:
		from.id = state.last
	}
}

// problem returns nil for an XREAD that waits: Redis goes on waiting if a key becomes another type.
func (r *blockingRead) problem(i int, name []byte, state *keyState, waited bool) []byte {
	inGroup := r.inspection(i, nil).kind == ofGroup
	switch {
	case state.problem == nil || waited && !inGroup:
		return nil
	case waited && !join.AtLeastVersion(r.version, "7.2"):
		if state.missing || !bytes.Equal(state.problem, replyNoGroup) {
			return []byte("-UNBLOCKED the stream key no longer exists\r\n")
		}
		return []byte("-NOGROUP the consumer group this client was blocked on no longer exists\r\n")
	case bytes.Equal(state.problem, replyNoGroup):
		return resp.AppendError(nil, "NOGROUP No such key '"+string(name)+"' or consumer group '"+r.group+"' in XREADGROUP with GROUP option")
	}
	return state.problem
}

// ready reports true for some streams while the request does not wait yet, whatever they have. Of a
// group: since 7.2 Redis notes then that the consumer was there, and makes it if need be. With +,
// which Redis knows since 7.4: the server says what it is.
func (r *blockingRead) ready(i int, state *keyState, waited bool) bool {
	switch from := &r.from[i]; from.kind {
	case readHistory, readLast:
		return !waited
	case readForAll:
		return state.length > 0 || !waited && (r.claims || join.AtLeastVersion(r.version, "7.2"))
	default:
		return state.last.after(from.id)
	}
}

// nothing notes that the entries are gone that made a stream ready.
func (r *blockingRead) nothing(i int, state *keyState) {
	switch from := &r.from[i]; {
	case from.kind == readLast:
		*from = readFrom{id: from.id}
	case state == nil:
	case from.kind == readForAll:
		state.length = 0
	case state.last.after(from.id):
		from.id = state.last
	}
}

func (r *blockingRead) takesAll() bool { return true }

func (r *blockingRead) takes() int {
	if !r.writes() {
		return 0
	}
	return r.most
}

func (r *blockingRead) writes() bool { return len(r.head[0]) == len("xreadgroup") }

// request reads one stream.
func (r *blockingRead) request(i int, name []byte) []byte {
	from := &r.from[i]
	id := []byte(">")
	switch from.kind {
	case readHistory:
		id = from.text
	case readLast:
		id = []byte("+")
	case readAfter:
		id = []byte(from.id.String())
	}
	return resp.AppendRequest(nil, append(append([][]byte(nil), r.head...), name, id))
}

// reply joins the replies for some streams. What was read for a group is the consumer's from then
// on, so an error is the client's reply only if nothing was read.
func (r *blockingRead) reply(_, replies [][]byte) []byte {
	var read [][]byte
	var failed []byte
	for _, reply := range replies {
		switch {
		case len(reply) == 0 || resp.IsNull(reply):
		case reply[0] != '-':
			read = append(read, reply)
		case failed == nil:
			failed = bytes.Clone(reply)
		}
	}
	if read == nil {
		return failed
	}
	joined, ok := join.AppendStreams(nil, read, r.protocol)
	if !ok {
		return replyUnexpected
	}
	return joined
}

// giveBack returns nothing: entries that were read for a group are pending for the consumer, as in
// Redis when a client leaves.
func (r *blockingRead) giveBack([]byte, []byte) [][]byte { return nil }
