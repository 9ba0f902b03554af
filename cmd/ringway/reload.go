package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	audit  *auditLog
	failed atomic.Bool // the last reload has

	mu      sync.Mutex     // held during a reload, so there is one at a time
	srv     *server.Server // nil until it serves; guarded by mu
	secrets []string       // files of passwords that were read last, or could not be; guarded by mu
	seen    stamps         // at the files when they were read last; guarded by mu
}

// load reads the configuration, and remembers what the files were like before they were read. Only the
// text says which files of passwords there are: when it names new ones, all is read again. The caller holds mu.
func (r *reloader) load() (cfg *conf.Config, warnings []conf.Diagnostic, err error) {
	for range 2 {
		r.seen = lookAt(r.path, r.secrets)
		cfg, warnings, err = conf.Load(r.path)
		before := r.secrets
		r.secrets = secretFiles(before, cfg, err)
		if !slices.ContainsFunc(r.secrets, func(name string) bool { return !slices.Contains(before, name) }) {
			break
		}
	}
	return cfg, warnings, err
}

// secretFiles returns the files of passwords to look at after a configuration was read: its own; after
// a mistake those from before, and those that could not be read.
func secretFiles(before []string, cfg *conf.Config, err error) []string {
	if err == nil {
		return cfg.SecretFiles
	}
	all := slices.Clone(before)
	var mistakes conf.Mistakes
	errors.As(err, &mistakes)
	for _, m := range mistakes {
		if m.Reads != "" && !slices.Contains(all, m.Reads) {
			all = append(all, m.Reads)
		}
	}
	return all
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
	manager := supervised{r.log}
	manager.reloading()
	defer func() { manager.reloaded(err) }()
	r.audit.reopen() // even if the configuration has a mistake
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
	cfg, warnings, err := r.load()
	if err == nil {
		err = r.flags(cfg)
	}
	if err != nil {
		return nil, nil, warnings, err
	}
	apply, err := r.audit.prepare(cfg.Proxy.AuditLog)
	if err != nil {
		return nil, nil, warnings, err
	}
	changes, err := r.srv.Reload(cfg, server.ReloadOptions{MoveKeys: moveKeys})
	apply(err == nil)
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

// watch reloads the file when it has changed, or one of the passwords', as long as the configuration in force
// has watch_config, until ctx is done. It looks at the files rather than asking the system for events: so an
// in-place write, a file that takes another's place and the swap of a link before it are all the same.
// A file that is still being written changes between two looks, and is read after the last one. One that is
// gone at two looks is a reload that fails, once; so the operator hears of it before the next start would.
func (r *reloader) watch(ctx context.Context) {
	again := time.NewTicker(watchEvery)
	defer again.Stop()
	var before stamps
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		now, isNew := r.look()
		if !now.same(before) || !isNew {
			before = now
			continue
		}
		r.reload("watch_config", false) // which logs what comes of it
	}
}

// look looks at the files, and reports whether they are to be read.
func (r *reloader) look() (now stamps, isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now = lookAt(r.path, r.secrets)
	return now, r.srv != nil && r.srv.Conf().Proxy.WatchConfig && !now.same(r.seen)
}

// stamps is what files look like: that of the configuration, then those of passwords; nil for one that
// is not there.
type stamps []os.FileInfo

func lookAt(path string, secrets []string) stamps {
	s := make(stamps, 1+len(secrets))
	s[0], _ = os.Stat(path)
	for i, name := range secrets {
		s[1+i], _ = os.Stat(name)
	}
	return s
}

// same reports whether two looks have found the same files, unchanged.
func (s stamps) same(other stamps) bool { return slices.EqualFunc(s, other, sameStamp) }

func sameStamp(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
