package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringway/conf"
)

// commandAliases are names of commands in other programs, and what to use here.
var commandAliases = []struct{ names, here string }{
	{"serve server start run proxy daemon", "to serve there is none: ringway -c FILE"},
	{"test configtest validate verify lint", "to check a configuration, ringway check -c FILE"},
	{"benchmark perf", "to measure, ringway bench"},
	{"where hash key lookup", "to find a key's server, ringway locate"},
	{"migrate import", "to write a nutcracker.yml as TOML, ringway convert nutcracker.yml"},
	{"stop restart", "to stop, send the process SIGTERM; for a new configuration, ringway reload"},
	{"status stats info", "INFO, over any client's connection, has what is counted"},
}

// unknownCommand returns the error for a command that does not exist, with what was probably
// meant.
func unknownCommand(name string) error {
	text := fmt.Sprintf("unknown command %q; ", name)
	for _, o := range commandAliases {
		if slices.Contains(strings.Fields(o.names), name) {
			return fmt.Errorf("%s%s", text, o.here)
		}
	}
	if isFile(name) {
		return fmt.Errorf("%sfor a configuration file, ringway -c %s", text, name)
	}
	if near := conf.Nearest(name, commandNames()); len(near) > 0 {
		return fmt.Errorf("%sthe nearest is %s", text, strings.Join(near, " or "))
	}
	return fmt.Errorf("%s%s", text, oneOf(commandNames()))
}

// isFile reports whether a word is the name of a file, or looks like one.
func isFile(word string) bool {
	if slices.Contains([]string{".toml", ".yml", ".yaml", ".conf", ".json", ".cfg"}, filepath.Ext(word)) {
		return true
	}
	info, err := os.Stat(word)
	return err == nil && info.Mode().IsRegular()
}
