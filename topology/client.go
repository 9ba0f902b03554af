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

// go-redis prints each failed attempt to standard error, around the proxy's log. The log has
// these failures already.
func init() { redis.SetLogger(discardLog{}) }

type discardLog struct{}

func (discardLog) Printf(context.Context, string, ...any) {}

// NewClient returns a go-redis client for one server of a pool, with the pool's credentials
// and TLS settings and without retries. Its connections, and attempts to make one, end with
// ctx. The caller closes it.
func NewClient(ctx context.Context, c *conf.Pool, s *conf.Server) *redis.Client {
	o := options(ctx, c, conf.Address{Network: s.Network, Addr: s.Addr}, c.ServerTLS)
	o.Username, o.Password, o.DB = c.RedisUser, c.RedisAuth, c.RedisDB
	return redis.NewClient(o)
}

// options returns the settings that all go-redis clients of a pool have in common. Credentials
// are the caller's to add: those of servers differ from those of Sentinels.
func options(ctx context.Context, c *conf.Pool, at conf.Address, secure *conf.TLS) *redis.Options {
	o := &redis.Options{
		Network: at.Network, Addr: at.Addr,
		Protocol: 2, DisableIdentity: true,
		MaxRetries: -1, DialerRetries: 1,
		// With a PoolSize of 1, a failed attempt would start a goroutine that keeps
		// dialing for a second after Close.
		PoolSize:    2,
		DialTimeout: c.ConnectTimeout, ReadTimeout: c.ConnectTimeout, WriteTimeout: c.ConnectTimeout,
		Dialer: dialer(ctx, c, secure), OnConnect: nameConnection(ctx),
	}
	if host, _, err := net.SplitHostPort(at.Addr); err == nil && c.ResolveInterval > 0 {
		if _, err := netip.ParseAddr(host); err != nil {
			o.ConnMaxLifetime = c.ResolveInterval // the next connection resolves the name again
		}
	}
	return o
}

// dialer returns a function that connects for go-redis: with TLS if secure is not nil, and
// with certificates that may be replaced while the proxy runs. The connections that it returns
// read no more than a server has reason to send (see boundedConn), and are closed when
// life is done.
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
			// Where the configuration names no server, tls.Dialer verifies the host of addr.
			nc, err = (&tls.Dialer{NetDialer: plain, Config: config}).DialContext(ctx, network, addr)
		}
		if err != nil {
			return nil, err
		}
		return bound(life, nc), nil
	}
}

// execute runs a pipeline in which each request has an error of its own. The error that it
// returns means that no request was sent, since there was no connection: where AUTH is
// refused, go-redis does not give that error to the requests.
func execute(ctx context.Context, pipe redis.Pipeliner) error {
	requests, err := pipe.Exec(ctx)
	for _, r := range requests {
		if r.Err() != nil {
			return nil
		}
	}
	return err
}

// keepAlive is how often TCP asks whether the other end of a silent connection still exists.
const keepAlive = 15 * time.Second
