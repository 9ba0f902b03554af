// Command gen turns command/commands.tsv into command/table_gen.go and
// docs/commands.md. go generate runs it in the directory of package command.
//
// With a directory as its argument it writes both files there instead, which is
// how a test finds out whether they are current.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	tablePath, docsPath := "table_gen.go", filepath.Join("..", "docs", "commands.md")
	if len(args) > 0 {
		tablePath, docsPath = filepath.Join(args[0], tablePath), filepath.Join(args[0], "commands.md")
	}
	if err := generate("commands.tsv", tablePath, docsPath); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		return 1
	}
	return 0
}

func generate(factsPath, tablePath, docsPath string) error {
	text, err := os.ReadFile(factsPath)
	if err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	f, err := parseFacts(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", factsPath, err)
	}
	table, err := tableSource(f)
	if err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if err := os.WriteFile(tablePath, table, 0o644); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if err := os.WriteFile(docsPath, docsText(f), 0o644); err != nil {
		return fmt.Errorf("docs: %w", err)
	}
	return nil
}
