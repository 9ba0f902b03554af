//go:build !linux

package redistest

import "syscall"

// dieWithParent can do nothing here: only Linux has a parent-death signal.
func dieWithParent() *syscall.SysProcAttr { return nil }
