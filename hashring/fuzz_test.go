package hashring

import (
	"bytes"
	"testing"
)

func FuzzTag(f *testing.F) {
	for _, key := range []string{"", "{", "}", "{}", "{}x", "a{}b{c}", "{a}", "x{a}y", "{{a}}", "}{a}", "{a", "a$b$c$d", "$$", "$$x$", "\xfe\xfd\xff"} {
		for _, tag := range []string{"", "{}", "$$", "\xfe\xff"} {
			f.Add([]byte(key), tag)
		}
	}
	f.Fuzz(func(t *testing.T, key []byte, tag string) {
		if len(tag) != 0 && len(tag) != 2 {
			if got := Tag(key, tag); !bytes.Equal(got, key) {
				t.Fatalf("Tag(%q, %q) = %q, want the whole key", key, tag, got)
			}
			return
		}
		if got, want := Tag(key, tag), modelTag(key, tag); !bytes.Equal(got, want) {
			t.Fatalf("Tag(%q, %q) = %q, want %q", key, tag, got, want)
		}
	})
}

func FuzzHashes(f *testing.F) {
	f.Add([]byte("key-1"), true)
	f.Add([]byte("\x80\x81\x82"), false)
	f.Add(bytes.Repeat([]byte{0xff}, 33), true)
	f.Fuzz(func(t *testing.T, key []byte, signed bool) {
		if len(key) == 0 {
			return
		}
		for _, name := range HashNames() {
			hash, _ := LookupHash(name, signed)
			if got, want := hash(key), modelHash(name, key, signed); got != want {
				t.Fatalf("%s(%q), signed %v = %d, want %d", name, key, signed, got, want)
			}
		}
	})
}

// FuzzPlacement compares whole rings with the model. The seed makes the pool
// and the servers that are down.
func FuzzPlacement(f *testing.F) {
	f.Add(uint64(1), []byte("key-1"))
	f.Add(uint64(2), []byte("{a}b"))
	f.Add(uint64(3), []byte(nil))
	f.Fuzz(func(t *testing.T, seed uint64, key []byte) {
		l := newRandomInput(seed)
		cfg := l.pool(6)
		down := l.down(len(cfg.Servers))
		if got, want := mustNew(t, cfg).Without(down).Index(key), newModel(cfg, down).index(key); got != want {
			t.Fatalf("%+v, down %v: %q is on %d, want %d", cfg, down, key, got, want)
		}
	})
}
