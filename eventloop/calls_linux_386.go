package eventloop

import "syscall"

// The system calls of read and write, which know no flags and pass over them:
// this system has one call for all that is done with sockets.
const (
	callRead  = syscall.SYS_READ
	callWrite = syscall.SYS_WRITE
)
