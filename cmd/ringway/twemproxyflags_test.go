package main

import (
	"log/slog"
	"net"
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
