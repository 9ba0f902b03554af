package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// perfTimeout bounds the start and the end of perf.
const perfTimeout = 5 * time.Second

// countSyscalls counts the system calls that processes make while f runs. It uses perf,
// which only counts. strace would stop the process at each call, and so change how
// requests form batches.
func countSyscalls(ctx context.Context, pids []int, f func() error) (calls uint64, err error) {
	path, err := exec.LookPath("perf")
	if err != nil {
		return 0, err
	}
	ctlR, ctlW, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("pipe to perf: %w", err)
	}
	defer ctlW.Close()
	ackR, ackW, err := os.Pipe()
	if err != nil {
		ctlR.Close()
		return 0, fmt.Errorf("pipe to perf: %w", err)
	}
	defer ackR.Close()
	ids := make([]string, len(pids))
	for i, pid := range pids {
		ids[i] = strconv.Itoa(pid)
	}
	var text tailBuffer
	cmd := exec.CommandContext(ctx, path, "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-D", "-1", "--control", "fd:3,4", "-p", strings.Join(ids, ","))
	cmd.ExtraFiles, cmd.Stderr, cmd.WaitDelay = []*os.File{ctlR, ackW}, &text, time.Second
	err = cmd.Start()
	ctlR.Close()
	ackW.Close()
	if err != nil {
		return 0, fmt.Errorf("perf: %w", err)
	}
	errLoad := perfCommand(ctlW, ackR, "enable")
	if errLoad == nil {
		errLoad = f()
	}
	_ = perfCommand(ctlW, ackR, "disable")
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait() // fails with the signal's status; the output is what counts
	if errLoad != nil {
		return 0, fmt.Errorf("%w %s", errLoad, text.String())
	}
	return parsePerf(text.String())
}

// perfCommand sends a command to perf and waits until it was carried out.
func perfCommand(ctl, ack *os.File, command string) error {
	if _, err := ctl.WriteString(command + "\n"); err != nil {
		return fmt.Errorf("perf %s: %w", command, err)
	}
	_ = ack.SetReadDeadline(time.Now().Add(perfTimeout))
	reply := make([]byte, 16)
	if _, err := ack.Read(reply); err != nil {
		return fmt.Errorf("perf %s: %w", command, err)
	}
	return nil
}

// errNoCount marks output of perf without a count in it.
var errNoCount = errors.New("perf counted nothing")

// parsePerf reads the count from perf's comma-separated output.
func parsePerf(text string) (uint64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Split(line, ",")
		if len(fields) < 3 || !strings.HasPrefix(fields[2], "raw_syscalls:sys_enter") {
			continue
		}
		n, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %q", errNoCount, fields[0])
		}
		return n, nil
	}
	return 0, fmt.Errorf("%w: %q", errNoCount, text)
}

// addSyscalls runs w once more against t, counts its system calls, and adds the count to
// a round of res. It is a separate run because counting costs the target time, and one
// for each round because counts differ from run to run.
func (r *runner) addSyscalls(ctx context.Context, w Workload, t *Target, res *Result, round int) {
	if !r.syscalls || res.Skipped != "" || len(t.PIDs) == 0 || round >= len(res.Rounds) || w.RealClient || w.Scenario != "" {
		return
	}
	t = t.running(w)
	var replies uint64
	calls, err := countSyscalls(ctx, t.PIDs, func() error {
		out, err := runLoad(ctx, w, t, r.threads, r.timing, r.seed)
		if err == nil {
			replies = out.Tally.replies
		}
		return err
	})
	if err != nil || replies == 0 {
		r.report.noteOnce(fmt.Sprintf("system calls of %s: %v", t.Name, err))
		return
	}
	res.Rounds[round].Syscalls = float64(calls) / float64(replies)
}

// noteOnce adds a line to the report's list of skipped targets, once.
func (rep *Report) noteOnce(line string) {
	for _, have := range rep.Skipped {
		if have == line {
			return
		}
	}
	rep.Skipped = append(rep.Skipped, line)
}
