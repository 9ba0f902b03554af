package admin

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/redcon"
)

const (
	defaultPause = time.Minute // of PAUSE POOL without a timeout
	maxPause     = time.Hour
)

// drain runs DRAIN.
func (c *console) drain(args []string) ([]byte, error) {
	switch {
	case len(args) != 0:
		return nil, errUsage("drain")
	case c.a.process.Drain == nil:
		return nil, errors.New("this process can't be drained by the console")
	}
	c.a.log.Info("drain asked for by the console")
	c.a.process.Drain()
	return redcon.AppendOK(nil), nil
}

// pause runs PAUSE POOL pool [timeout].
func (c *console) pause(args []string) ([]byte, error) {
	if len(args) < 2 || len(args) > 3 || !strings.EqualFold(args[0], "pool") {
		return nil, errUsage("pause")
	}
	lasts := defaultPause
	if len(args) == 3 {
		var err error
		if lasts, err = time.ParseDuration(args[2]); err != nil || lasts <= 0 || lasts > maxPause {
			return nil, fmt.Errorf("timeout %q: want a time such as 30s, 1h at most", args[2])
		}
	}
	if err := c.a.srv.PausePool(args[1], lasts); err != nil {
		return nil, err
	}
	c.a.log.Warn("pool paused by the console: its requests wait until RESUME POOL or the timeout", "pool", args[1], "timeout", lasts)
	return redcon.AppendOK(nil), nil
}

// resume runs RESUME POOL pool.
func (c *console) resume(args []string) ([]byte, error) {
	if len(args) != 2 || !strings.EqualFold(args[0], "pool") {
		return nil, errUsage("resume")
	}
	was, err := c.a.srv.ResumePool(args[1])
	switch {
	case err != nil:
		return nil, err
	case !was:
		return nil, fmt.Errorf("pool %s is not paused", args[1])
	}
	c.a.log.Info("pool resumed by the console", "pool", args[1])
	return redcon.AppendOK(nil), nil
}
