package bench

import (
	"bytes"
	"testing"
)

func TestValueRepeatsItsHeader(t *testing.T) {
	for _, size := range []int{16, 17, 31, 32, 33, 64, 1000, 16 << 10, 1 << 20} {
		v := appendValue([]byte("before"), 1234, size)[len("before"):]
		if len(v) != size {
			t.Fatalf("value of %d bytes has %d", size, len(v))
		}
		h := valueHeader(1234, size)
		for i := range v {
			if v[i] != h[i%headerLen] {
				t.Fatalf("value of %d bytes differs at %d", size, i)
			}
		}
	}
}

func TestKeyRoundTrip(t *testing.T) {
	for _, k := range []int{0, 1, 99, maxKeys} {
		for _, size := range []int{minValue, 64, maxValue} {
			key := appendKey(nil, k, size)
			if len(key) != keyLen {
				t.Fatalf("key %q has %d bytes", key, len(key))
			}
			if gotK, gotSize, ok := parseKey(key); !ok || gotK != k || gotSize != size {
				t.Errorf("parseKey(%q) = %d, %d, %v", key, gotK, gotSize, ok)
			}
		}
	}
	for _, bad := range []string{"", "bench:ready", "bench:0000064:0000000x", "bench:0000000:00000001", "cache:0000064:00000001"} {
		if _, _, ok := parseKey([]byte(bad)); ok {
			t.Errorf("parseKey(%q) is ok", bad)
		}
	}
}

func TestForeignBytesNeverMatch(t *testing.T) {
	const size = 100
	h := valueHeader(7, size)
	right := appendValue(nil, 7, size)
	for at := 0; at <= size; at++ {
		if !matchesAt(right[:at], &h, 0) || !matchesAt(right[at:], &h, at) {
			t.Fatalf("right value does not match when cut at %d", at)
		}
	}
	for i := range right {
		wrong := bytes.Clone(right)
		wrong[i] ^= 1
		if matchesAt(wrong, &h, 0) {
			t.Fatalf("value with byte %d changed matches", i)
		}
	}
	if other := appendValue(nil, 8, size); matchesAt(other, &h, 0) {
		t.Error("the value of another key matches")
	}
	if matchesAt(right[1:], &h, 0) {
		t.Error("a value shifted by one byte matches")
	}
}

func TestRequestsAreWhatRedisReads(t *testing.T) {
	key := func(k int) string { return string(appendKey(nil, k, 16)) }
	val := func(k int) string { return string(appendValue(nil, k, 16)) }
	f := func(kind Op, fanout int, keys []uint32, want string) {
		t.Helper()
		got := newEncoder(Workload{Value: 16, Fanout: fanout}).appendRequest(nil, kind, keys)
		if string(got) != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
	f(OpGet, 1, []uint32{12}, "*2\r\n$3\r\nGET\r\n$22\r\n"+key(12)+"\r\n")
	f(OpSet, 1, []uint32{12}, "*3\r\n$3\r\nSET\r\n$22\r\n"+key(12)+"\r\n$16\r\n"+val(12)+"\r\n")
	f(OpMGet, 2, []uint32{1, 2}, "*3\r\n$4\r\nMGET\r\n$22\r\n"+key(1)+"\r\n$22\r\n"+key(2)+"\r\n")
	f(OpMSet, 1, []uint32{3}, "*3\r\n$4\r\nMSET\r\n$22\r\n"+key(3)+"\r\n$16\r\n"+val(3)+"\r\n")
}

// FuzzParseKey checks that whatever is taken for a key of the harness is one.
func FuzzParseKey(f *testing.F) {
	f.Add(appendKey(nil, 5, 64))
	f.Add([]byte("bench:0000064:0000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, size, ok := parseKey(b); ok && !bytes.Equal(appendKey(nil, k, size), b) {
			t.Errorf("parseKey(%q) = %d, %d", b, k, size)
		}
	})
}
