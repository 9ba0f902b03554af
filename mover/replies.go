package mover

import (
	"errors"
	"slices"

	"ringway/resp"
)

var errShape = errors.New("server sent a reply of another form than its command has")

// scanned returns the cursor and the keys of a reply to SCAN, without reserved keys.
func scanned(reply []byte) (cursor string, keys []string, err error) {
	outer, ok := resp.ReadArray(reply)
	if !ok || outer.Len() != 2 {
		return "", nil, errShape
	}
	first, _ := outer.Next()
	second, _ := outer.Next()
	keys, ok = texts(second)
	if cursor = textOf(first); !ok || cursor == "" {
		return "", nil, errShape
	}
	return cursor, slices.DeleteFunc(keys, isReserved), nil
}

// texts returns the elements of an array of strings.
func texts(reply []byte) (all []string, ok bool) {
	elements, ok := resp.ReadArray(reply)
	if !ok {
		return nil, false
	}
	for e, more := elements.Next(); more; e, more = elements.Next() {
		all = append(all, textOf(e))
	}
	return all, true
}

// numberOf returns the value of an integer reply, 0 for another reply.
func numberOf(reply []byte) int64 {
	n, _ := resp.Int(reply)
	return n
}
