package server

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// availableMemory returns how many bytes of memory the process may use: the machine's
// memory, or the limit of the process's container if that is lower; 0 if unknown.
func availableMemory() int64 {
	least := int64(math.MaxInt64)
	note := func(n int64) {
		if n > 0 {
			least = min(least, n)
		}
	}
	meminfo, _ := os.ReadFile("/proc/meminfo")
	note(fieldOf(string(meminfo), "MemTotal:") << 10)
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for _, file := range limitFiles(string(groups)) {
		text, _ := os.ReadFile(file)
		n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max", which is no limit, gives 0
		note(n)
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// fieldOf returns the number that follows name in the text of a file of /proc, or 0.
func fieldOf(text, name string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				n, _ := strconv.ParseInt(words[0], 10, 64)
				return n
			}
		}
	}
	return 0
}

// limitFiles returns the files that may hold a memory limit of the process. groups is the
// text of /proc/self/cgroup. Each control group (cgroups(7), version 2 or 1) has such a
// file, and a limit of an enclosing group holds as well.
func limitFiles(groups string) (files []string) {
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", "memory.max"
		switch {
		case parts[0] == "0" && parts[1] == "":
		case strings.Contains(","+parts[1]+",", ",memory,"):
			root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group := filepath.Join("/", parts[2]); ; group = filepath.Dir(group) {
			files = append(files, filepath.Join(root, group, name))
			if group == "/" {
				break
			}
		}
	}
	return files
}
