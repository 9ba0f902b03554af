package server

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"

	"ringway/resp"
)

// member is an element of a sorted set with its score.
type member struct {
	name  string
	score float64
	text  []byte // the score as its server wrote it; nil if it was computed here
}

// result returns the reply that the operation comes to. It reports false if a
// part is not what it should be.
func (op *setOperation) result(parts []gathered, protocol resp.Protocol) (reply []byte, ok bool) {
	if op.sorted {
		return op.sortedResult(parts, protocol)
	}
	var names []string
	seen := map[string]int{} // in how many parts
	for i := range parts {
		r, ok := readSet(parts[i].reply)
		if !ok {
			return nil, false
		}
		for r.Len() > 0 {
			element, _ := r.Next()
			if element[0] != '$' {
				return nil, false
			}
			name := string(bulkBytes(element))
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
	if op.counts {
		return appendHeader(nil, ':', op.limited(len(names))), true
	}
	lead := byte('*')
	if protocol == resp.RESP3 {
		lead = '~'
	}
	reply = appendHeader(nil, lead, len(names))
	for _, n := range names {
		reply = appendBulk(reply, []byte(n))
	}
	return reply, true
}

func (op *setOperation) limited(n int) int {
	if op.limit > 0 {
		return min(n, op.limit)
	}
	return n
}

// readSet reads an array or a set of RESP3.
func readSet(reply []byte) (resp.ArrayReader, bool) {
	if len(reply) > 0 && reply[0] == '~' {
		reply = append([]byte{'*'}, reply[1:]...)
	}
	return resp.ReadArray(reply)
}

// sortedResult is result for sorted sets. The scores of an element are joined in
// the order in which Redis does that, the smallest set first: sums of floating
// point numbers depend on it.
func (op *setOperation) sortedResult(parts []gathered, protocol resp.Protocol) ([]byte, bool) {
	sets := make([][]member, len(parts))
	for i := range parts {
		var ok bool
		if sets[i], ok = readScores(parts[i].reply); !ok {
			return nil, false
		}
	}
	joined := op.join(sets)
	if op.counts {
		return appendHeader(nil, ':', op.limited(len(joined))), true
	}
	slices.SortFunc(joined, func(a, b member) int {
		if c := cmp.Compare(a.score, b.score); c != 0 {
			return c
		}
		return cmp.Compare(a.name, b.name)
	})
	n := len(joined)
	if op.withScores && protocol == resp.RESP2 {
		n *= 2
	}
	reply := appendHeader(nil, '*', n)
	for i := range joined {
		m := &joined[i]
		if !op.withScores {
			reply = appendBulk(reply, []byte(m.name))
			continue
		}
		text := m.text
		if text == nil {
			text = appendScore(nil, m.score, op.modern)
		}
		if protocol == resp.RESP2 {
			reply = appendBulk(appendBulk(reply, []byte(m.name)), text)
			continue
		}
		reply = appendBulk(append(reply, "*2\r\n"...), []byte(m.name))
		reply = append(append(append(reply, ','), text...), "\r\n"...)
	}
	return reply, true
}

// join does the operation on sets.
func (op *setOperation) join(sets [][]member) (joined []member) {
	order := make([]int, len(sets))
	for i := range order {
		order[i] = i
	}
	if op.kind != difference {
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(sets[a]), len(sets[b])) })
	}
	at := map[string]int{} // where in joined
	in := []int{}          // for each of joined, in how many sets
	for nth, i := range order {
		weight := op.weights[i]
		for _, m := range sets[i] {
			if weight != 1 {
				m.score, m.text = weight*m.score, nil
				if math.IsNaN(m.score) && (nth == 0 || op.kind == union) { // as Redis, which leaves it to the sum otherwise
					m.score = 0
				}
			}
			k, known := at[m.name]
			switch {
			case !known && (nth == 0 || op.kind == union):
				at[m.name] = len(joined)
				joined, in = append(joined, m), append(in, 1)
			case !known:
			case op.kind == difference:
				in[k] = 0
			default:
				in[k]++
				op.combine(&joined[k], &m)
			}
		}
	}
	kept := joined[:0]
	for k, m := range joined {
		if op.kind == union || op.kind == intersection && in[k] == len(sets) || op.kind == difference && in[k] == 1 {
			kept = append(kept, m)
		}
	}
	return kept
}

// combine joins two scores of an element.
func (op *setOperation) combine(to, m *member) {
	switch op.aggregate {
	case aggregateSum:
		if to.score, to.text = to.score+m.score, nil; math.IsNaN(to.score) {
			to.score = 0
		}
	case aggregateMin:
		if m.score < to.score {
			to.score, to.text = m.score, m.text
		}
	case aggregateMax:
		if m.score > to.score {
			to.score, to.text = m.score, m.text
		}
	}
}

// readScores reads a reply WITHSCORES in either protocol.
func readScores(reply []byte) (set []member, ok bool) {
	r, ok := resp.ReadArray(reply)
	if !ok {
		return nil, false
	}
	for r.Len() > 0 {
		name, _ := r.Next()
		var score []byte
		if len(name) > 0 && name[0] == '*' {
			pair, _ := resp.ReadArray(name)
			name, _ = pair.Next()
			score, _ = pair.Next()
		} else {
			score, _ = r.Next()
		}
		if len(name) == 0 || name[0] != '$' || len(score) == 0 {
			return nil, false
		}
		text := bulkBytes(score)
		if score[0] == ',' {
			text = bytes.TrimSpace(score[1:])
		}
		value, ok := parseScore(text)
		if !ok {
			return nil, false
		}
		set = append(set, member{name: string(bulkBytes(name)), score: value, text: text})
	}
	return set, true
}

// parseScore reads a number as servers read and write scores.
func parseScore(b []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil && !math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// appendScore appends a score as Redis writes it: with 17 digits, or since 7.2
// with as few as tell it from others.
func appendScore(dst []byte, f float64, modern bool) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case !modern:
		return strconv.AppendFloat(dst, f, 'g', 17, 64)
	case f == math.Trunc(f) && math.Abs(f) < 1<<62 && (f != 0 || !math.Signbit(f)):
		return strconv.AppendInt(dst, int64(f), 10)
	}
	digits := strconv.FormatFloat(math.Abs(f), 'e', -1, 64)
	mantissa, exponent, _ := bytes.Cut([]byte(digits), []byte("e"))
	exp, _ := strconv.Atoi(string(exponent))
	if exp >= -7 && exp < 21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	dst = append(append(dst, mantissa...), 'e')
	if exp > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(exp), 10)
}
