//go:build !linux

package bench

import "os/exec"

// Processor time and memory of other processes are read from /proc, so they
// are unknown here and left out of the results.

func processUsage(int) usage   { return usage{} }
func processMemory(int) memory { return memory{} }
func resetPeak(int)            {}

// dieWithParent does nothing: only Linux has a parent-death signal. The harness ends its
func dieWithParent(*exec.Cmd) {}
