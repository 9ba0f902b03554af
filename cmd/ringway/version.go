package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

const versionHelp = `ringway version prints the version of this build, and of Go and the system that it is for.

usage:
  ringway version
`

func runVersion(s streams, args []string) int {
	fs := newFlags("version")
	if code, done := s.parse(fs, args, versionHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("version", err)
	}
	printVersion(s)
	return exitOK
}

func printVersion(s streams) {
	fmt.Fprintf(s.out, "ringway %s (%s %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version returns the version that the go command stamped into the build, or "devel" if there
// is none, as under go run.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
