package mover

import (
	"context"
	"crypto/tls"
	"net"

	"ringway/conf"
)

// secured returns nc with the pool's TLS to servers, or as it is. It closes nc if the handshake fails.
func secured(ctx context.Context, nc net.Conn, p *conf.Pool, s *conf.Server) (net.Conn, error) {
	if p.ServerTLS == nil {
		return nc, nil
	}
	config, err := p.ServerTLS.Loader()()
	if err != nil {
		nc.Close()
		return nil, err
	}
	if config.ServerName == "" {
		// As tls.Dialer does.
		if host, _, err := net.SplitHostPort(s.Addr); err == nil {
			config = config.Clone()
			config.ServerName = host
		}
	}
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return secure, nil
}
