package join

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"ringway/resp"
)

// SetOperation is a request such as SUNION, SINTERCARD or ZDIFF whose keys are on several servers.
// The members of each server's sets are fetched, and the operation is done here. Make it with
// ParseSetOperation.
type SetOperation struct {
	kind       setKind
	sorted     bool
	counts     bool // the answer is how many members there are
	limit      int  // counts: stop there; 0 for never
	withScores bool
	weights    []float64 // for each key, or nil
	aggregate  aggregate
	shortest   bool // scores are written with as few digits as tell them from others
}

type setKind uint8

const (
	union setKind = iota
	intersection
	difference
)

type aggregate uint8

const (
	aggregateSum aggregate = iota
	aggregateMin
	aggregateMax
)

var errSyntax = errors.New("ERR syntax error")

// ParseSetOperation parses a request. name is the command's in lower case, keys are the positions
// of its keys in args, at least one. version is the servers', such as "7.0.15", on which the format
// of scores depends. An error is for the client, in Redis's words.
func ParseSetOperation(name string, args [][]byte, keys []int, version string) (*SetOperation, error) {
	op := &SetOperation{sorted: name[0] == 'z', counts: strings.HasSuffix(name, "card"), shortest: AtLeastVersion(version, "7.2")}
	switch strings.TrimSuffix(name[1:], "card") {
	case "inter":
		op.kind = intersection
	case "diff":
		op.kind = difference
	}
	if !op.counts && !op.sorted {
		return op, nil
	}
	for range keys {
		op.weights = append(op.weights, 1)
	}
	for rest := args[keys[len(keys)-1]+1:]; len(rest) > 0; {
		n, err := op.option(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return op, nil
}

// option parses one option and returns how many arguments it has.
func (op *SetOperation) option(args [][]byte) (n int, err error) {
	joins := op.sorted && !op.counts && op.kind != difference
	switch option := strings.ToLower(string(args[0])); {
	case option == "limit" && op.counts && len(args) > 1:
		limit, ok := resp.ParseInt(args[1])
		if !ok || limit < 0 || limit > 1<<31-1 {
			return 0, errors.New("ERR LIMIT can't be negative")
		}
		op.limit = int(limit)
		return 2, nil
	case option == "withscores" && op.sorted && !op.counts:
		op.withScores = true
		return 1, nil
	case option == "weights" && joins && len(args) > len(op.weights):
		for i := range op.weights {
			w, ok := parseScore(args[1+i])
			if !ok {
				return 0, errors.New("ERR weight value is not a float")
			}
			op.weights[i] = w
		}
		return 1 + len(op.weights), nil
	case option == "aggregate" && joins && len(args) > 1:
		switch strings.ToLower(string(args[1])) {
		case "sum":
			op.aggregate = aggregateSum
		case "min":
			op.aggregate = aggregateMin
		case "max":
			op.aggregate = aggregateMax
		default:
			return 0, errSyntax
		}
		return 2, nil
	}
	return 0, errSyntax
}

// KeyByKey reports whether each key must be fetched by itself: scores are added up in Redis's
// order, so no server may add up some of them.
func (op *SetOperation) KeyByKey() bool { return op.sorted }

// AppendFetch appends the request that fetches one server's sets. The server does as much of the
// operation as it can. It is request number i: a difference subtracts all other sets from those of
// number 0.
func (op *SetOperation) AppendFetch(dst []byte, keys [][]byte, i int) []byte {
	name := "SUNION"
	switch {
	case op.sorted:
		dst = resp.AppendBulkString(resp.AppendArray(dst, 3+len(keys)), "ZUNION")
		dst = resp.AppendBulk(dst, strconv.AppendInt(nil, int64(len(keys)), 10))
		for _, key := range keys {
			dst = resp.AppendBulk(dst, key)
		}
		return resp.AppendBulkString(dst, "WITHSCORES")
	case op.kind == intersection:
		name = "SINTER"
	case op.kind == difference && i == 0:
		name = "SDIFF"
	}
	dst = resp.AppendBulkString(resp.AppendArray(dst, 1+len(keys)), name)
	for _, key := range keys {
		dst = resp.AppendBulk(dst, key)
	}
	return dst
}

// AppendReply appends the result of the operation. parts are the replies to the requests of
// AppendFetch, in that order. protocol is the servers' and the client's.
func (op *SetOperation) AppendReply(dst []byte, parts [][]byte, protocol resp.Protocol) ([]byte, bool) {
	if op.sorted {
		return op.appendSorted(dst, parts, protocol)
	}
	names, ok := op.joinSets(parts)
	if !ok {
		return dst, false
	}
	if op.counts {
		return resp.AppendInt(dst, op.limited(len(names))), true
	}
	dst = protocol.AppendSet(dst, len(names))
	for _, name := range names {
		dst = resp.AppendBulkString(dst, name)
	}
	return dst, true
}

// joinSets does the operation on sets without scores.
func (op *SetOperation) joinSets(parts [][]byte) (names []string, ok bool) {
	seen := map[string]int{} // in how many parts; -1 if in none that counts
	for i, part := range parts {
		r, ok := resp.ReadSet(part)
		if !ok {
			return nil, false
		}
		for r.Len() > 0 {
			element, _ := r.Next()
			member, ok := resp.Bulk(element)
			if !ok {
				return nil, false
			}
			name := string(member)
			if seen[name] == 0 {
				if i > 0 && op.kind != union {
					if op.kind == difference {
						seen[name] = -1
					}
					continue
				}
				names = append(names, name)
			}
			seen[name]++
		}
	}
	wanted := len(parts) // of the parts, an intersection is in all
	switch op.kind {
	case union:
		wanted = 0
	case difference:
		wanted = 1
	}
	if op.kind != union {
		names = slices.DeleteFunc(names, func(n string) bool { return seen[n] != wanted })
	}
	return names, true
}

// limited returns the cardinality n, bounded by LIMIT.
func (op *SetOperation) limited(n int) int64 {
	if op.limit > 0 {
		n = min(n, op.limit)
	}
	return int64(n)
}
