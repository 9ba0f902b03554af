package pool

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"sync"

	"ringway/conf"
)

// epoch numbers the rings that a pool has had since its keys began to move from one to another by agreement of
// all instances; 0 for the one before.
const epoch = 0

// ConnectionName returns how the connections of a pool to its servers are named there, for CLIENT
// SETNAME: ringway/INSTANCE/EPOCH; "" if they have no name. Any goroutine may call it.
func ConnectionName(c *conf.Pool, proxy *conf.Proxy) string {
	if !c.ClientSetName {
		return ""
	}
	return fmt.Sprintf("ringway/%s/%d", cmp.Or(proxy.Instance, defaultInstance()), epoch)
}

// defaultInstance returns the name of a process that was given none: host:pid.
var defaultInstance = sync.OnceValue(func() string {
	host, _ := os.Hostname()
	return instanceName(host, os.Getpid())
})

// instanceName returns a name without the characters that CLIENT SETNAME refuses, and without a slash.
func instanceName(host string, pid int) string {
	const longest = 64
	host = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' || c == '/' {
			return '-'
		}
		return c
	}, host)
	return fmt.Sprintf("%s:%d", cmp.Or(host[:min(len(host), longest)], "unknown"), pid)
}
