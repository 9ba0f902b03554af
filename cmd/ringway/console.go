package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"ringway/conf"
)

// defaultAdmin is where a proxy's console is looked for if nothing else is said.
const defaultAdmin = "127.0.0.1:9180"

// consoleAddr is where the console of a running proxy is, and its password.
type consoleAddr struct{ network, addr, password string }

// register adds the flags that name a console.
func (c *consoleAddr) register(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "admin", "", "`ADDR` of its console; the default is that of -c, or "+defaultAdmin)
	fs.StringVar(&c.password, "password", "", "`PASSWORD` of its console; the default is that of -c")
}

// complete takes what the flags do not say from a configuration; cfg may be nil.
func (c *consoleAddr) complete(cfg *conf.Config) error {
	c.network = "tcp"
	if strings.HasPrefix(c.addr, "/") {
		c.network = "unix"
	}
	if cfg == nil {
		c.addr = cmp.Or(c.addr, defaultAdmin)
		return nil
	}
	if c.addr == "" {
		if cfg.Admin.Listen.Addr == "" {
			return fmt.Errorf("%s has no [admin] table, so its proxy has no console", cfg.Path)
		}
		c.network, c.addr = cfg.Admin.Listen.Network, cfg.Admin.Listen.Addr
	}
	c.password = cmp.Or(c.password, cfg.Admin.Password)
	return nil
}

// client returns a client of the console, which the caller closes. Answers may take as long as timeout.
func (c *consoleAddr) client(protocol int, timeout time.Duration) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: c.network, Addr: c.addr, Password: c.password, Protocol: protocol, DisableIdentity: true, MaxRetries: -1, DialTimeout: statusTimeout, ReadTimeout: timeout,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// explainConsole returns an error of the console as people read it.
func explainConsole(err error) error {
	var answer redis.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return errors.New(strings.TrimPrefix(err.Error(), "ERR "))
	}
	return fmt.Errorf("%w; is the proxy running, with this address in [admin]?", err)
}
