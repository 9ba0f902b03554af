package conf_test

import (
	"errors"
	"fmt"

	"ringway/conf"
	"ringway/hashring"
)

// A text becomes a Config, and a pool's part of it a ring that places keys.
func Example() {
	text := `
[pools.alpha]
listen = "127.0.0.1:22121"
hash = "fnv1a_64"
hash_tag = "{}"
timeout = "400ms"
servers = ["127.0.0.1:6379:1 alpha1", "127.0.0.1:6380:1 alpha2"]
`
	cfg, warnings, err := conf.Parse([]byte(text), "ringway.toml")
	if err != nil {
		fmt.Println(err)
		return
	}
	pool := &cfg.Pools[0]
	ring, err := hashring.New(pool.Ring())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(warnings), "warnings")
	fmt.Println(pool.Name, "at", pool.Listen.Addr, "with a timeout of", pool.Timeout)
	fmt.Println("user:1 is on", pool.Servers[ring.Index([]byte("user:1"))].Name)
	// Output:
	// 0 warnings
	// alpha at 127.0.0.1:22121 with a timeout of 400ms
	// user:1 is on alpha1
}

// All mistakes of a text are reported at once.
func ExampleParse_mistakes() {
	text := `
[pools.alpha]
listen = "127.0.0.1:22121"
timout = "400ms"
servers = ["127.0.0.1"]
`
	_, _, err := conf.Parse([]byte(text), "ringway.toml")
	var mistakes conf.Mistakes
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			fmt.Printf("line %d, column %d: %s\n", m.Line, m.Column, m.Message)
		}
	}
	// Output:
	// line 4, column 1: key "timout" is unknown; the nearest is timeout
	// line 5, column 12: servers entry "127.0.0.1": want "host:port:weight name" or "/path:weight name"; weight and name may be left out
}

// Loader reads certificate files again after they have changed.
func ExampleTLS_Loader() {
	settings := &conf.TLS{ServerName: "redis.example.com"} // the system's certificates
	load := settings.Loader()
	config, err := load()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(config.ServerName, config.RootCAs == nil)
	// Output: redis.example.com true
}
