package bench

import (
	"os"
	"testing"
)

// asMain, when set in the environment, makes the test binary run Main, so that
// tests can start null servers in processes of their own.
const asMain = "RINGWAY_BENCH_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "1" {
		args := os.Args[1:]
		if len(args) > 0 && args[0] == "bench" {
			args = args[1:] // as ringway does before it calls Main
		}
		os.Exit(Main(args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}
