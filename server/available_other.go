//go:build !linux

package server

// availableMemory returns how many bytes of memory the process may use; 0 means that it
// is unknown, as on every system but Linux.
func availableMemory() int64 { return 0 }
