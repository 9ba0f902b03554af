package topology

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

// go-redis prints each failed attempt to standard error, past the proxy's log,
// which has it already.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// NewClient returns a go-redis client for one server of a pool, with the
// pool's credentials and TLS settings and without retries. Its connections, and
// attempts to make one, end with ctx. The caller closes it.
func NewClient(ctx context.Context, c *conf.Pool, s *conf.Server) *redis.Client {
	o := options(ctx, c, conf.Address{Network: s.Network, Addr: s.Addr}, c.ServerTLS)
	o.Username, o.Password, o.DB = c.RedisUser, c.RedisAuth, c.RedisDB
	return redis.NewClient(o)
}

// options are what all clients of a pool have in common.
func options(ctx context.Context, c *conf.Pool, at conf.Address, secure *conf.TLS) *redis.Options {
	o := &redis.Options{
		Network: at.Network, Addr: at.Addr,
		Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1,
		// With fewer, one failed attempt would start a goroutine that goes on
		// trying for a second after Close.
		PoolSize:    2,
		DialTimeout: c.ConnectTimeout, ReadTimeout: c.ConnectTimeout, WriteTimeout: c.ConnectTimeout,
		Dialer: dialer(ctx, c, secure),
	}
	if host, _, err := net.SplitHostPort(at.Addr); err == nil && c.ResolveInterval > 0 {
		if _, err := netip.ParseAddr(host); err != nil {
			o.ConnMaxLifetime = c.ResolveInterval // the next connection resolves the name again
		}
	}
	return o
}

// dialer returns a function that connects for go-redis, with TLS if secure is
// not nil, and with certificates that may be replaced. What it returns reads no
// more than a server has reason to say, and ends with life.
func dialer(life context.Context, c *conf.Pool, secure *conf.TLS) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{KeepAlive: keepAlive}
	var load func() (*tls.Config, error)
	if secure != nil {
		load = secure.Loader()
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
		defer cancel()
		stop := context.AfterFunc(life, cancel)
		defer stop()
		var nc net.Conn
		var err error
		if load == nil {
			nc, err = plain.DialContext(ctx, network, addr)
		} else {
			var config *tls.Config
			if config, err = load(); err != nil {
				return nil, err
			}
			// Where the configuration names no server, the host of addr is its name.
			nc, err = (&tls.Dialer{NetDialer: plain, Config: config}).DialContext(ctx, network, addr)
		}
		if err != nil {
			return nil, err
		}
		return bound(life, nc), nil
	}
}

// execute runs a pipeline, of which each request has an error of its own. The
// error says that none of them was sent, since there is no connection: go-redis
// does not give them that one where AUTH is refused.
func execute(ctx context.Context, pipe redis.Pipeliner) error {
	requests, err := pipe.Exec(ctx)
	for _, r := range requests {
		if r.Err() != nil {
			return nil
		}
	}
	return err
}

// keepAlive is how often TCP asks whether the other end of a silent connection is
// there.
const keepAlive = 15 * time.Second
