package topology

import "testing"

// Valkey says redis_version for the sake of old clients, and its own name and version in reply to HELLO.
func TestHelloIsLearntOverBothProtocols(t *testing.T) {
	for _, reply := range []any{
		[]any{"server", "valkey", "version", "9.1.2", "proto", int64(2)},
		map[any]any{"server": "valkey", "version": "9.1.2", "proto": int64(3)},
	} {
		if name, version := helloField(reply, "server"), helloField(reply, "version"); name != "valkey" || version != "9.1.2" {
			t.Errorf("%v: %q, %q", reply, name, version)
		}
	}
	for _, reply := range []any{nil, "OK", []any{"server"}, []any{"server", int64(1)}, map[any]any{"server": nil}} {
		if name := helloField(reply, "server"); name != "" {
			t.Errorf("%v: %q", reply, name)
		}
	}
}
