package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this program's main a command of its own, "ringway", for the
// scripts and the tests that start it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ringway": main})
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("RINGWAY_UPDATE") != "",
	})
}
