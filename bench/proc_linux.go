package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat. Linux reports them in
// hundredths of a second on every architecture Go runs on.
const clockTick = 10 * time.Millisecond

// processUsage reads the processor time of process pid.
//
// The sum comes from /proc/PID/task/TID/schedstat, in nanoseconds on a
// processor; it leaves out threads that have ended, which proxies do not have.
// Without schedstat the sum comes from /proc/PID/stat, in ticks, which is also the only
// source that separates user and system time.
func processUsage(pid int) usage {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	user, system, ok := parseStat(stat)
	if !ok {
		return u
	}
	u.User, u.System, u.Known = user, system, true
	u.Total = user + system
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread ended between the two calls
		}
		sum += parseSchedstat(text)
	}
	if sum > 0 {
		u.Total = sum
	}
	return u
}

// parseStat returns user and system time from the text of /proc/PID/stat. The
// second field is the command in parentheses and may itself hold spaces and
// parentheses, so fields are counted from the last one.
func parseStat(text []byte) (user, system time.Duration, ok bool) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, 0, false
	}
	fields := strings.Fields(string(text[end+1:]))
	const utime, stime = 11, 12 // fields 14 and 15 of proc(5), counted from the state
	if len(fields) <= stime {
		return 0, 0, false
	}
	u, errU := strconv.ParseUint(fields[utime], 10, 40)
	s, errS := strconv.ParseUint(fields[stime], 10, 40)
	if errU != nil || errS != nil {
		return 0, 0, false
	}
	return time.Duration(u) * clockTick, time.Duration(s) * clockTick, true
}

// parseSchedstat returns the first field of a schedstat: nanoseconds on a processor.
func parseSchedstat(text []byte) time.Duration {
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseUint(first, 10, 62)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}

// processMemory reads the resident memory of process pid.
func processMemory(pid int) memory {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}
	}
	return parseStatus(string(text))
}

// parseStatus reads VmRSS and VmHWM, which are in KiB.
func parseStatus(text string) (m memory) {
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "VmRSS" && name != "VmHWM" {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 50)
		if err != nil {
			continue
		}
		if name == "VmRSS" {
			m.Now = int64(n << 10)
		} else {
			m.Peak = int64(n << 10)
		}
	}
	return m
}

// resetPeak resets VmHWM of process pid to the present size. A process of another user
// keeps its old peak.
func resetPeak(pid int) {
	// Not os.WriteFile, which would create the file.
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/clear_refs", pid), os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString("5")
}

// dieWithParent has the kernel kill a process when the harness dies.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
