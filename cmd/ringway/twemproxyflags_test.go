package main

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

func TestVerbosityIsNutcrackers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]slog.Level{
		"0": slog.LevelError, "3": slog.LevelError, "4": slog.LevelWarn, "5": slog.LevelInfo, "6": slog.LevelInfo,
		"7": slog.LevelDebug, "11": slog.LevelDebug, "warn": slog.LevelWarn, "DEBUG": slog.LevelDebug,
	} {
		var f twemproxyFlags
		if err := f.setLevel(text); err != nil || *f.level != want {
			t.Errorf("-v %s is %v, %v, want %v", text, f.level, err, want)
		}
	}
	for _, text := range []string{"", "-1", "12", "loud", "info+1"} {
		if err := new(twemproxyFlags).setLevel(text); err == nil {
			t.Errorf("-v %q is taken", text)
		}
	}
}

// The flag has precedence over the file.
func TestVerbosityIsTheLogsLevel(t *testing.T) {
	t.Parallel()
	addr := redistest.FreeAddr(t)
	p := start(t, "-v", "4", "-c", configFile(t, addr, []string{"127.0.0.1:1"}, `log_level = "debug"`))
	redistest.Eventually(t, patience, "ringway listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		return err == nil && conn.Close() == nil
	})
	p.Signal(syscall.SIGTTIN)
	printed(t, p, `msg="SIGTTIN: log level changed" log_level=info$`)
}

// -s and -a open the port for statistics, -i is taken and ignored, -D describes them.
func TestStatisticsFlags(t *testing.T) {
	t.Parallel()
	addr := redistest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	p := start(t, "-s", port, "-a", "127.0.0.1", "-i", "1000", "-c", configFile(t, redistest.FreeAddr(t), []string{"127.0.0.1:1"}, ""))
	var text []byte
	redistest.Eventually(t, patience, "statistics", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		text, err = io.ReadAll(conn)
		return err == nil
	})
	if !strings.HasPrefix(string(text), `{"service":"nutcracker", "source":"`) || !strings.HasSuffix(string(text), "}}}\n") {
		t.Errorf("statistics: %q", text)
	}
	printed(t, p, `msg="-i has no effect`)

	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-D"}, exitOK, "  client_err          \"# errors on client connections\"\n"},
		{[]string{"-s", "x", "-c", configFile(t, addr, []string{"127.0.0.1:1"}, "")}, exitUsage, `-a and -s, the address and port for statistics: port "x"`},
		{[]string{"-s", port, "-c", configFile(t, addr, []string{"127.0.0.1:1"}, "")}, exitUsage, "listens there already"},
		{[]string{"-s", "0", "-c", configFile(t, addr, []string{"127.0.0.1:1"}, "statistics = false")}, exitUsage, "nothing is counted"},
	} {
		var out strings.Builder
		if code := run(test.args, strings.NewReader(""), &out, &out); code != test.code || !strings.Contains(out.String(), test.want) {
			t.Errorf("%v: %d %s, want %d and %s", test.args, code, out.String(), test.code, test.want)
		}
	}
}
