package mover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringway/conf"
)

// target is where a source writes. It also sees what takes copies away there: a FLUSHALL or a SWAPDB that clients
// send to a server which is a source of other keys, and eviction.
type target struct {
	c       *conn
	flushes *follower // of no key; it gets the nulls
	losses  string    // see lossesAt
}

// connectTarget connects to a server, for what a source writes there.
func connectTarget(ctx context.Context, p *conf.Pool, s *conf.Server, source string) (t *target, err error) {
	t = &target{}
	if t.flushes, err = startFollowingSome(ctx, p, s, nil, reserved); err != nil {
		return nil, err
	}
	if t.c, err = dial(ctx, p, s); err == nil {
		err = t.fence(ctx, source)
	}
	if err == nil {
		t.losses, err = lossesAt(t.c)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *target) close() {
	t.flushes.close()
	if t.c != nil {
		t.c.close()
	}
}

// fenceWait is how long a connection of another process that has ended may take to be gone.
const fenceWait = 2 * time.Second

// fence makes this the only connection that writes keys of a source. What an earlier one has sent may lie in its
// buffers, and would be executed behind newer values: those of this process are killed, and for those of another one, which
// may be copying, the error says so if they stay.
func (t *target) fence(ctx context.Context, source string) error {
	role := "/writes/" + source
	if _, err := t.c.do("CLIENT", "SETNAME", connectionName()+role); err != nil {
		return err
	}
	mine, err := t.c.text("CLIENT", "ID")
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(fenceWait); ; {
		list, err := t.c.text("CLIENT", "LIST")
		if err != nil {
			return err
		}
		other := ""
		for line := range strings.Lines(list) {
			fields := clientFields(line)
			if !strings.HasSuffix(fields["name"], role) || fields["id"] == mine {
				continue
			}
			if fields["name"] != connectionName()+role {
				other = fields["addr"]
			} else if _, err := t.c.do("CLIENT", "KILL", "ID", fields["id"]); err != nil {
				return err
			}
		}
		switch {
		case other == "":
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w: its connection comes from %s", errAnother, other)
		}
		if err := pause(ctx, interval); err != nil {
			return err
		}
	}
}

// errAnother ends a run: another process copies the same keys.
var errAnother = errors.New("another copy of these keys is running")

// flushed reports whether it is known that all copies may be gone.
func (t *target) flushed() error {
	select {
	case <-t.flushes.ended:
		return t.flushes.err
	default:
	}
	if t.flushes.changed.tookAll() {
		return fmt.Errorf("a target was emptied (FLUSHALL, FLUSHDB): %w", errAgain)
	}
	return nil
}

// check returns an error if copies may have been lost at the target until the call.
func (t *target) check() error {
	if err := t.flushes.barrier(); err != nil {
		return err
	}
	if err := t.flushed(); err != nil {
		return err
	}
	losses, err := lossesAt(t.c)
	if err == nil && losses != t.losses {
		err = fmt.Errorf("a target has swapped its databases, or evicted keys: %w", errAgain)
	}
	return err
}

// lossesAt returns counts of a server that change when it swaps databases or evicts keys.
func lossesAt(c *conn) (string, error) {
	swaps, err := databaseSwaps(c)
	if err != nil {
		return "", err
	}
	info, err := c.text("INFO", "stats")
	for line := range strings.Lines(info) {
		if evicted, ok := strings.CutPrefix(line, "evicted_keys:"); ok {
			return swaps + " " + strings.TrimSpace(evicted), nil
		}
	}
	return swaps, err
}
