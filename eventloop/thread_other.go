//go:build !linux

package eventloop

import "syscall"

// rusageWho makes getrusage return the usage of the process: there is none for one thread.
const rusageWho = syscall.RUSAGE_SELF

func threadID() int { return 0 }
