package hatest

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// reply is one reply, or a message. Its kind is its first byte, except that every null
// has the kind '_' and everything with elements is an array, '*'. The elements of a map
// are its keys and values.
type reply struct {
	kind     byte
	text     string // of a status, an error, a number or a string
	elements []reply
}

func (r reply) String() string {
	switch r.kind {
	case '*':
		var b strings.Builder
		for i, e := range r.elements {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(e.String())
		}
		return "[" + b.String() + "]"
	case '_':
		return "(nil)"
	case '$':
		return strconv.Quote(r.text)
	}
	return string(r.kind) + r.text
}

func (r reply) isError() bool { return r.kind == '-' }

// readReply reads one reply. It trusts the server to keep to the protocol.
func readReply(r *bufio.Reader) (reply, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return reply{}, err
	}
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok || line == "" {
		return reply{}, fmt.Errorf("line %q is no start of a reply", line)
	}
	kind, text := line[0], line[1:]
	switch kind {
	case '+', '-', ':', '_':
		return reply{kind: kind, text: text}, nil
	case '$', '*', '>', '~', '%':
	default:
		return reply{}, fmt.Errorf("line %q is no start of a reply", line)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > 1<<20 {
		return reply{}, fmt.Errorf("length in %q: %w", line, err)
	}
	if n < 0 {
		return reply{kind: '_'}, nil
	}
	if kind == '$' {
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return reply{}, err
		}
		return reply{kind: '$', text: string(b[:n])}, nil
	}
	if kind == '%' {
		n *= 2
	}
	elements := make([]reply, n)
	for i := range elements {
		if elements[i], err = readReply(r); err != nil {
			return reply{}, err
		}
	}
	return reply{kind: '*', elements: elements}, nil
}

// Outcome is what a client knows about a request after its reply.
type Outcome uint8

// The outcomes.
const (
	OK       Outcome = iota // it was executed
	NotSent                 // the proxy says that it was not sent
	Unknown                 // it may have been executed
	Refused                 // any other error
	Leaked                  // an error about slots or failovers, which no client may see
	outcomes = iota
)

func (o Outcome) String() string {
	return [outcomes]string{"ok", "not sent", "outcome unknown", "refused", "leaked"}[o]
}

// leaks are the errors of Leaked.
var leaks = []string{"MOVED ", "ASK ", "READONLY ", "TRYAGAIN ", "CLUSTERDOWN ", "LOADING ", "MASTERDOWN ", "CROSSSLOT "}

// outcomeOf returns the outcome that a reply means.
func outcomeOf(r reply) Outcome {
	if !r.isError() {
		return OK
	}
	for _, l := range leaks {
		if strings.HasPrefix(r.text, l) {
			return Leaked
		}
	}
	switch {
	case strings.Contains(r.text, "outcome is unknown"):
		return Unknown
	case strings.Contains(r.text, "was not sent"), strings.Contains(r.text, "not executed"):
		return NotSent
	}
	return Refused
}
