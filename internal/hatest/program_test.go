package hatest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// runProgram runs the program with a configuration until the test ends, and returns when
// it listens. The command line begins with before, which may run it in another network
// namespace.
func runProgram(t testing.TB, text string, before ...string) *redistest.Process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ringway.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	command := append(before[:len(before):len(before)], binary, "-c", path)
	process := redistest.StartProcess(t, command[0], command[1:]...)
	redistest.Eventually(t, time.Minute, "the proxy listens", func() bool {
		return strings.Contains(process.Output(), "listening")
	})
	return process
}

// buildDir is the directory of the program that build made; "" before.
var buildDir string

func TestMain(m *testing.M) {
	code := redistest.RunCheckingLeaks(m)
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// build compiles the program, once for all tests, with the race detector if the tests are
// run with it.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ringway-hatest")
	if err != nil {
		return "", err
	}
	buildDir = dir
	path := filepath.Join(dir, "ringway")
	output, err := exec.Command("go", "build", "-pgo=off", "-race="+strconv.FormatBool(raceDetector()), "-o", path, "ringway/cmd/ringway").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build of ringway: %w\n%s", err, output)
	}
	return path, nil
})

// raceDetector reports whether the tests were built with the race detector.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
