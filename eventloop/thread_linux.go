package eventloop

import "syscall"

// rusageWho makes getrusage return the usage of the calling thread (RUSAGE_THREAD).
const rusageWho = 1

func threadID() int { return syscall.Gettid() }
