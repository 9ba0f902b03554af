//go:build !linux

package eventloop

func useHugePages([]byte) {}
