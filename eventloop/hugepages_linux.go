package eventloop

import "syscall"

// useHugePages asks for pages of 2 MiB: to have pages of 4 KiB made, one after the other, takes
// longer than to read the bytes into them.
func useHugePages(mem []byte) { syscall.Madvise(mem, syscall.MADV_HUGEPAGE) }
