package command

import "strconv"

// reply builds one reply. RESP3 has types for sets, maps and null where RESP2
// has arrays only.
type reply struct {
	b     []byte
	resp3 bool

	permitted func(*Command) bool // whether a pool serves a command that can be served
}

func (r *reply) header(lead byte, n int) {
	r.b = append(r.b, lead)
	r.b = strconv.AppendInt(r.b, int64(n), 10)
	r.b = append(r.b, "\r\n"...)
}

func (r *reply) array(n int) { r.header('*', n) }

// set starts a set of n elements.
func (r *reply) set(n int) {
	if r.resp3 {
		r.header('~', n)
	} else {
		r.array(n)
	}
}

// pairs starts a map of n keys, each followed by its value.
func (r *reply) pairs(n int) {
	if r.resp3 {
		r.header('%', n)
	} else {
		r.array(2 * n)
	}
}

func (r *reply) integer(n int) { r.header(':', n) }

func (r *reply) simple(s string) {
	r.b = append(r.b, '+')
	r.b = append(r.b, s...)
	r.b = append(r.b, "\r\n"...)
}

func (r *reply) bulk(s string) {
	r.header('$', len(s))
	r.b = append(r.b, s...)
	r.b = append(r.b, "\r\n"...)
}

func (r *reply) bulkBytes(s []byte) {
	r.header('$', len(s))
	r.b = append(r.b, s...)
	r.b = append(r.b, "\r\n"...)
}

// null says that there is no such thing.
func (r *reply) null() {
	if r.resp3 {
		r.b = append(r.b, "_\r\n"...)
	} else {
		r.b = append(r.b, "$-1\r\n"...)
	}
}

func (r *reply) err(e ReplyError) { r.b = e.AppendError(r.b) }
