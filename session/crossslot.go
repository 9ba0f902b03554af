package session

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"ringway/command"
	"ringway/conf"
	"ringway/hashring"
)

// errCrossShard says that the keys of a request are on several shards; in a Cluster, in
// several slots. Clients get what explain or crossSlot makes of it.
var errCrossShard = errors.New(crossSlotText)

// crossSlotText is Redis's error, with which the error for the client begins.
const crossSlotText = "CROSSSLOT Keys in request don't hash to the same slot"

// explain returns the client's error for err, an error about a request. For errCrossShard
// it names two of the keys. args are valid only during the call.
func (s *session) explain(err error, cmd *command.Command, args [][]byte) error {
	if err != errCrossShard {
		return err
	}
	a, b := s.crossing(cmd, args)
	err = crossSlot(s.local.Conf(), s.local.Map().Ring(), a, b)
	switch cmd.Name {
	case "rpoplpush", "brpoplpush", "lmove", "blmove", "smove":
		return fmt.Errorf("%w; the proxy moves no element between servers: it would be lost if the proxy ended between taking and giving it", err)
	}
	return err
}

// crossing returns two keys that may not be in one request. The first is nil if it is not
// among args, nor among the keys that the client watches.
func (s *session) crossing(cmd *command.Command, args [][]byte) (a, b []byte) {
	keys, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = keys[:0]
	if err != nil || len(keys) == 0 {
		return nil, nil
	}
	m := s.local.Map()
	for _, k := range keys[1:] {
		if m.Bucket(args[k]) != m.Bucket(args[keys[0]]) {
			return args[keys[0]], args[k]
		}
	}
	if s.dedicated != nil {
		a = s.dedicated.watched
	}
	return a, args[keys[0]]
}

// crossSlot returns the client's error for two keys of one request or transaction that are on
// different shards of a pool. It says why, and what to write. Either key may be nil if it is
// not known. The ring is the pool's, nil for a Cluster. The keys are copied as far as they
// are needed.
func crossSlot(c *conf.Pool, ring *hashring.Ring, a, b []byte) error {
	if c.Topology != conf.Cluster && c.Distribution == "random" {
		return errors.New(crossSlotText + "; the pool's distribution is random, which keeps no keys together: want another one")
	}
	tag := c.HashTag
	setting := fmt.Sprintf("the pool has hash_tag = %q; its together can keep other keys on one shard", tag)
	switch {
	case a != nil && b != nil && (patternOf(ring, a) != "" || patternOf(ring, b) != ""):
		return fmt.Errorf("%s: %s is placed by %s, %s by %s; want one name for both in the pool's together", crossSlotText, quoted(a), placedBy(ring, a), quoted(b), placedBy(ring, b))
	case c.Topology == conf.Cluster:
		tag, setting = "{}", "a Cluster's keys are in slots by what is in {}"
	case tag == "":
		return withoutHashTag(a, b)
	}
	example := fmt.Sprintf("such as %cuser1%c:name (%s)", tag[0], tag[1], setting)
	if a == nil || b == nil {
		return fmt.Errorf("%s; want one hash tag in all keys of a request, %s", crossSlotText, example)
	}
	tagA, hasA := hashTag(a, tag)
	tagB, hasB := hashTag(b, tag)
	switch {
	case hasA && hasB:
		return fmt.Errorf("%s: %s has the hash tag %s, %s has %s; want one for both, %s", crossSlotText, quoted(a), quoted(tagA), quoted(b), quoted(tagB), example)
	case hasA:
		return fmt.Errorf("%s: %s has the hash tag %s, %s has none; want one for both, %s", crossSlotText, quoted(a), quoted(tagA), quoted(b), example)
	case hasB:
		return fmt.Errorf("%s: %s has no hash tag, %s has %s; want one for both, %s", crossSlotText, quoted(a), quoted(b), quoted(tagB), example)
	}
	return fmt.Errorf("%s: %s and %s have no hash tag; want one for both, %s", crossSlotText, quoted(a), quoted(b), example)
}

// patternOf returns the pattern of together that places a key, or "".
func patternOf(ring *hashring.Ring, key []byte) string {
	if ring == nil {
		return ""
	}
	_, pattern := ring.Part(key)
	return pattern
}

// placedBy says what places a key: a pattern, the key's hash tag or the key itself.
func placedBy(ring *hashring.Ring, key []byte) string {
	part, pattern := ring.Part(key)
	switch {
	case pattern != "":
		return fmt.Sprintf("%s of the pattern %s", quoted(part), strconv.QuoteToASCII(pattern))
	case len(part) < len(key):
		return "its hash tag " + quoted(part)
	}
	return "itself"
}

// withoutHashTag is crossSlot for a pool with hash_tag = "".
func withoutHashTag(a, b []byte) error {
	const want = `want hash_tag = "{}" in its configuration, which moves keys that have such a part`
	if a == nil || b == nil {
		return fmt.Errorf("%s; the pool has no hash_tag: %s, and one tag in all keys of a request, such as {user1}:name", crossSlotText, want)
	}
	tagA, hasA := hashTag(a, "{}")
	tagB, hasB := hashTag(b, "{}")
	if hasA && hasB && bytes.Equal(tagA, tagB) {
		return fmt.Errorf("%s: the pool has no hash_tag, so it does not look at the tag of %s and %s; %s", crossSlotText, quoted(a), quoted(b), want)
	}
	return fmt.Errorf("%s: the pool has no hash_tag, and %s and %s are on different shards; %s, and one tag in both, such as {user1}:name", crossSlotText, quoted(a), quoted(b), want)
}

// hashTag returns the part of a key that is hashed in its place, and whether it has one. tag
// is two bytes.
func hashTag(key []byte, tag string) ([]byte, bool) {
	part := hashring.Tag(key, tag)
	return part, len(part) < len(key)
}

// maxQuoted is how much of a key an error shows.
const maxQuoted = 40

// quoted returns a key in quotes, as printable ASCII. Of a long one it shows the beginning.
func quoted(key []byte) string {
	if len(key) > maxQuoted {
		return strconv.QuoteToASCII(string(key[:maxQuoted])) + "..."
	}
	return strconv.QuoteToASCII(string(key))
}

// clipped returns a copy of a key for a later error, with what its hash tag is looked for in.
func clipped(key []byte) []byte { return bytes.Clone(key[:min(len(key), 1024)]) }
