package frameworks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cache returns the directory in which scripts/deps-frameworks installed what the
// programs need. Without it the test is skipped: it takes long, and its programs are
// not on every machine.
func cache(t *testing.T) string {
	dir := os.Getenv("RINGWAY_FRAMEWORKS")
	if dir == "" {
		t.Skip("runs with make frameworks")
	}
	return dir
}

// command returns the command line that runs a program of testdata, such as
// "node/bullmq.mjs" or "go/asynq", and the directory to run it in.
func command(t *testing.T, program string) (dir string, args []string) {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	language, name := filepath.Split(program)
	dir = filepath.Join(dir, language)
	switch strings.TrimSuffix(language, "/") {
	case "node":
		// Modules are looked for beside the importing file.
		modules := filepath.Join(cache(t), "node")
		copyTo(t, modules, dir)
		return modules, []string{"node", name}
	case "python":
		return dir, []string{"/usr/bin/python3", "-B", name}
	case "ruby":
		return dir, []string{"ruby", name}
	case "php":
		return dir, []string{"php", name}
	case "perl":
		return dir, []string{"perl", name}
	case "go":
		return dir, []string{build(t, dir, "go", "build", "-o", "OUT", "./"+name)}
	case "c":
		return dir, []string{build(t, dir, "cc", "-o", "OUT", name, "-lhiredis")}
	}
	t.Fatalf("%s: no such language", program)
	return "", nil
}

// build runs a compiler, with a path of its own in place of "OUT", and returns that path.
func build(t *testing.T, dir string, args ...string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(strings.Join(args, " ")))
	out := filepath.Join(cache(t), "built-"+hex.EncodeToString(sum[:6]))
	args[slices.Index(args, "OUT")] = out
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return out
}

// copyTo copies the files of one directory into another.
func copyTo(t *testing.T, to, from string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(name)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// programTime bounds one run of a program. It is far above the usual few seconds: a
// request that is never answered keeps some libraries waiting until then.
const programTime = 3 * time.Minute

// result is what one run of a program printed.
type result struct {
	versions []string          // "bullmq 6.7.0"
	checks   []string          // their names in order
	failed   map[string]string // check → reason
	output   string            // all of it, for the log
}

// run runs a program against the Redis, or what looks like one, at addr.
func run(t *testing.T, program, addr string) result {
	t.Helper()
	dir, args := command(t, program)
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = environment(t, addr)
	// The program's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	r := parse(output.String())
	if err != nil {
		r.checks = append(r.checks, "ends")
		r.failed["ends"] = err.Error()
	}
	return r
}

// environment returns what programs find in their environment: the address, and nothing
// that could lead them elsewhere.
func environment(t *testing.T, addr string) []string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	return []string{
		"REDIS_HOST=" + host, "REDIS_PORT=" + port, "REDIS_URL=redis://" + addr,
		"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin", "HOME=" + scratch, "TMPDIR=" + scratch, "LANG=C.UTF-8", "TZ=UTC",
	}
}

func parse(output string) result {
	r := result{failed: map[string]string{}, output: output}
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if version, ok := strings.CutPrefix(line, "version "); ok {
			r.versions = append(r.versions, version)
		} else if check, ok := strings.CutPrefix(line, "ok "); ok {
			r.checks = append(r.checks, check)
		} else if rest, ok := strings.CutPrefix(line, "not ok "); ok {
			check, reason, _ := strings.Cut(rest, ": ")
			r.checks = append(r.checks, check)
			r.failed[check] = reason
		}
	}
	return r
}
