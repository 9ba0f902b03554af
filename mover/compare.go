package mover

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/resp"
)

// A state is what a key is at one moment, as far as two servers can be compared by it.
type state struct {
	present bool
	expires int64             // Unix time in milliseconds, -1 for never
	sum     [sha256.Size]byte // of DUMP's payload without its footer
}

// dumpFooter is how many bytes of a payload are the server's version and a checksum.
const dumpFooter = 10

// states returns the states of keys of one database.
func states(c *conn, s *Server, db int64, keys []string) ([]state, error) {
	if err := c.selectDB(db); err != nil {
		return nil, err
	}
	all := make([]state, len(keys))
	for _, key := range keys {
		c.send(s.expiryCommand(), key)
		c.send("DUMP", key)
	}
	err := c.answers(2*len(keys), func(i int, reply []byte, err error) error {
		at := &all[i/2]
		switch {
		case err != nil:
			return err
		case i%2 == 0:
			at.expires = s.expiry(numberOf(reply))
			return nil
		}
		if payload, ok := resp.Bulk(reply); ok && len(payload) > dumpFooter {
			at.present, at.sum = true, sha256.Sum256(payload[:len(payload)-dumpFooter])
		}
		return nil
	})
	return all, err
}

// oldExpiry reports whether a server tells only how long a key has to live: before Redis 7.0.
func (s *Server) oldExpiry() bool { return compareVersions(s.info["redis_version"], "7.0.0") < 0 }

// expiryCommand returns the command that tells when a key expires.
func (s *Server) expiryCommand() string {
	if s.oldExpiry() {
		return "PTTL"
	}
	return "PEXPIRETIME"
}

// expiry returns a reply of expiryCommand as a Unix time in milliseconds, negative for none.
func (s *Server) expiry(reply int64) int64 {
	if reply >= 0 && s.oldExpiry() {
		return time.Now().UnixMilli() + reply
	}
	return reply
}

// expiryTolerance is how far two expiries may be apart where one was computed from PTTL, in milliseconds.
const expiryTolerance = 1000

// sameExpiry reports whether two keys expire at the same time.
func sameExpiry(a, b int64, computed bool) bool {
	if a < 0 || b < 0 || !computed {
		return max(a, -1) == max(b, -1)
	}
	return max(a-b, b-a) <= expiryTolerance
}

// A Difference is a key that is not the same at two servers.
type Difference struct {
	DB       int64
	Key      string
	From, To string // names of the servers
	Why      string // "missing", "not removed", "other value", "other expiry"
}

// compareKeys returns the keys that differ between a server of from and one of to.
func compareKeys(from, to *Server, db int64, keys []string) (differing []Difference, err error) {
	at, err := states(from.c, from, db, keys)
	if err != nil {
		return nil, err
	}
	there, err := states(to.c, to, db, keys)
	if err != nil {
		return nil, err
	}
	computed := from.oldExpiry() || to.oldExpiry()
	for i, key := range keys {
		a, b, why := at[i], there[i], ""
		switch {
		case a.present && !b.present:
			why = "missing"
		case !a.present && b.present:
			why = "not removed"
		case !a.present:
		case !sameExpiry(a.expires, b.expires, computed):
			why = "other expiry"
		case a.sum != b.sum:
			same, err := sameContents(from.c, to.c, db, key)
			if err != nil {
				return nil, err
			}
			if !same {
				why = "other value"
			}
		}
		if why != "" {
			differing = append(differing, Difference{DB: db, Key: key, From: from.Name, To: to.Name, Why: why})
		}
	}
	return differing, nil
}

// sameContents compares a key by what its type holds: encodings, on which DUMP depends, may differ.
func sameContents(a, b *conn, db int64, key string) (bool, error) {
	one, err := contents(a, db, key)
	if err != nil {
		return false, err
	}
	other, err := contents(b, db, key)
	return err == nil && slices.Equal(one, other), err
}

// contents returns the type of a key and what it holds, in an order that encodings do not change. What can't be
// read so is returned as the payload of a DUMP.
func contents(c *conn, db int64, key string) ([]string, error) {
	if err := c.selectDB(db); err != nil {
		return nil, err
	}
	kind, err := c.text("TYPE", key)
	if err != nil {
		return nil, err
	}
	all := []string{kind}
	add := func(args ...string) error {
		reply, err := c.do(args...)
		var refused Error
		if errors.As(err, &refused) && strings.HasPrefix(string(refused), "WRONGTYPE") {
			all = append(all, "changed meanwhile")
			return nil
		}
		all = append(all, flattened(reply)...)
		return err
	}
	switch kind {
	case "list":
		err = add("LRANGE", key, "0", "-1")
	case "set":
		if err = add("SMEMBERS", key); err == nil {
			slices.Sort(all[1:])
		}
	case "zset":
		err = add("ZRANGE", key, "0", "-1", "WITHSCORES")
	case "hash":
		if err = add("HGETALL", key); err == nil {
			err = sortFields(c, key, &all)
		}
	case "stream":
		if err = add("XINFO", "STREAM", key, "FULL", "COUNT", "0"); err == nil {
			all = withoutRadixTree(all)
		}
	default:
		err = add("DUMP", key)
	}
	return all, err
}

// flattened returns the texts of a reply and of all that it contains.
func flattened(reply []byte) (all []string) {
	elements, ok := resp.ReadArray(reply)
	if !ok {
		return []string{textOf(reply)}
	}
	all = append(all, strconv.Itoa(elements.Len()))
	for e, more := elements.Next(); more; e, more = elements.Next() {
		all = append(all, flattened(e)...)
	}
	return all
}

// sortFields sorts the fields of a hash, and adds when they expire, which servers from Redis 7.4 on tell.
func sortFields(c *conn, key string, all *[]string) error {
	fields := (*all)[2:]
	pairs, names := make([][2]string, 0, len(fields)/2), []string{"HPEXPIRETIME", key, "FIELDS", strconv.Itoa(len(fields) / 2)}
	for i := 0; i+1 < len(fields); i += 2 {
		pairs = append(pairs, [2]string{fields[i], fields[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	for i, pair := range pairs {
		fields[2*i], fields[2*i+1] = pair[0], pair[1]
		names = append(names, pair[0])
	}
	if len(pairs) == 0 {
		return nil
	}
	reply, err := c.do(names...)
	var refused Error
	if errors.As(err, &refused) {
		return nil // an older server, whose fields do not expire
	}
	*all = append(*all, flattened(reply)...)
	return err
}

// withoutRadixTree removes what XINFO tells of how a stream is stored.
func withoutRadixTree(all []string) (kept []string) {
	for i := 0; i < len(all); i++ {
		if strings.HasPrefix(all[i], "radix-tree-") {
			i++
			continue
		}
		kept = append(kept, all[i])
	}
	return kept
}

// compareVersions compares two versions such as 7.0.15: negative if a is older.
func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return cmp.Compare(m, n)
		}
	}
	return 0
}

// pause returns after some time, or with the error of ctx.
func pause(ctx context.Context, lasts time.Duration) error {
	timer := time.NewTimer(lasts)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}
