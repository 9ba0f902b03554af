package redistest

import "syscall"

// dieWithParent has the kernel kill the child when the test binary dies, be it
// by a timeout's panic or by SIGKILL, when no cleanup runs.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
