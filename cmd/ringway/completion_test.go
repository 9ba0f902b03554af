package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// What bash proposes for a command line whose last word is being typed.
func TestBashCompletesCommandsAndFlags(t *testing.T) {
	redistest.RequireTool(t, "bash")
	code, script := command(t, "completion", "bash")
	if code != exitOK {
		t.Fatalf("%d: %s", code, script)
	}
	for line, want := range map[string][]string{
		"che":                    {"check"},
		"check --c":              {"--connect"},
		"check -":                {"-c", "--connect", "--no-memcached"},
		"-c ":                    {}, // files, by bash itself
		"verify --to ":           {},
		"bench -from ":           {},
		"help orph":              {"orphans"},
		"completion z":           {"zsh"},
		"-c ringway.toml --vers": {"--version"},
		"bench -gob":             {"-gobench"},
	} {
		words := append([]string{"ringway"}, strings.Split(line, " ")...)
		run := fmt.Sprintf("%s\nCOMP_WORDS=(\"$@\"); COMP_CWORD=%d; _ringway; echo \"${COMPREPLY[@]}\"\n", script, len(words)-1)
		out, err := exec.Command("bash", append([]string{"--norc", "-c", run, "bash"}, words...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		if got := strings.Fields(string(out)); !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("ringway %s: %q, want %q", line, got, want)
		}
	}
}

func TestCompletionOfEachShellNamesEachCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script := command(t, "completion", shell)
		if code != exitOK || !strings.Contains(script, "no-memcached") {
			t.Errorf("%s: %d: %s", shell, code, script)
		}
		for _, name := range commandNames() {
			if !strings.Contains(script, name) {
				t.Errorf("%s: %s is missing", shell, name)
			}
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}, {"completion", "bash", "zsh"}} {
		if code, out := command(t, args...); code != exitUsage || !strings.Contains(out, "want bash, zsh or fish") {
			t.Errorf("%q: %d: %s", args, code, out)
		}
	}
}

// Shells that happen to be there read the scripts.
func TestShellsAcceptTheirCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		_, script := command(t, "completion", shell)
		file := filepath.Join(t.TempDir(), "completion")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
}
