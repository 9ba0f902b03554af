package join

import "ringway/resp"

// NumSub appends one server's reply to PUBSUB NUMSUB, channels each followed by a number. extra
// returns how many more subscribers the i-th channel has than the server says.
func NumSub(dst, reply []byte, extra func(i int) int) ([]byte, bool) {
	elements, ok := resp.ReadArray(reply)
	if !ok || elements.Len()%2 != 0 {
		return dst, false
	}
	dst = resp.AppendArray(dst, elements.Len())
	for i := 0; elements.Len() > 0; i++ {
		name, _ := elements.Next()
		count, _ := elements.Next()
		_, named := resp.Bulk(name)
		n, ok := resp.Int(count)
		if !ok || !named {
			return dst, false
		}
		dst = append(dst, name...)
		dst = resp.AppendInt(dst, n+int64(extra(i)))
	}
	return dst, true
}

// NumSubOfOwners joins the replies to PUBSUB NUMSUB of several servers that were asked for the same
// channels. The number for each channel is that of the one server for which owns reports true, plus
// extra. server is an index of replies. Each channel must have an owner.
func NumSubOfOwners(dst []byte, replies [][]byte, owns func(server int, channel []byte) bool, extra func(channel []byte) int) ([]byte, bool) {
	var owned [][]byte // of each channel: its name and number, framed
	found, length := 0, 0
	for server, reply := range replies {
		elements, ok := resp.ReadArray(reply)
		if !ok || server > 0 && elements.Len() != length {
			return dst, false
		}
		length = elements.Len()
		for at := 0; elements.Len() > 1; at++ {
			name, _ := elements.Next()
			count, _ := elements.Next()
			channel, named := resp.Bulk(name)
			n, ok := resp.Int(count)
			if !ok || !named {
				return dst, false
			}
			if at == len(owned) {
				owned = append(owned, nil)
			}
			if !owns(server, channel) {
				continue
			}
			if owned[at] == nil {
				found++
			}
			owned[at] = resp.AppendInt(append([]byte(nil), name...), n+int64(extra(channel)))
		}
	}
	if 2*found != length {
		return dst, false
	}
	dst = resp.AppendArray(dst, length)
	for _, pair := range owned {
		dst = append(dst, pair...)
	}
	return dst, true
}
