//go:build !linux

package eventloop

import "errors"

// uring stands for io_uring, which is Linux' own.
type uring struct{ broken bool }

func openURing() (*uring, error) { return nil, errors.ErrUnsupported }

func (u *uring) read(fd int, b []byte)  {}
func (u *uring) write(fd int, b []byte) {}
func (u *uring) run() []int32           { return nil }
func (u *uring) close()                 {}
