package bench

import (
	"bytes"
	"strconv"
)

// A key is "bench:SSSSSSS:KKKKKKKK": the size of its value and its number
// (keyNumber), both in decimal. A value is its header "KKKKKKKK:SSSSSSS" over
// and over, cut to its size; so every value names its key and its length, every
// 16 bytes of it can be checked on their own, and a value of another key or of
// another size is found wherever the swap happened.
const (
	keyLen    = 22
	headerLen = 16
	crlf      = "\r\n"
)

// keyNumber returns the number of the i-th key of a workload. It is below 10^8, and
// different for each i below that. Numbers that differ only in their last digits lie
// side by side on a ring of FNV hashes: two of four servers would hold all of the keys 0
// to 255, one all of 0 to 63, and the run would measure that server.
func keyNumber(i int) int {
	const spread = 61803399 // no factor in common with 10^8
	return int(int64(i) * spread % 100_000_000)
}

// putDecimal writes n in decimal over the whole of b, with leading zeros.
func putDecimal(b []byte, n int) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// appendKey appends the key number k for values of size bytes.
func appendKey(b []byte, k, size int) []byte {
	b = append(b, "bench:0000000:00000000"...)
	key := b[len(b)-keyLen:]
	putDecimal(key[6:13], size)
	putDecimal(key[14:], k)
	return b
}

// parseKey returns the number and the value size in a key, and reports whether it is a
// key of this package.
func parseKey(key []byte) (k, size int, ok bool) {
	if len(key) != keyLen || string(key[:6]) != "bench:" || key[13] != ':' {
		return 0, 0, false
	}
	size, okSize := parseDecimal(key[6:13])
	k, okKey := parseDecimal(key[14:])
	return k, size, okSize && okKey && size >= minValue && size <= maxValue
}

// parseDecimal reads all of b as a decimal number without a sign. b is at most
// nine bytes long, so that no number overflows.
func parseDecimal(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// valueHeader returns the 16 bytes that the value of key k repeats. Seven
// digits hold the largest size, eight the largest key number.
func valueHeader(k, size int) (h [headerLen]byte) {
	putDecimal(h[:8], k)
	h[8] = ':'
	putDecimal(h[9:], size)
	return h
}

// appendValue appends the value of key k, size bytes long.
func appendValue(b []byte, k, size int) []byte {
	h := valueHeader(k, size)
	start := len(b)
	b = append(b, h[:min(size, headerLen)]...)
	for len(b)-start < size {
		b = append(b, b[start:start+min(len(b)-start, size-(len(b)-start))]...)
	}
	return b
}

// matchesAt reports whether a value with header h contains part at offset at. It compares
// the first 16 bytes with the header, and the rest with the bytes 16 before, which runs
// at the speed of memory.
func matchesAt(part []byte, h *[headerLen]byte, at int) bool {
	turn := at % headerLen
	for i := range min(len(part), headerLen) {
		if part[i] != h[(turn+i)%headerLen] {
			return false
		}
	}
	return len(part) <= headerLen || bytes.Equal(part[headerLen:], part[:len(part)-headerLen])
}

// appendBulkHeader appends the line that opens a bulk string of n bytes.
func appendBulkHeader(dst []byte, n int) []byte {
	dst = append(dst, '$')
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, crlf...)
}

// encoder writes requests of one workload. It belongs to one goroutine.
type encoder struct {
	size   int
	fanout int
	get    []byte // the GET of key 0
	set    []byte // the SET of key 0 up to its value
	mget   []byte // the start of an MGET up to its first key
	mset   []byte // the start of an MSET up to its first key
	key    []byte // a key with its bulk header
}

func newEncoder(w Workload) *encoder {
	e := &encoder{size: w.Value, fanout: w.Fanout}
	e.key = append(appendKey(appendBulkHeader(nil, keyLen), 0, w.Value), crlf...)
	e.get = append([]byte("*2\r\n$3\r\nGET\r\n"), e.key...)
	e.set = append([]byte("*3\r\n$3\r\nSET\r\n"), e.key...)
	e.mget = append(strconv.AppendInt([]byte("*"), int64(1+w.Fanout), 10), "\r\n$4\r\nMGET\r\n"...)
	e.mset = append(strconv.AppendInt([]byte("*"), int64(1+2*w.Fanout), 10), "\r\n$4\r\nMSET\r\n"...)
	return e
}

// appendRequest appends one request of kind for the given keys and returns the
// longer slice. Only mget and mset look at more than the first key.
func (e *encoder) appendRequest(b []byte, kind Op, keys []uint32) []byte {
	switch kind {
	case OpSet:
		b = e.appendKeyed(b, e.set, int(keys[0]))
		return e.appendValueBulk(b, int(keys[0]))
	case OpMGet:
		b = append(b, e.mget...)
		for _, k := range keys {
			b = e.appendKeyed(b, e.key, int(k))
		}
		return b
	case OpMSet:
		b = append(b, e.mset...)
		for _, k := range keys {
			b = e.appendKeyed(b, e.key, int(k))
			b = e.appendValueBulk(b, int(k))
		}
		return b
	default:
		return e.appendKeyed(b, e.get, int(keys[0]))
	}
}

// appendKeyed appends a template that ends in a key, with the key's number put in.
func (e *encoder) appendKeyed(b, template []byte, k int) []byte {
	b = append(b, template...)
	putDecimal(b[len(b)-len(crlf)-8:len(b)-len(crlf)], k)
	return b
}

func (e *encoder) appendValueBulk(b []byte, k int) []byte {
	b = appendBulkHeader(b, e.size)
	b = appendValue(b, k, e.size)
	return append(b, crlf...)
}
