package command

import "ringway/resp"

// A replyBuilder builds one reply, with the types of its protocol.
type replyBuilder struct {
	b        []byte
	protocol resp.Protocol

	permitted func(*Command) bool // whether the pool serves a command that is Servable
}

func (r *replyBuilder) array(n int) { r.b = resp.AppendArray(r.b, n) }

// set starts a set of n elements.
func (r *replyBuilder) set(n int) { r.b = r.protocol.AppendSet(r.b, n) }

// pairs starts a map of n keys, each followed by its value.
func (r *replyBuilder) pairs(n int) { r.b = r.protocol.AppendMap(r.b, n) }

func (r *replyBuilder) integer(n int) { r.b = resp.AppendInt(r.b, int64(n)) }

func (r *replyBuilder) simple(s string) { r.b = resp.AppendSimple(r.b, s) }

func (r *replyBuilder) bulk(s string) { r.b = resp.AppendBulkString(r.b, s) }

func (r *replyBuilder) bulkBytes(s []byte) { r.b = resp.AppendBulk(r.b, s) }

// null appends the null reply, for something that does not exist.
func (r *replyBuilder) null() { r.b = r.protocol.AppendNull(r.b) }

func (r *replyBuilder) replyError(e ReplyError) { r.b = e.AppendError(r.b) }
