package redistest

import "syscall"

// dieWithParent makes the system kill the child when this process dies, also
// when it dies too suddenly to clean up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
