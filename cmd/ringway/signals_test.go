package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// The signals of nutcracker's operators neither end nor stop the process.
func TestSignalsThatAskForSomethingAreAnswered(t *testing.T) {
	t.Parallel()
	p := start(t, "-c", configFile(t, "127.0.0.1:0", startNodes(t, 1)))
	printed(t, p, "msg=listening")
	for _, step := range []struct {
		signal os.Signal
		want   string
	}{
		{syscall.SIGHUP, `level=INFO msg="configuration reloaded" by=SIGHUP .*changes=0$`},
		{syscall.SIGTTIN, `level=INFO msg="SIGTTIN: log level changed" log_level=debug$`},
		{syscall.SIGTTIN, `level=INFO msg="SIGTTIN: log level is at its end already" log_level=debug$`},
		{syscall.SIGTTOU, `level=INFO msg="SIGTTOU: log level changed" log_level=info$`},
		{syscall.SIGTTOU, `level=INFO msg="SIGTTOU: log level changed" log_level=warn$`},
		{syscall.SIGTTOU, `level=INFO msg="SIGTTOU: log level changed" log_level=error$`},
		{syscall.SIGTTOU, `level=INFO msg="SIGTTOU: log level is at its end already" log_level=error$`},
		{syscall.SIGTTIN, `level=INFO msg="SIGTTIN: log level changed" log_level=warn$`},
	} {
		p.Signal(step.signal)
		printed(t, p, step.want)
	}
	for _, s := range []os.Signal{syscall.SIGUSR1, syscall.SIGPIPE} {
		p.Signal(s)
	}
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	if strings.Contains(p.Output(), "msg=draining") {
		t.Error("draining is logged at the level warn")
	}
}
