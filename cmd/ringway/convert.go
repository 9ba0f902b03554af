package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ringway/conf"
)

const convertHelp = `ringway convert writes the TOML configuration that does what a nutcracker.yml does, with the
same keys on the same servers, to standard output. Comments say what Ringway does otherwise,
and what would be better. Pools of memcached servers are left out.

usage:
  ringway convert nutcracker.yml > ringway.toml

The output has the passwords of the file. "-" reads standard input.
Exit codes: 0 converted, perhaps with warnings; 1 unreadable; 2 with mistakes.
`

// runConvert writes a nutcracker.yml as TOML.
func runConvert(s streams, args []string) int {
	fs := newFlags("convert")
	flagged := fs.String("c", "", "")
	if code, done := s.parse(fs, args, convertHelp); done {
		return code
	}
	path := *flagged
	if path == "" && fs.NArg() == 1 {
		path = fs.Arg(0)
	} else if path == "" || fs.NArg() > 0 {
		return s.usage("convert", errors.New("want the name of one file: ringway convert nutcracker.yml"))
	}
	text, err := readConfiguration(s, path)
	if err != nil {
		return s.fail("convert", err)
	}
	out, warnings, err := conf.Convert(text, path)
	s.diagnose(warnings)
	if err != nil {
		fmt.Fprintln(s.err, err)
		return exitUsage
	}
	if _, err := s.out.Write(out); err != nil {
		return s.fail("convert", err)
	}
	return exitOK
}

// readConfiguration returns the text of a file, or of standard input for "-".
func readConfiguration(s streams, path string) ([]byte, error) {
	const most = 2 << 20 // more than conf accepts, which says so
	if path == "-" {
		return io.ReadAll(io.LimitReader(s.in, most))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
