package join

import "ringway/resp"

// Elements returns what follows the header of an array of exactly count elements, as a slice of
// reply. It does not check the elements themselves.
func Elements(reply []byte, count int) (elements []byte, ok bool) {
	n, header, ok := resp.ArrayLen(reply)
	if !ok || n != count {
		return nil, false
	}
	return reply[header:], true
}

// InOrder appends one array with the elements of several: the reply to MGET whose keys are on
// several servers. parts are what Elements returns for each server, and order says for each element
// of the result which part has it next. InOrder cuts what it has taken off parts. It allocates
// nothing while dst has room.
func InOrder(dst []byte, parts [][]byte, order []uint16) ([]byte, bool) {
	dst = resp.AppendArray(dst, len(order))
	for _, i := range order {
		part := parts[i]
		n := resp.ElementLen(part)
		if n == 0 {
			return dst, false
		}
		dst = append(dst, part[:n]...)
		parts[i] = part[n:]
	}
	return dst, true
}

// Concat concatenates arrays, such as the replies to KEYS. It appends only the header of the joined
// array, and cuts the headers off replies: the elements, which may be many, need not be copied.
func Concat(dst []byte, replies [][]byte) ([]byte, bool) {
	total := 0
	for i, reply := range replies {
		n, header, ok := resp.ArrayLen(reply)
		if !ok || n < 0 || total+n < total {
			return dst, false
		}
		total += n
		replies[i] = reply[header:]
	}
	return resp.AppendArray(dst, total), true
}

// Filter appends an array of those strings of reply for which keep reports true, such as the
// channels that a server owns in its reply to PUBSUB CHANNELS.
func Filter(dst, reply []byte, keep func(s []byte) bool) ([]byte, bool) {
	elements, ok := resp.ReadArray(reply)
	if !ok {
		return dst, false
	}
	var kept []byte
	count := 0
	for elements.Len() > 0 {
		element, whole := elements.Next()
		s, _ := resp.Bulk(element)
		if !whole {
			return dst, false
		}
		if keep(s) {
			kept = append(kept, element...)
			count++
		}
	}
	return append(resp.AppendArray(dst, count), kept...), true
}
