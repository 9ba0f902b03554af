package bench

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

// run executes a command line as Main would, without a Ringway of its own.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	o, err := parseOptions(args, &out)
	if err != nil {
		return exitUsage, "", err.Error()
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asMain, "1")
	o.self = []string{self, "bench"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	code = o.execute(ctx, &out, &errs)
	return code, out.String(), errs.String()
}

// small returns options that make any run short.
func small() []string {
	duration := "150ms"
	if testing.Short() {
		duration = "60ms"
	}
	return []string{"--rounds", "2", "--duration", duration, "--warmup", "10ms", "--settle", "1ms"}
}

func TestTinyRunLeavesEveryKindOfResult(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	args := append([]string{"--op", "get,set,mget", "-c", "4", "-P", "1,8", "--keys", "100", "--backend", "null", "--base", "direct", "--targets", "direct,ringway,null",
		"--json", file("r.json"), "--html", file("r.html"), "--gobench", file("r.txt"), "--svg", file("svg"), "--results", file("kept")}, small()...)
	code, stdout, stderr := run(t, args...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if !strings.Contains(stderr, "skipped: ringway: no binary") {
		t.Errorf("what was skipped is not said:\n%s", stderr)
	}
	rep, err := ReadReport(file("r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Rows) != 6 || rep.Machine.Cores == 0 || rep.Command == "" || rep.Machine.Commit == "" {
		t.Errorf("%d rows, machine %+v", len(rep.Rows), rep.Machine)
	}
	for _, row := range rep.Rows {
		for _, name := range []string{nameDirect, nameNull} {
			if r := row.result(name); r == nil || len(r.Rounds) != 2 || r.Median.RPS == 0 || r.Median.P99 == 0 {
				t.Errorf("%s on %s: %+v", name, row.Work.Name, r)
			}
		}
	}
	for _, pattern := range []string{"r.html", "r.txt", "kept/*.json"} {
		if found, _ := filepath.Glob(file(pattern)); len(found) == 0 {
			t.Errorf("no %s", pattern)
		}
	}
	if code, stdout, _ := run(t, "--from", file("r.json")); code != exitOK || !strings.Contains(stdout, "mget10-c4-p8") {
		t.Errorf("table from kept results: exit code %d\n%s", code, stdout)
	}
}

func TestOpenLoopsAreMeasuredForLonger(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	code, stdout, stderr := run(t, append([]string{"--only", "^get-c50-p1$|^open-get-half-p1$", "--backend", "null", "--targets", "direct", "--base", "direct", "--json", file}, small()...)...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	rep, err := ReadReport(file)
	if err != nil {
		t.Fatal(err)
	}
	took := func(name string) float64 {
		m := rep.row(name).result(nameDirect).Median
		return m.Requests / m.RPS
	}
	if closed, open := took("get-c50-p1"), took("open-get-half-p1"); open < 2*closed {
		t.Errorf("measured for %.3f s, and the open loop for %.3f s", closed, open)
	}
}

func TestProxiesInFrontOfRedisAnswerRightly(t *testing.T) {
	if testing.Short() {
		t.Skip("starts redis-server and proxies")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(err)
	}
	code, stdout, stderr := run(t, append([]string{"--op", "mix,mget,mset", "-c", "4", "-P", "2", "--keys", "100"}, small()...)...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// standIn writes a program that reads its address from the configuration that a
// Ringway would get and answers there as a null server.
func standIn(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "ringway")
	script := "#!/bin/sh\n[ \"$1\" = -c ] || exit 2\n" +
		`listen=$(sed -n 's/^listen = "\(.*\)"$/\1/p' "$2")` + "\nexec '" + self + "' bench null-server --listen \"$listen\"\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// SETs that are merged are a row of their own.
func TestMergedSetsAreMeasuredThroughAnotherRingway(t *testing.T) {
	var texts []string
	for _, only := range []string{"^set-c50-p64$", "^set-c50-p64-merged$"} {
		o, err := parseOptions([]string{"--only", only, "--backend", "null", "--targets", "ringway", "--ringway", standIn(t)}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(asMain, "1")
		f, err := startFleet(fleetOptions{Self: []string{self, "bench"}, Null: true, Only: o.targets, Ringway: o.builds(), Merging: o.merging()})
		if err != nil {
			t.Fatal(err)
		}
		defer f.close()
		if reason := skipReason(o.work[0], f.Targets[0]); reason != "" {
			t.Errorf("%s is left out: %s", only, reason)
		}
		texts = append(texts, f.Targets[0].running(o.work[0]).Config)
	}
	if !strings.Contains(texts[0], "merge_sets = false\n") || !strings.Contains(texts[1], "merge_sets = true\n") {
		t.Errorf("plain:\n%s\nmerged:\n%s", texts[0], texts[1])
	}
	if reason := skipReason(Workload{MergeSets: true}, &Target{Name: "ringway-running"}); reason == "" {
		t.Error("a Ringway that runs already is measured, whatever it does with SETs")
	}
}

func TestRingwayIsStartedOncePerBuildAndNumberOfLoops(t *testing.T) {
	path, file := standIn(t), filepath.Join(t.TempDir(), "r.json")
	code, stdout, stderr := run(t, append([]string{"--op", "get", "-c", "2", "--keys", "50", "--backend", "null", "--targets", "ringway",
		"--ringway", path, "--ringway", "new=" + path, "--loops", "1,2", "--json", file}, small()...)...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	rep, err := ReadReport(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ringway-1loops", "ringway-2loops", "ringway-new-1loops", "ringway-new-2loops"} {
		if i >= len(rep.Targets) || rep.Targets[i].Name != want {
			t.Fatalf("targets %+v, want %s at %d", rep.Targets, want, i)
		}
		for _, line := range []string{"[pools.bench]", `hash = "fnv1a_64"`, `distribution = "ketama"`, ":1 server4\","} {
			if !strings.Contains(rep.Targets[i].Config, line) {
				t.Errorf("%s: no %s in its configuration\n%s", want, line, rep.Targets[i].Config)
			}
		}
	}
}

func TestWrongRepliesAreReported(t *testing.T) {
	target := fake(t, func(conn redcon.Conn, cmd redcon.Command) {
		if strings.EqualFold(string(cmd.Args[0]), "get") && string(cmd.Args[1]) != "bench:ready" {
			cmd.Args[1] = appendKey(nil, 3, 64) // the value of another key
		}
		answerNull(conn, cmd)
	})
	code, stdout, stderr := run(t, append([]string{"--targets", "none", "--target", "liar=" + target.Addr, "--backend", "null",
		"--op", "get", "-c", "2", "--keys", "50"}, small()...)...)
	if code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	for _, text := range []string{stdout, stderr} {
		if !strings.Contains(text, "liar on get-c2-p1:") || !strings.Contains(text, "wrong replies") {
			t.Errorf("nothing about wrong replies in\n%s", text)
		}
	}
	if !strings.Contains(stderr, "WRONG") || !strings.Contains(stderr, errWrongReplies.Error()) {
		t.Errorf("not loud enough:\n%s", stderr)
	}
}

func TestWrongArgumentsAreExplained(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := Main(args, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%v: exit code %d, %q; want %q", args, code, stderr.String(), want)
		}
	}
	f(`no set "all"`, "--set", "all")
	f("want NAME=HOST:PORT", "--target", "127.0.0.1:1")
	f("is no process id", "--target", "a=127.0.0.1:1,x")
	f("flags only", "get")
	f("not defined", "--nonsense")
	f(`"many" is no number`, "--op", "get", "-c", "many")
	f("--backend", "--backend", "memcached")
	f("--rounds", "--rounds", "-1")
	f("--rounds 0: want 1 to 1000", "--rounds", "0")
	f("--rounds 0: want 1 to 1000", "-P", "2", "--rounds", "0")
	f("--duration 0", "--duration", "0")
	f("--settle", "--settle", "-1s")
	f("--loops 0", "--loops", "0")
	f("-c \"0\": want 1 or more", "-c", "0")
	f("-c \"-3\": want 1 or more", "-c", "-3")
	f("-P \"1,0\": want 1 or more", "-P", "1,0")
	f("-d \"0\": want 1 or more", "-d", "0")
	f("is no number", "-P", "x")
	f("want a number", "-P", ",")
	f("--keys 0: want 1 or more", "--keys", "0")
	f("--op: want get, set, mix, mget or mset", "--op", "")
	f("-P with --quick: a set has loads of its own", "--quick", "-P", "64")
	f("--op with --set: a set has loads of its own", "--set", "memory", "--op", "get")
	f("--fanout with --op get", "--fanout", "5")
	f("--set-percent with --op get,set", "--op", "get,set", "--set-percent", "5")
	f("--base \"foo\": want one of what is measured: direct, haproxy, nutcracker, ringway, null", "--base", "foo")
	f("--base \"nutcracker\": want one of what is measured: direct", "--base", "nutcracker", "--targets", "direct")
	f("--base \"ringway\": want one of what is measured: ringway-1loops, other", "--base", "ringway", "--targets", "ringway", "--loops", "1", "--target", "other=127.0.0.1:1")
	f("--targets \"redis\": want direct, haproxy, nutcracker, ringway, null, or none", "--targets", "redis")
	f("no such file", "--ringway", "/no/such/file")
	f("--threads", "--threads", "0")
	f("--only", "--only", "(")
	f("no workload is left", "--only", "nothing")
	f("pipeline is 9999", "--op", "get", "-P", "9999")
	f("want 0 to", "--duration", "-1s")
	f("usage: bench null-server", "null-server", "--port", "1")
}

// A flag that describes a load runs that load, and not the eight minutes of a set.
func TestFlagsOfALoadRunThatLoad(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-P", "64"}, "get-c50-p64"},
		{[]string{"-c", "3"}, "get-c3-p1"},
		{[]string{"-d", "1024"}, "get-c50-p1-1KiB"},
		{[]string{"--keys", "10"}, "get-c50-p1"},
		{[]string{"--zipf", "1.5"}, "get-c50-p1-zipf"},
		{[]string{"--rate", "1000"}, "get-c50-p1-open1000"},
		{[]string{"--go-redis"}, "get-c50-p1-goredis"},
		{[]string{"--op", "mget", "--fanout", "5,6", "--only", "^mget5"}, "mget5-c50-p1"},
	} {
		o, err := parseOptions(test.args, io.Discard)
		if err != nil || len(o.work) != 1 || o.work[0].Name != test.want || o.rounds != 3 {
			t.Errorf("%v: %+v, %v, want %s", test.args, o, err, test.want)
		}
	}
	o, err := parseOptions([]string{"--warmup", "0", "--rounds", "2"}, io.Discard)
	if err != nil || o.timing.Warmup != 0 || o.rounds != 2 || len(o.work) < 20 {
		t.Errorf("the standard set: %+v, %v", o, err)
	}
}

func TestHelpAndListNeedNoServers(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"--help"}, &stdout, &stderr); code != exitOK || !strings.Contains(stdout.String(), "ringway bench --quick") || stderr.Len() > 0 {
		t.Errorf("exit code %d, %s, and as errors %s", code, stdout.String(), stderr.String())
	}
	if code := Main([]string{"--list"}, &stdout, &stderr); code != exitOK || !strings.Contains(stdout.String(), "mget100-c50-p16") {
		t.Errorf("exit code %d, %s", code, stdout.String())
	}
}

func TestHarnessDoesNotStartHarnesses(t *testing.T) {
	t.Setenv(nestedEnv, "1")
	if code, _, stderr := run(t, "--quick"); code != exitFailure || !strings.Contains(stderr, errNested.Error()) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestProcessThatEndsIsSkippedWithItsOutput(t *testing.T) {
	s := newSpawner()
	defer s.close()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	c, err := s.start("sh", t.TempDir(), sh, "-c", "echo no such pool; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	if err := awaitReady(addr, c); err == nil || !strings.Contains(err.Error(), "no such pool") {
		t.Errorf("error %v", err)
	}
}

func TestCloseEndsEveryProcess(t *testing.T) {
	s := newSpawner()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	for range 3 {
		if _, err := s.start("sleep", t.TempDir(), sleep, "600"); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	for _, c := range s.children {
		select {
		case <-c.done:
		default:
			t.Errorf("process %d is still there", c.pid())
		}
	}
	s.close() // a second time does nothing
}
