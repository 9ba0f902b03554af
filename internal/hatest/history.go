package hatest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// history records what all clients did with the shared keys.
type history struct {
	mu         sync.Mutex
	operations map[string][]porcupine.Operation // by key
}

// access is one operation on a register.
type access struct {
	write bool
	value string // the value written
}

// never is the return time of an operation that may take effect at any later time or
// not at all.
const never = math.MaxInt64

func (h *history) add(key string, op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.operations == nil {
		h.operations = map[string][]porcupine.Operation{}
	}
	h.operations[key] = append(h.operations[key], op)
}

func (h *history) wrote(client int, key, value string, outcome Outcome, called, returned time.Duration) {
	op := porcupine.Operation{ClientId: client, Input: access{true, value}, Output: "", Call: int64(called), Return: int64(returned)}
	switch outcome {
	case NotSent: // it did not happen; if it did, a read returns a value that no operation wrote
		return
	case Unknown, Refused, Leaked:
		op.Return = never
	}
	h.add(key, op)
}

func (h *history) read(client int, key, value string, called, returned time.Duration) {
	h.add(key, porcupine.Operation{ClientId: client, Input: access{}, Output: value, Call: int64(called), Return: int64(returned)})
}

// registerModel is one key that is read and written.
var registerModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in := input.(access)
		if in.write {
			return true, in.value
		}
		return output == state, state
	},
}

// checkTimeout is how long the search for an order may take, for each key.
const checkTimeout = 30 * time.Second

// check looks for an order of the operations that explains all reads.
func (h *history) check(report *Report) {
	for _, key := range slices.Sorted(maps.Keys(h.operations)) {
		ops := h.operations[key]
		report.Operations += len(ops)
		switch porcupine.CheckOperationsTimeout(registerModel, ops, checkTimeout) {
		case porcupine.Illegal:
			report.notLinearizable(fmt.Sprintf("the %d operations on %s are not linearizable", len(ops), key))
		case porcupine.Unknown:
			report.Unchecked++
		}
	}
}

// Report is the result of a load.
type Report struct {
	Counts     map[Outcome]int // of replies
	Errors     map[string]int  // the texts of errors, with the command, and how often they came
	Lost       int             // acknowledged writes that were lost, as far as reads have shown; only if the load is Lossy
	LongestGap time.Duration   // the longest time that a client went without success
	Operations int             // on shared keys
	Unchecked  int             // shared keys whose histories were not decided in time
	Violations []string

	lossy bool
}

func (r *Report) add(c *client) {
	for o, n := range c.counts {
		r.Counts[Outcome(o)] += n
	}
	for text, n := range c.errors {
		r.Errors[text] += n
	}
	r.Lost += c.lost
	r.LongestGap = max(r.LongestGap, c.longestGap)
	r.Violations = append(r.Violations, c.violations...)
	r.lossy = c.running.load.Lossy
}

// notLinearizable records a history that no order explains. If writes may be lost, that
// is not a violation.
func (r *Report) notLinearizable(text string) {
	if !r.lossy {
		r.Violations = append(r.Violations, text)
	}
}

// Failed returns how many requests got an error.
func (r *Report) Failed() (n int) {
	for o, count := range r.Counts {
		if o != OK {
			n += count
		}
	}
	return n
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests executed, longest gap of a client %s, %d operations on shared keys",
		r.Counts[OK], r.LongestGap.Round(time.Millisecond), r.Operations)
	if r.Lost > 0 {
		fmt.Fprintf(&b, ", %d acknowledged writes lost", r.Lost)
	}
	if r.Unchecked > 0 {
		fmt.Fprintf(&b, ", %d shared keys not checked in time", r.Unchecked)
	}
	for _, text := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(&b, "\n%6d times -%s", r.Errors[text], text)
	}
	return b.String()
}
