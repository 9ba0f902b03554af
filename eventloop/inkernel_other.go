//go:build !linux

package eventloop

// InKernel returns how many bytes that were written the peer has not acknowledged yet; 0 where that
// can't be asked.
func (c *Conn) InKernel() int { return 0 }
