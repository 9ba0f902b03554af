package houserules

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents returns the texts of all Markdown files by their paths from the top.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "bench/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(rel)] = string(text)
		}
	}
	return texts
}

var (
	architectureRow = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|.*\\| ([^|]+) \\|$")
	inCode          = regexp.MustCompile("`([^`]+)`")
	sourceFile      = regexp.MustCompile(`\b(?:[a-z0-9_]+/)+[A-Za-z0-9_]+\.(?:go|tsv|toml)\b`)
	link            = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	packageSection  = regexp.MustCompile(`(?s)\n### In package ([a-z]+)\n(.*?)(?:\n#|$)`)
	bareFile        = regexp.MustCompile("`([a-z0-9_]+\\.go)`")
	heading         = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchor     = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// The last column of the table of packages in docs/architecture.md says what
// arrows says.
func TestArchitectureShowsTheArrows(t *testing.T) {
	text := documents(t)["docs/architecture.md"]
	_, house, _ := strings.Cut(text, "\n## The house\n")
	house, _, _ = strings.Cut(house, "\n## ")
	shown := map[string]bool{}
	for _, row := range architectureRow.FindAllStringSubmatch(house, -1) {
		name, imports := row[1], []string{}
		shown[name] = true
		for _, imported := range inCode.FindAllStringSubmatch(row[2], -1) {
			imports = append(imports, imported[1])
		}
		want := slices.Sorted(slices.Values(arrows[name]))
		if slices.Sort(imports); name != "cmd/ringway" && !slices.Equal(imports, want) {
			t.Errorf("docs/architecture.md: package %s may import %q, in arrows it is %q", name, imports, want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(arrows)) {
		if !shown[name] && !within(name, "internal") {
			t.Errorf("docs/architecture.md has no row for package %s", name)
		}
	}
}

// Pages of decisions may name files of their time; all others name files that exist. In
// a section "In package NAME" files are named without the directory.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	for name, text := range documents(t) {
		if within(name, "docs/adr") {
			continue
		}
		files := sourceFile.FindAllString(text, -1)
		for _, section := range packageSection.FindAllStringSubmatch(text, -1) {
			for _, file := range bareFile.FindAllStringSubmatch(section[2], -1) {
				files = append(files, section[1]+"/"+file[1])
			}
		}
		for _, file := range files {
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s names %s, which does not exist", name, file)
			}
		}
	}
}

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	texts := documents(t)
	for name, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := name
			if target != "" {
				to = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(texts[to]), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", name, m[1], to)
			}
		}
	}
}

// A page that docs/README.md does not lead to is not found by whoever has a question.
func TestIndexLeadsToEveryDocument(t *testing.T) {
	texts, led := documents(t), map[string]bool{}
	for _, m := range link.FindAllStringSubmatch(texts["docs/README.md"], -1) {
		target, _, _ := strings.Cut(m[1], "#")
		led[path.Join("docs", target)] = true
	}
	for name := range texts {
		if path.Dir(name) == "docs" && name != "docs/README.md" && !led[name] {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// anchors returns the anchors that GitHub makes of a page's headings.
func anchors(text string) (found []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		plain := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		found = append(found, strings.ReplaceAll(plain, " ", "-"))
	}
	return found
}
