package server

import (
	"testing"

	"ringway/conf"
)

func TestClientsFitBesideServersIntoTheLimitOfOpenFiles(t *testing.T) {
	t.Parallel()
	cfg := &conf.Config{
		Proxy: conf.Proxy{MaxClients: 1000},
		Pools: []conf.Pool{
			{ServerConnections: 2, Servers: make([]conf.Server, 4)},                       // 4 servers × 5 connections
			{ServerConnections: 1, Shards: make([]conf.Shard, 2), ServerTLS: &conf.TLS{}}, // 2 × 3 × 3
			{ServerConnections: 2, Servers: make([]conf.Server, 1), Databases: 16},        // 7 connections
		},
	}
	const loops, reserved = 2, 2*(3+4*5+2*3*3+7) + 32
	for _, test := range []struct {
		limit uint64
		want  int // 0 means an error
	}{
		{0, 1000}, // unknown
		{1 << 20, 1000},
		{reserved + 1000, 1000},
		{reserved + 999, 999},
		{reserved + 1, 1},
		{reserved, 0},
		{3, 0},
	} {
		got, err := fitClients(cfg, loops, test.limit)
		if got != test.want || (err != nil) != (test.want == 0) {
			t.Errorf("%d files: %d clients, %v; want %d", test.limit, got, err, test.want)
		}
	}
}
