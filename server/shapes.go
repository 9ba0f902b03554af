package server

import (
	"strconv"

	"github.com/tidwall/redcon"

	"ringway/resp"
)

// Replies of the proxy itself in the shapes that differ between the protocols.

func (s *session) appendNull(dst []byte) []byte {
	if s.protocol == resp.RESP3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

func (s *session) appendNullArray(dst []byte) []byte {
	if s.protocol == resp.RESP3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "*-1\r\n"...)
}

// appendMap appends the head of a map of n pairs.
func (s *session) appendMap(dst []byte, n int) []byte {
	if s.protocol == resp.RESP3 {
		return appendHeader(dst, '%', n)
	}
	return appendHeader(dst, '*', 2*n)
}

// appendText appends what is for people to read: a verbatim string in RESP3.
func (s *session) appendText(dst []byte, text string) []byte {
	if s.protocol != resp.RESP3 {
		return redcon.AppendBulkString(dst, text)
	}
	dst = append(dst, '=')
	dst = strconv.AppendInt(dst, int64(len(text)+len("txt:")), 10)
	dst = append(dst, "\r\ntxt:"...)
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}
