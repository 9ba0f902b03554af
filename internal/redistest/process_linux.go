package redistest

import "syscall"

// dieWithParent makes the system kill the child when this process dies, even if it
// can't clean up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
