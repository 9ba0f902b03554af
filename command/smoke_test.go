package command

import "testing"

func BenchmarkLookup(b *testing.B) {
	for _, name := range []string{"GET", "set", "MGET", "EXPIRE", "zrangebyscore", "georadiusbymember_ro"} {
		b.Run(name, func(b *testing.B) {
			args := [][]byte{[]byte(name), []byte("k")}
			for b.Loop() {
				if c, _ := Lookup(args); c == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}
