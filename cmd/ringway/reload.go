package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringway/conf"
	"ringway/server"
)

// maxShownChanges is how many changes of a reload are answered and logged, a line for each.
const maxShownChanges = 50

// watchEvery is how often the configuration file is looked at, with watch_config = true.
const watchEvery = time.Second

// reloader reads the configuration file again and makes the process serve it: for SIGHUP, the console
// and watch_config alike.
type reloader struct {
	path   string
	flags  func(*conf.Config) error // what the command line changes in a configuration
	log    *processLog
	failed atomic.Bool // the last reload has

	mu   sync.Mutex     // held during a reload, so there is one at a time
	srv  *server.Server // nil until it serves; guarded by mu
	seen os.FileInfo    // of the file when it was read last, nil if there was none; guarded by mu
}

// serves says which server is to be reloaded.
func (r *reloader) serves(srv *server.Server) {
	r.mu.Lock()
	r.srv = srv
	r.mu.Unlock()
}

// succeeded reports whether the last reload has not failed.
func (r *reloader) succeeded() bool { return !r.failed.Load() }

// reload reads the file again. It returns lines that say what has changed. The error says all that
// is wrong; nothing has changed then. By is what asked for the reload, for the log. Any goroutine but
// a loop's may call it.
func (r *reloader) reload(by string, moveKeys bool) (answer []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.srv == nil {
		return nil, errors.New("the proxy has not started yet")
	}
	r.seen, _ = os.Stat(r.path) // before the file is read: a change from now on is another one
	cfg, changes, warnings, err := r.read(moveKeys)
	for _, w := range warnings {
		r.log.Warn("configuration", "warning", w.String())
	}
	r.failed.Store(err != nil)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			r.log.Error("configuration not reloaded, nothing has changed: correct the file and reload it", "by", by, "err", line)
		}
		return nil, err
	}
	for _, c := range changes {
		if c.Table == "proxy" && c.Key == "log_level" {
			r.log.level.Set(cfg.Proxy.LogLevel)
		}
	}
	answer = changeLines(changes)
	for _, line := range answer {
		r.log.Info("configuration changed", "change", line)
	}
	r.log.Info("configuration reloaded", "by", by, "config", cfg.Path, "hash", cfg.Hash, "changes", len(changes))
	for _, w := range warnings {
		answer = append(answer, w.String())
	}
	return append([]string{fmt.Sprintf("%s: reloaded, %s, hash %s", cfg.Path, count(len(changes), "change"), cfg.Hash)}, answer...), nil
}

// read loads the file and makes the server serve it.
func (r *reloader) read(moveKeys bool) (*conf.Config, []conf.Change, []conf.Diagnostic, error) {
	cfg, warnings, err := conf.Load(r.path)
	if err == nil {
		err = r.flags(cfg)
	}
	if err != nil {
		return nil, nil, warnings, err
	}
	changes, err := r.srv.Reload(cfg, server.ReloadOptions{MoveKeys: moveKeys})
	return cfg, changes, warnings, explainListenError(err, "the setting listen")
}

// changeLines returns the changes as lines, maxShownChanges at most.
func changeLines(changes []conf.Change) (lines []string) {
	for _, c := range changes[:min(maxShownChanges, len(changes))] {
		lines = append(lines, c.String())
	}
	if more := len(changes) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more changes", more))
	}
	return lines
}

// watch reloads the file when it has changed, as long as the configuration in force has watch_config,
// until ctx is done. It looks at the file rather than asking the system for events: so an in-place
// write, a file that takes another's place and the swap of a link before it are all the same.
// A file that is still being written changes between two looks, and is read after the last one.
func (r *reloader) watch(ctx context.Context) {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	var before os.FileInfo
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		now, err := os.Stat(r.path)
		if err != nil || !sameStamp(before, now) || !r.isNew(now) {
			before = now
			continue
		}
		r.reload("watch_config", false) // which logs what comes of it
	}
}

// isNew reports whether the file, which looks like now, is to be read.
func (r *reloader) isNew(now os.FileInfo) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.srv != nil && r.srv.Conf().Proxy.WatchConfig && !sameStamp(r.seen, now)
}

// sameStamp reports whether two looks at the file have found the same one, unchanged.
func sameStamp(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
