package conf

import (
	"slices"
	"strings"
	"testing"

	"ringway/hashring"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	settings := []string{"listen", "hash", "hash_tag", "timeout", "warn", "server_retry_timeout"}
	for _, test := range []struct {
		known []string
		words map[string]string
	}{
		{settings, map[string]string{
			"lisen": "listen", "Listen": "listen", "lsiten": "listen", "HASH-TAG": "hash_tag", "hahs": "hash",
			"time-out": "timeout", "warning": "warn", "retry_timeout": "", "x": "", "": "", "colour": "", "_": "",
			"ServerRetryTimeout": "server_retry_timeout", strings.Repeat("listen", 100): "",
		}},
		{hashring.HashNames(), map[string]string{
			"fnv1a64": "fnv1a_64", "FNV1A-64": "fnv1a_64", "fnv164": "fnv1_64", "fnv1_a64": "fnv1a_64",
			"fnv1a": "fnv1a_64 fnv1a_32", "fnv1b_64": "fnv1_64 fnv1a_64", "fnv1_46": "fnv1_64",
			"crc": "crc16 crc32 crc32a", "fnv": "fnv1_64 fnv1a_64 fnv1_32 fnv1a_32",
		}},
	} {
		for word, want := range test.words {
			if got := strings.Join(Nearest(word, test.known), " "); got != want {
				t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
			}
		}
	}
}

// No message lists dozens of words, and each says what to do.
func TestUnknownWordsGetShortMessages(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"timout":          "is unknown; the nearest is timeout",
		"servr":           "is unknown; the nearest is servers",
		"server_timeout":  "is unknown; the nearest are server_retry_timeout, timeout, connect_timeout, server_connections and server_failure_limit",
		"max_connections": "is unknown; the nearest are client_connections, server_connections and pinned_connections",
		"colour":          "is unknown; examples/ringway.toml shows all that there are",
	} {
		known := slices.DeleteFunc(slices.Clone(poolNames), func(name string) bool {
			return strings.HasPrefix(name, "server_tls") || strings.HasPrefix(name, "max_")
		})
		if got := unknown(word, known); !strings.HasPrefix(got, want) {
			t.Errorf("unknown(%q) = %q, want %q", word, got, want)
		}
	}
}

// A message recommends no hash that merely resembles the word: every key would move.
func TestUnknownHashesGetAllNames(t *testing.T) {
	t.Parallel()
	for word, want := range map[string][]string{
		"fnv1a64": {"is unknown; want fnv1a_64"},
		"Murmur":  {"is unknown; want murmur"},
		"murmur3": {"is unknown; the nearest in writing is murmur; want the one by which the keys are placed today, out of one_at_a_time, "},
		"fnv64a":  {"want the one by which the keys are placed today, out of one_at_a_time, ", " and xxhash64"},
		"sha256":  {"want the one by which the keys are placed today, out of one_at_a_time, ", " and xxhash64"},
	} {
		got := unknownPlacement(word, hashring.HashNames())
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("unknownPlacement(%q) = %q, want %q", word, got, part)
			}
		}
		if strings.HasPrefix(want[0], "is unknown; want fnv") && got != want[0] {
			t.Errorf("unknownPlacement(%q) = %q, want %q and no more", word, got, want[0])
		}
	}
}
