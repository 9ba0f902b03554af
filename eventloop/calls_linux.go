//go:build !386

package eventloop

import "syscall"

// The system calls of read and write.
const (
	callRead  = syscall.SYS_RECVFROM
	callWrite = syscall.SYS_SENDTO
)
