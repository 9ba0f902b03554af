package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"ringway/conf"
)

func testLocator(t testing.TB, out io.Writer) *locator {
	t.Helper()
	cfg, _, err := conf.Parse([]byte(`
		[pools.alpha]
		listen = "127.0.0.1:22121"
		servers = ["127.0.0.1:6379:1 alpha1", "127.0.0.1:6380:1 alpha2"]`), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := ownerOf(streams{}, &cfg.Pools[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	return &locator{owner: owner, out: out}
}

// Every line is a key, byte for byte, whatever is in it and however long it is.
func FuzzLinesAreKeys(f *testing.F) {
	for _, seed := range []string{"", "\n", "\n\n", "one", "one\ntwo\n", "a\r\n", "a\tb\n", "\x00\xff\n", strings.Repeat("x", 10000) + "\n-"} {
		f.Add([]byte(seed))
	}
	pool := testLocator(f, nil)
	f.Fuzz(func(t *testing.T, text []byte) {
		var out bytes.Buffer
		l := *pool
		l.out = &out
		if err := l.locateLines(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		alone := *pool
		alone.out = &want
		for line := range bytes.Lines(text) {
			if err := alone.locate(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(out.Bytes(), want.Bytes()) {
			t.Errorf("lines of %q located as %q, want %q", text, &out, &want)
		}
	})
}

func TestInputErrorEndsLocate(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var out bytes.Buffer
	in := io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(broken))
	if err := testLocator(t, &out).locateAll([]string{"-"}, in); !errors.Is(err, broken) {
		t.Errorf("locateAll returned %v, want %v", err, broken)
	}
	if !strings.HasPrefix(out.String(), "one\talpha") {
		t.Errorf("printed %q, want the key that was read", &out)
	}
}
