package session

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// blockingPop is a request that pops from the first of its keys that has elements, and waits
// if none has. It is described by the command that does the same with one key without waiting.
type blockingPop struct {
	kind    inspectionKind // of its keys
	verb    string         // the command that pops without waiting
	nested  bool           // its request and reply name the key: LMPOP, ZMPOP
	options [][]byte       // what follows the key in its request
	most    int            // how many elements it pops
}

// poppers are the commands that block, and what stands for them without waiting.
var poppers = map[string]blockingPop{
	"blpop": {kind: ofList, verb: "LPOP"}, "brpop": {kind: ofList, verb: "RPOP"}, "blmpop": {kind: ofList, verb: "LMPOP", nested: true},
	"bzpopmin": {kind: ofSortedSet, verb: "ZPOPMIN"}, "bzpopmax": {kind: ofSortedSet, verb: "ZPOPMAX"}, "bzmpop": {kind: ofSortedSet, verb: "ZMPOP", nested: true},
}

var (
	errTimeoutNoFloat  = errors.New("ERR timeout is not a float or out of range")
	errTimeoutNegative = errors.New("ERR timeout is negative")
	errTimeoutRange    = errors.New("ERR timeout is out of range")
	errSyntax          = errors.New("ERR syntax error")
	errCount           = errors.New("ERR count should be greater than 0")
)

// parseBlockingPop reads a request of one of the poppers, whose keys are at the given positions. It
// copies what it keeps of the arguments. timeout is 0 for none. The errors are Redis's.
func parseBlockingPop(cmd *command.Command, args [][]byte, positions []int) (pop *blockingPop, timeout time.Duration, err error) {
	p := poppers[cmd.Name]
	p.most = 1
	seconds := args[len(args)-1]
	if p.nested {
		seconds = args[1]
		if err := p.parseOptions(cmd, args[positions[len(positions)-1]+1:]); err != nil {
			return nil, 0, err
		}
	}
	timeout, err = parseTimeout(seconds)
	return &p, timeout, err
}

// parseOptions reads LEFT|RIGHT or MIN|MAX and COUNT n.
func (p *blockingPop) parseOptions(cmd *command.Command, args [][]byte) error {
	ends := []string{"left", "right"}
	if cmd.Name == "bzmpop" {
		ends = []string{"min", "max"}
	}
	if len(args) == 0 || !slices.Contains(ends, strings.ToLower(string(args[0]))) {
		return errSyntax
	}
	switch {
	case len(args) == 1:
	case len(args) != 3 || !strings.EqualFold(string(args[1]), "count"):
		return errSyntax
	default:
		n, ok := resp.ParseInt(args[2])
		if !ok || n <= 0 {
			return errCount
		}
		p.most = int(min(n, math.MaxInt32))
	}
	for _, arg := range args {
		p.options = append(p.options, slices.Clone(arg))
	}
	return nil
}

// longestTimeout, a hundred years in seconds, stands for what is longer: a loop's clock has
// 64 bits for nanoseconds.
const longestTimeout = 100 * 365 * 24 * 3600

// parseTimeout reads a timeout in seconds as Redis does; 0 is for ever.
func parseTimeout(arg []byte) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(string(arg), 64)
	switch {
	case err != nil || math.IsNaN(seconds):
		return 0, errTimeoutNoFloat
	case seconds < 0:
		return 0, errTimeoutNegative
	case seconds > math.MaxInt64/1e3:
		return 0, errTimeoutRange
	case seconds == 0:
		return 0, nil
	}
	return max(time.Duration(min(seconds, longestTimeout)*float64(time.Second)), time.Millisecond), nil
}

func (p *blockingPop) inspection(_ int, name []byte) inspection {
	return inspection{kind: p.kind, key: string(name)}
}

func (p *blockingPop) inspected(int, *keyState) {}

// problem returns nil for a request that waits: Redis goes on waiting if a key becomes another type.
func (p *blockingPop) problem(_ int, _ []byte, state *keyState, waited bool) []byte {
	if waited {
		return nil
	}
	return state.problem
}

func (p *blockingPop) ready(_ int, state *keyState, _ bool) bool { return state.length > 0 }

func (p *blockingPop) nothing(_ int, state *keyState) {
	if state != nil {
		state.length = 0
	}
}

func (p *blockingPop) takesAll() bool { return false }

func (p *blockingPop) takes() int { return p.most }

func (p *blockingPop) writes() bool { return true }

// request is the pop without waiting.
func (p *blockingPop) request(_ int, key []byte) []byte {
	if p.nested {
		return resp.AppendRequest(nil, append([][]byte{[]byte(p.verb), []byte("1"), key}, p.options...))
	}
	return resp.AppendRequest(nil, [][]byte{[]byte(p.verb), key})
}

// reply makes the blocking command's reply of the one to request.
func (p *blockingPop) reply(names, replies [][]byte) []byte {
	key, reply := names[0], replies[0]
	switch {
	case len(reply) == 0 || resp.IsNull(reply):
		return nil
	case reply[0] == '-' || p.nested:
		return slices.Clone(reply)
	case p.kind == ofList:
		return append(resp.AppendBulk(resp.AppendArray(nil, 2), key), reply...)
	}
	elements, ok := resp.ReadArray(reply)
	if !ok || elements.Len() == 0 {
		return nil
	}
	made := resp.AppendBulk(resp.AppendArray(nil, 1+elements.Len()), key)
	for e, ok := elements.Next(); ok; e, ok = elements.Next() {
		made = append(made, e...)
	}
	return made
}

// giveBack returns requests that undo a pop with the given reply.
func (p *blockingPop) giveBack(key, reply []byte) (requests [][]byte) {
	elements := p.elements(reply)
	if p.kind == ofSortedSet {
		for i := 0; i+1 < len(elements); i += 2 {
			requests = append(requests, resp.AppendRequest(nil, [][]byte{[]byte("ZADD"), key, elements[i+1], elements[i]}))
		}
		return requests
	}
	verb := "LPUSH"
	if p.verb == "RPOP" || p.nested && strings.EqualFold(string(p.options[0]), "right") {
		verb = "RPUSH"
	}
	slices.Reverse(elements) // the first that was popped is to be the last that is pushed
	return [][]byte{resp.AppendRequest(nil, append([][]byte{[]byte(verb), key}, elements...))}
}

// elements returns the payloads of the bulk strings and doubles in a reply, in order, but for
// the key that a nested one names.
func (p *blockingPop) elements(reply []byte) (list [][]byte) {
	if b, ok := resp.Bulk(reply); ok {
		return [][]byte{b}
	}
	if len(reply) > 3 && reply[0] == ',' {
		return [][]byte{reply[1 : len(reply)-2]}
	}
	r, _ := resp.ReadArray(reply)
	first := p.nested && r.Len() == 2
	for e, ok := r.Next(); ok; e, ok = r.Next() {
		if first {
			if first = false; len(e) > 0 && e[0] == '$' {
				inner, _ := r.Next()
				return (&blockingPop{}).elements(inner)
			}
		}
		list = append(list, (&blockingPop{}).elements(e)...)
	}
	return list
}
