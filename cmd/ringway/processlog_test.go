package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// A log that is not read delays neither requests nor the end of the process.
func TestStalledStandardErrorStopsNothing(t *testing.T) {
	t.Parallel()
	addr := redistest.FreeAddr(t)
	path, err := exec.LookPath("ringway")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "-c", configFile(t, addr, []string{"127.0.0.1:1 a", "127.0.0.1:2 b"}))
	cmd.Stderr = fullPipe(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	redistest.Eventually(t, patience, "ringway listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	client := redistest.Dial(t, "tcp", addr)
	for _, key := range []string{"one", "two", "three", "four"} { // the loop logs that servers are down
		for range 3 {
			if got := client.Do("GET", key); !strings.HasPrefix(got, "-ERR ") {
				t.Errorf("GET %s answered %q", key, got)
			}
		}
	}
	if got := client.Do("ECHO", "there"); got != "$5\r\nthere\r\n" {
		t.Errorf("ECHO answered %q", got)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the process ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the process does not end")
	}
}

// fullPipe returns the write end of a pipe whose buffer is full.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(ends[0]) })
	if err := syscall.SetNonblock(ends[1], true); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil || err == syscall.EINTR {
		_, err = syscall.Write(ends[1], make([]byte, 1))
	}
	if err != syscall.EAGAIN {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(ends[1], false); err != nil { // as a program finds it
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(ends[1]), "full pipe")
	t.Cleanup(func() { w.Close() })
	return w
}

// blockedWriter is a writer that blocks until it is opened.
type blockedWriter struct {
	open  chan struct{}
	lines atomic.Value
}

func (g *blockedWriter) Write(b []byte) (int, error) {
	<-g.open
	old, _ := g.lines.Load().(string)
	g.lines.Store(old + string(b))
	return len(b), nil
}

func TestLogSaysHowManyLinesWereDropped(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		g := &blockedWriter{open: make(chan struct{})}
		p := &conf.Proxy{LogLevel: slog.LevelError, LogFormat: format}
		log := newProcessLog(g, p)
		const most = 2*logQueueBytes/100 + 10 // each line has more than 100 bytes
		for range most {
			fmt.Fprintln(log.lines, strings.Repeat("x", 100)) // past the bound on lines that repeat
		}
		close(g.open)
		if !log.lines.Close(patience) {
			t.Fatal("the log is not written")
		}
		text := g.lines.Load().(string)
		m := regexp.MustCompile(`WARN.*log lines dropped.*lines\W+(\d+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s: nothing says that lines were dropped: %q", format, text[len(text)-500:])
		}
	}
}

func TestLogCountsLinesThatRepeat(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := newProcessLog(&text, &conf.Proxy{LogFormat: "json"})
	for range logRepeats + 12 {
		log.Warn("again")
	}
	log.close()
	if lines := strings.Count(text.String(), "\n"); lines != logRepeats+1 || !strings.Contains(text.String(), `"level":"WARN","msg":"… 12 more like this in the last 0s","like":"again"}`) {
		t.Errorf("%d lines: %s", lines, text.String())
	}
}

func TestDurationsAreReadable(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	plain := newProcessLog(&text, &conf.Proxy{LogFormat: "text"})
	plain.Info("restored", "down_for", 1500*time.Millisecond)
	if plain.close(); !strings.Contains(text.String(), "down_for=1.5s") {
		t.Errorf("the log has %q", text.String())
	}
	r, w := io.Pipe()
	log := newProcessLog(w, &conf.Proxy{LogFormat: "json"})
	log.Info("restored", "down_for", 1500*time.Millisecond, "servers", 2)
	var line struct {
		DownFor string `json:"down_for"`
		Servers int
	}
	if err := json.NewDecoder(r).Decode(&line); err != nil {
		t.Fatal(err)
	}
	if line.DownFor != "1.5s" || line.Servers != 2 {
		t.Errorf("the log has %+v", line)
	}
	w.Close()
	log.close()
}

func TestLinesForTheJournalHaveTheirPriority(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "journal")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	path, err := exec.LookPath("ringway")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ stream, want string }{
		{fmt.Sprintf("%d:%d", st.Dev, st.Ino), "<6>time="},
		{"1:2", "time="}, // of a service that ringway does not log to
	} {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "-c", configFile(t, "127.0.0.1:0", []string{"127.0.0.1:1 a"}))
		cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+test.stream)
		cmd.Stderr = f
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, patience, "that it listens", func() bool {
			text, err := os.ReadFile(f.Name())
			return err == nil && strings.Contains(string(text), "msg=listening")
		})
		cmd.Process.Kill()
		cmd.Wait()
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if line := strings.TrimLeft(string(text), "\x00"); !strings.HasPrefix(line, test.want) {
			t.Errorf("JOURNAL_STREAM=%s: %q, want %q first", test.stream, line, test.want)
		}
		f.Seek(0, io.SeekStart)
	}
}

func TestJournalPrioritiesFollowTheLevels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(newJournalHandler(&out, func(w io.Writer) slog.Handler {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	})).With("pool", "alpha").WithGroup("g")
	log.Debug("one")
	log.Info("two", "a", 1)
	log.Warn("three")
	log.Error("four")
	for _, want := range []string{`<7>{`, `"msg":"one","pool":"alpha"}`, `<6>{`, `"msg":"two","pool":"alpha","g":{"a":1}}`, `<4>{`, `<3>{`} {
		if !strings.Contains("\n"+out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
	}
}
