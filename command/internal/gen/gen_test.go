package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	dir := t.TempDir()
	table, docs := filepath.Join(dir, "table_gen.go"), filepath.Join(dir, "commands.md")
	if err := generate("../../commands.tsv", table, docs); err != nil {
		t.Fatal(err)
	}
	f := func(fresh, committed string) {
		t.Helper()
		want, err := os.ReadFile(fresh)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what commands.tsv says: run go generate ./command", committed)
		}
	}
	f(table, "../../table_gen.go")
	f(docs, "../../../docs/commands.md")
}

func TestFactsThatCannotBeAreRefused(t *testing.T) {
	const get = "get\t2\tfast,readonly\tread\t-\t1\t1\t1\tRO access @ index 1 range 0 1 0\t1.0.0\tstring\tone\t-\t-\trange\n"
	f := func(text, want string) {
		t.Helper()
		facts, err := parseFacts(text)
		if err == nil {
			_, err = tableSource(facts)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	replace := func(old, new string) string { return strings.Replace(get, old, new, 1) }
	f(get, "")
	f("# comment\n\n"+get, "")
	f("get\t2\n", "2 columns")
	f(replace("\t2\t", "\tx\t"), `number "x"`)
	f(replace("\t2\t", "\t0\t"), "arity 0")
	f(replace("index 1", "index"), "key specification")
	f(replace("index 1", "nowhere 1"), "key specification")
	f(replace("0 1 0", "0 1 0 7"), "key specification")
	f(replace("one", "somewhere"), `route "somewhere"`)
	f(replace("one\t-", "one\tsum"), `join "sum"`)
	f(replace("one\t-", "split\t-"), `join ""`)
	f(replace("\trange\n", "\tmagic\n"), `finder "magic"`)
	f(replace("\trange\n", "\tnumkeys/magic\n"), `words "magic"`)
	f(replace("\trange\n", "\tnumkeys/zset\n"), "key count")
	f(replace("\t1\t1\t1\t", "\t2\t2\t1\t"), "arity 2")
	f(replace("fast", "rapid"), `flag "rapid"`)
	f(replace("\t-\trange", "\treason\trange"), `no reason "reason"`)
	f(get+get, "does not belong behind")
	f(replace("get\t", "get|x\t"), "no container")
	f("#why\treason\tit is dangerous\n"+replace("\t-\trange", "\treason\trange"), "")
}
