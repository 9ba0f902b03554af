package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"ringway/audit"
	"ringway/conf"
	"ringway/internal/logqueue"
)

// An auditLog is where the audit log goes, which reloads may change. Nobody waits for its reader: lines go through
// a bounded queue, and those that do not fit are dropped and counted. A nil auditLog is off.
type auditLog struct {
	// Static after construction.
	process *processLog
	lines   *logqueue.Queue
	limit   *logqueue.Limit // of events that are alike (audit.Key)

	mu      sync.Mutex // guards what follows; held while lines are written
	file    *logFile   // nil: standard error, by way of the process's log
	serving *audit.Log // nil until it serves
	at      string     // as the setting audit_log
}

// openAuditLog opens the audit log where the setting says, "" for off. The caller calls close.
func openAuditLog(at string, process *processLog) (*auditLog, error) {
	file, err := openAuditFile(at)
	if err != nil {
		return nil, err
	}
	a := &auditLog{process: process, file: file, at: at}
	a.lines = logqueue.New(a, logQueueBytes, func(lines int64) []byte {
		var b bytes.Buffer
		logAlways(audit.Handler(&b), slog.LevelWarn, "lines dropped: the audit log can't be written, or too slowly", "lines", lines)
		return b.Bytes()
	})
	a.limit = logqueue.NewLimitBy(audit.Key, audit.Handler(a.lines), auditRepeats, logWindow)
	return a, nil
}

// auditRepeats is how many events that are alike are written in logWindow; further ones are counted.
const auditRepeats = 100

// openAuditFile opens the file that the setting audit_log names, nil if it names none. Others may not read it: it says
// who uses the pools, and from where.
func openAuditFile(at string) (*logFile, error) {
	if at == "" || at == conf.AuditToStderr {
		return nil, nil
	}
	file, err := openLogFile(at, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit_log: %w; want a file that this process may append to", err)
	}
	return file, nil
}

// Write writes lines to where the log goes now. The queue calls it.
func (a *auditLog) Write(lines []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var to io.Writer = a.process.lines
	if a.file != nil {
		to = a.file
	}
	return to.Write(lines)
}

// serves says whose events the log takes.
func (a *auditLog) serves(l *audit.Log) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serving = l
	a.turn()
}

// turn turns the log on or off. The caller holds mu.
func (a *auditLog) turn() {
	switch {
	case a.serving == nil:
	case a.at == "":
		a.serving.To(nil)
	default:
		a.serving.To(a.limit)
	}
}

// reopen opens the file by its name, since another program may have renamed the one that was open.
func (a *auditLog) reopen() {
	if a == nil || a.file == nil || a.at == "" { // only reloads change these, and there is one at a time
		return
	}
	if err := a.file.open(); err != nil {
		a.process.Error("the audit log's file can't be opened again; the audit log goes on in the old one", "err", err)
	}
}

// prepare opens what a reload makes of the setting. The caller calls apply, with whether the reload has succeeded.
func (a *auditLog) prepare(at string) (apply func(succeeded bool), err error) {
	if a == nil || at == a.at {
		return func(bool) {}, nil
	}
	file, err := openAuditFile(at)
	if err != nil {
		return nil, err
	}
	return func(succeeded bool) {
		switch {
		case succeeded:
			a.move(at, file)
		case file != nil:
			file.close()
		}
	}, nil
}

// move has the log go where the setting says, from then on. file is openAuditFile's.
func (a *auditLog) move(at string, file *logFile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = at
	a.turn()
	if at == "" {
		return // what is queued still goes to where it went
	}
	if a.file != nil {
		a.file.close()
	}
	a.file = file
}

// close waits until the queued lines are written, for logFlushTimeout at most.
func (a *auditLog) close() {
	a.limit.Close()
	if a.lines.Close(logFlushTimeout) && a.file != nil {
		a.file.close()
	}
}
