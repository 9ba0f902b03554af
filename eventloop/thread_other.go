//go:build !linux

package eventloop

import "syscall"

// ofThread is the process: there is nothing that tells of one thread alone.
const rusageWho = syscall.RUSAGE_SELF

func threadID() int { return 0 }
