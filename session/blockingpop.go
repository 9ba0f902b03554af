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
	keys    [][]byte
	timeout time.Duration // 0 for none
	count   string        // the command that tells how many elements a key has
	verb    string        // the command that pops without waiting
	nested  bool          // its request and reply name the key: LMPOP, ZMPOP
	options [][]byte      // what follows the key in its request
}

// countCommands are all that blockingPop.count may be.
var countCommands = []string{"LLEN", "ZCARD"}

// poppers are the commands that block, and what stands for them without waiting.
var poppers = map[string]blockingPop{
	"blpop": {count: "LLEN", verb: "LPOP"}, "brpop": {count: "LLEN", verb: "RPOP"}, "blmpop": {count: "LLEN", verb: "LMPOP", nested: true},
	"bzpopmin": {count: "ZCARD", verb: "ZPOPMIN"}, "bzpopmax": {count: "ZCARD", verb: "ZPOPMAX"}, "bzmpop": {count: "ZCARD", verb: "ZMPOP", nested: true},
}

var (
	errTimeoutNoFloat  = errors.New("ERR timeout is not a float or out of range")
	errTimeoutNegative = errors.New("ERR timeout is negative")
	errTimeoutRange    = errors.New("ERR timeout is out of range")
	errSyntax          = errors.New("ERR syntax error")
	errCount           = errors.New("ERR count should be greater than 0")
)

// parseBlockingPop reads a request. It returns nil for other commands, and copies what it
// keeps of the arguments. The errors are Redis's.
func parseBlockingPop(cmd *command.Command, args [][]byte) (*blockingPop, error) {
	pop, ok := poppers[cmd.Name]
	if !ok {
		return nil, nil
	}
	positions, err := cmd.Keys(args, nil)
	if err != nil {
		return nil, err
	}
	for _, i := range positions {
		pop.keys = append(pop.keys, slices.Clone(args[i]))
	}
	timeout := args[len(args)-1]
	if pop.nested {
		timeout = args[1]
		if pop.options, err = popOptions(cmd, args[positions[len(positions)-1]+1:]); err != nil {
			return nil, err
		}
	}
	if pop.timeout, err = parseTimeout(timeout); err != nil {
		return nil, err
	}
	return &pop, nil
}

// popOptions checks LEFT|RIGHT or MIN|MAX and COUNT n.
func popOptions(cmd *command.Command, args [][]byte) (options [][]byte, err error) {
	ends := []string{"left", "right"}
	if cmd.Name == "bzmpop" {
		ends = []string{"min", "max"}
	}
	if len(args) == 0 || !slices.Contains(ends, strings.ToLower(string(args[0]))) {
		return nil, errSyntax
	}
	switch {
	case len(args) == 1:
	case len(args) != 3 || !strings.EqualFold(string(args[1]), "count"):
		return nil, errSyntax
	default:
		if n, ok := resp.ParseInt(args[2]); !ok || n <= 0 {
			return nil, errCount
		}
	}
	for _, arg := range args {
		options = append(options, slices.Clone(arg))
	}
	return options, nil
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

// request is the pop without waiting.
func (p *blockingPop) request(key []byte) []byte {
	if p.nested {
		return resp.AppendRequest(nil, append([][]byte{[]byte(p.verb), []byte("1"), key}, p.options...))
	}
	return resp.AppendRequest(nil, [][]byte{[]byte(p.verb), key})
}

// reply makes the blocking command's reply of the reply to request; nil if nothing was there.
func (p *blockingPop) reply(key, reply []byte) []byte {
	switch {
	case len(reply) == 0 || resp.IsNull(reply):
		return nil
	case reply[0] == '-' || p.nested:
		return slices.Clone(reply)
	case p.count == "LLEN":
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
	if p.count == "ZCARD" {
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
