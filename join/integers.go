package join

import "ringway/resp"

// Sum appends the sum of integers, such as the replies to DBSIZE.
func Sum(dst []byte, replies [][]byte) ([]byte, bool) {
	total := int64(0)
	for _, reply := range replies {
		n, ok := resp.Int(reply)
		if !ok {
			return dst, false
		}
		total += n
	}
	return resp.AppendInt(dst, total), true
}

// Least appends the least of integers, such as the replies to WAIT. It reports false without
// replies.
func Least(dst []byte, replies [][]byte) ([]byte, bool) {
	least := int64(0)
	for i, reply := range replies {
		n, ok := resp.Int(reply)
		if !ok {
			return dst, false
		}
		if i == 0 || n < least {
			least = n
		}
	}
	return resp.AppendInt(dst, least), len(replies) > 0
}

// LeastOfEach appends an array whose i-th element is the least i-th element of all replies, such as
// those to SCRIPT EXISTS or WAITAOF. The replies must be arrays of one length. It reports false
// without replies.
func LeastOfEach(dst []byte, replies [][]byte) ([]byte, bool) {
	var least []int64
	for i, reply := range replies {
		r, ok := resp.ReadArray(reply)
		if !ok || i > 0 && r.Len() != len(least) {
			return dst, false
		}
		for at := 0; r.Len() > 0; at++ {
			element, _ := r.Next()
			n, ok := resp.Int(element)
			switch {
			case !ok:
				return dst, false
			case i == 0:
				least = append(least, n)
			default:
				least[at] = min(least[at], n)
			}
		}
	}
	dst = resp.AppendArray(dst, len(least))
	for _, n := range least {
		dst = resp.AppendInt(dst, n)
	}
	return dst, len(replies) > 0
}
