package join

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"

	"ringway/resp"
)

// member is one member of a sorted set.
type member struct {
	name  string
	score float64
	text  []byte // the score as its server wrote it; nil if it was computed here
}

// appendSorted is AppendReply for sorted sets.
func (op *SetOperation) appendSorted(dst []byte, parts [][]byte, protocol resp.Protocol) ([]byte, bool) {
	if len(parts) != len(op.weights) {
		return dst, false
	}
	sets := make([][]member, len(parts))
	for i, part := range parts {
		var ok bool
		if sets[i], ok = readScores(part, protocol); !ok {
			return dst, false
		}
	}
	joined := op.joinSorted(sets)
	if op.counts {
		return resp.AppendInt(dst, op.limited(len(joined))), true
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
	dst = resp.AppendArray(dst, n)
	for i := range joined {
		m := &joined[i]
		if !op.withScores {
			dst = resp.AppendBulkString(dst, m.name)
			continue
		}
		text := m.text
		if text == nil {
			text = appendScore(nil, m.score, op.shortest)
		}
		if protocol == resp.RESP3 {
			dst = resp.AppendArray(dst, 2)
		}
		dst = protocol.AppendDouble(resp.AppendBulkString(dst, m.name), text)
	}
	return dst, true
}

// joinSorted does the operation on sorted sets. It joins the scores of a member in Redis's order,
// the smallest set first: sums of floating point numbers depend on the order.
func (op *SetOperation) joinSorted(sets [][]member) (joined []member) {
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

// combine joins two scores of a member, as AGGREGATE says.
func (op *SetOperation) combine(to, m *member) {
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

// readScores reads a reply WITHSCORES: members each followed by its score, in RESP3 an array of
// pairs.
func readScores(reply []byte, protocol resp.Protocol) (set []member, ok bool) {
	r, ok := resp.ReadArray(reply)
	if !ok {
		return nil, false
	}
	for r.Len() > 0 {
		var name, score []byte
		if protocol == resp.RESP3 {
			element, _ := r.Next()
			pair, _ := resp.ReadArray(element)
			name, _ = pair.Next()
			score, _ = pair.Next()
		} else {
			name, _ = r.Next()
			score, _ = r.Next()
		}
		of, named := resp.Bulk(name)
		text, ok := readDouble(score, protocol)
		value, isNumber := parseScore(text)
		if !named || !ok || !isNumber {
			return nil, false
		}
		set = append(set, member{name: string(of), score: value, text: text})
	}
	return set, true
}

// readDouble returns a number as the server has spelled it.
func readDouble(reply []byte, protocol resp.Protocol) (spelled []byte, ok bool) {
	if protocol != resp.RESP3 {
		return resp.Bulk(reply)
	}
	if len(reply) == 0 || reply[0] != ',' {
		return nil, false
	}
	return bytes.TrimSpace(reply[1:]), true
}

// parseScore reads a number as servers read and write scores.
func parseScore(b []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil && !math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// appendScore formats a score as Redis does: with 17 digits, or since 7.2 with the fewest digits
// that tell it from others.
func appendScore(dst []byte, f float64, shortest bool) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case !shortest:
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
