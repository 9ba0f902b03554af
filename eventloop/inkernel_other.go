//go:build !linux

package eventloop

// InKernel is how many bytes that were written the peer has not yet acknowledged; 0
// where that can't be asked.
func (c *Conn) InKernel() int { return 0 }
