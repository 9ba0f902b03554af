package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"ringway/server"
)

// What a service manager such as systemd is told (sd_notify(3)), and the sockets that it has opened.
// Without NOTIFY_SOCKET nothing is told, and all of this does nothing.

// supervised tells the service manager how the process is. It may be used by any goroutine.
type supervised struct {
	log *processLog
}

// tell sends assignments, one a line. A service manager that can't be told is logged, once: what it does
// then, such as a restart, must not be a riddle.
func (s supervised) tell(assignments ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(assignments, "\n")); err != nil {
		s.log.Warn("service manager not told: look at NotifyAccess and NOTIFY_SOCKET", "told", assignments[0], "err", err)
	}
}

// ready says that the process serves.
func (s supervised) ready(addrs map[string]string) {
	s.tell(daemon.SdNotifyReady, "STATUS="+servingStatus(addrs))
}

// stopping says that the process is about to end, and how long that may take.
func (s supervised) stopping(srv *server.Server) {
	p := srv.Conf().Proxy
	limit := p.DrainDelay + p.DrainTimeout + stopMargin
	s.tell(daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", limit.Microseconds()), fmt.Sprintf("STATUS=draining %s, for %s at most", count(srv.Clients(), "client"), p.DrainDelay+p.DrainTimeout))
}

// stopMargin is how much longer than its settings say the end may take.
const stopMargin = 5 * time.Second

// reloading says that the configuration is being read again; reloaded must follow.
func (s supervised) reloading() {
	s.tell(daemon.SdNotifyReloading + "\n" + strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// reloaded says what came of that.
func (s supervised) reloaded(err error) {
	status := "serving, configuration reloaded at " + time.Now().Format(time.TimeOnly)
	if err != nil {
		status = "serving as before: the last reload failed, the log says why"
	}
	s.tell(daemon.SdNotifyReady, "STATUS="+status)
}

// accompany feeds the watchdog, and says when ctx is done that the process is stopping. What it returns
// ends that, and must be called.
func (s supervised) accompany(ctx context.Context, srv *server.Server, successor bool) (end func()) {
	var feeding sync.WaitGroup
	fed, stop := context.WithCancel(context.Background())
	feeding.Go(func() { s.watchdog(fed, srv, successor) })
	stopTelling := context.AfterFunc(ctx, func() { s.stopping(srv) })
	return func() {
		stopTelling()
		stop()
		feeding.Wait()
	}
}

// watchdog tells the service manager again and again that all event loops turn, if it wants to know
// (WatchdogSec), until ctx is done. A loop that hangs ends that: then the service manager restarts the
// process. A successor has the variables of the process whose place it takes. It blocks: run it on a goroutine.
func (s supervised) watchdog(ctx context.Context, srv *server.Server, successor bool) {
	if successor {
		os.Unsetenv("WATCHDOG_PID")
	}
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("watchdog not fed: the service manager's WATCHDOG_USEC is wrong", "err", err)
	}
	if within == 0 {
		return
	}
	feed := time.NewTicker(within / 2)
	defer feed.Stop()
	hangs := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed.C:
		}
		hung := srv.Hanging()
		if len(hung) == 0 {
			s.tell(daemon.SdNotifyWatchdog)
		} else if !hangs {
			s.log.Error("watchdog not fed: event loops hang", "loops", hung, "restart_within", within)
		}
		hangs = len(hung) > 0
	}
}

// servingStatus returns a line for people.
func servingStatus(addrs map[string]string) string {
	if len(addrs) == 1 {
		for name, addr := range addrs {
			return "serving pool " + name + " at " + addr
		}
	}
	return "serving " + count(len(addrs), "pool")
}

// activated returns the listening sockets that the service manager has opened for this process
// (sd_listen_fds(3)), by names that it has given them. The caller owns them. Only the first call returns them.
func activated() []*os.File { return activation.Files(true) }
