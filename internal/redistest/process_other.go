//go:build !linux

package redistest

import "syscall"

// dieWithParent asks for nothing: only Linux (and FreeBSD) can kill a child
// with its parent. Elsewhere cleanup does it, unless the test binary is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
