package admin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/redcon"
)

// NextMistake stands between two mistakes in the error that RELOAD answers, which is one line.
const NextMistake = " | "

// reload runs RELOAD [MOVEKEYS].
func (c *console) reload(args []string) ([]byte, error) {
	moveKeys := len(args) == 1 && strings.EqualFold(args[0], "movekeys")
	switch {
	case len(args) > 0 && !moveKeys:
		return nil, errUsage("reload")
	case c.a.process.Reload == nil:
		return nil, errors.New("this process has no configuration file to read again")
	}
	lines, err := c.a.process.Reload(moveKeys)
	if err != nil {
		err = fmt.Errorf("nothing has changed: %w", err)
	}
	return asLines(lines, err)
}

// upgrade runs UPGRADE.
func (c *console) upgrade(args []string) ([]byte, error) {
	switch {
	case len(args) > 0:
		return nil, errUsage("upgrade")
	case c.a.process.Upgrade == nil:
		return nil, errors.New("this process can't be upgraded")
	}
	return asLines(c.a.process.Upgrade())
}

// asLines returns the lines as a reply, or the error on one line.
func asLines(lines []string, err error) ([]byte, error) {
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", NextMistake))
	}
	dst := redcon.AppendArray(nil, len(lines))
	for _, line := range lines {
		dst = redcon.AppendBulkString(dst, line)
	}
	return dst, nil
}
