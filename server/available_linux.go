package server

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// availableMemory is how many bytes of memory the machine has, or the container that
// the process is in; 0 if that is not known.
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
		n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
		note(n)
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// fieldOf returns the number behind a name in a file of /proc, or 0.
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

// limitFiles are the files in which a limit of the process's memory may stand,
// by what /proc/self/cgroup says: those of its control groups, of version 2 or 1,
// and of the groups around them.
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
