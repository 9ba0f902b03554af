package eventloop

import "syscall"

// ofThread has getrusage tell of the calling thread (RUSAGE_THREAD).
const rusageWho = 1

func threadID() int { return syscall.Gettid() }
