package topology

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"ringway/pool"
)

// poolKey is the key of a context's pool, after which connections are named.
type poolKey struct{}

// named returns a context under which connections have the name of p's.
func named(ctx context.Context, p *pool.Pool) context.Context {
	return context.WithValue(ctx, poolKey{}, p)
}

// nameConnection gives a connection the name that those of the data path have. A server may refuse that; an
// error is of the connection.
func nameConnection(life context.Context) func(context.Context, *redis.Conn) error {
	p, ok := life.Value(poolKey{}).(*pool.Pool)
	if !ok {
		return nil
	}
	return func(ctx context.Context, c *redis.Conn) error {
		name := pool.ConnectionName(p.Conf(), p.Proxy())
		if name == "" {
			return nil
		}
		var refused redis.Error
		if err := c.ClientSetName(ctx, name).Err(); err != nil && !errors.As(err, &refused) {
			return err
		}
		return nil
	}
}
