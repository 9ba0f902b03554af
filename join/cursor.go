package join

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"

	"ringway/resp"
)

// The cursor of a SCAN that goes from server to server holds both the server's index and the
// server's own cursor:
//
//	client's = server's * servers + index
//
// 0 begins with the first server, and ends the scan after the last one. The proxy keeps no state of
// a scan: it may go on over another connection, or another proxy with the same configuration. A
// Cluster has another cursor; see ClusterCursor.

// ParseCursor reads a cursor as Redis does, with strtoul: digits, perhaps signed
// and then taken modulo 2^64, up to the first NUL; nothing at all is 0.
func ParseCursor(b []byte) (uint64, bool) {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	if len(b) == 0 {
		return 0, true
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, false
	}
	if negative {
		n = -n
	}
	return n, true
}

// SplitCursor returns where a client's cursor says that the scan goes on: the server's index and
// the server's own cursor. servers is their number, at least one.
func SplitCursor(cursor uint64, servers int) (server int, own uint64) {
	return int(cursor % uint64(servers)), cursor / uint64(servers)
}

// NextCursor returns the client's next cursor, given the server's own. It reports false if both do
// not fit.
func NextCursor(own uint64, server, servers int) (uint64, bool) {
	if own == 0 {
		return uint64((server + 1) % servers), true
	}
	high, low := bits.Mul64(own, uint64(servers))
	return low + uint64(server), high == 0 && low <= math.MaxUint64-uint64(server)
}

// SplitScan reads the cursor of a reply to SCAN and returns what follows it: the array of keys,
// which need not be complete.
func SplitScan(b []byte) (cursor uint64, rest []byte, ok bool) {
	count, head, ok := resp.ArrayLen(b)
	if !ok || count != 2 {
		return 0, nil, false
	}
	n := resp.ElementLen(b[head:])
	digits, ok := resp.Bulk(b[head : head+n])
	if !ok {
		return 0, nil, false
	}
	cursor, err := strconv.ParseUint(string(digits), 10, 64)
	return cursor, b[head+n:], err == nil
}

// AppendScan appends the beginning of a reply to SCAN, up to and including the cursor. The caller
// appends the array of keys.
func AppendScan(dst []byte, cursor uint64) []byte {
	var digits [20]byte
	return resp.AppendBulk(resp.AppendArray(dst, 2), strconv.AppendUint(digits[:0], cursor, 10))
}

// AppendEmptyScan appends a reply to SCAN without keys.
func AppendEmptyScan(dst []byte, cursor uint64) []byte {
	return resp.AppendArray(AppendScan(dst, cursor), 0)
}
