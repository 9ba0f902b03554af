package frameworks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringway/internal/hatest"
	"ringway/internal/redistest"
)

// outcome is what the runs of one framework showed.
type outcome struct {
	versions []string
	checks   int // how many the program has, by the direct run

	direct, one, four int // how many checks passed; with the settings that are needed
	defaults          int // with four shards and no settings
}

func TestFrameworks(t *testing.T) {
	cache(t)
	outcomes := map[string]outcome{}
	for _, f := range frameworks {
		t.Run(f.name, func(t *testing.T) {
			if o := try(t, f); !t.Failed() {
				outcomes[f.name] = o
			}
		})
	}
	compareDocument(t, outcomes)
}

// try runs one program in all ways, and fails the test for each check that passes
// directly and not through Ringway.
func try(t *testing.T, f framework) outcome {
	direct := runDirectly(t, f)
	for _, check := range direct.checks {
		if reason := direct.failed[check]; reason != "" {
			t.Errorf("directly: %s: %s", check, reason)
		}
	}
	o := outcome{versions: direct.versions, checks: len(direct.checks), direct: passed(direct)}

	one := runThrough(t, f, "one shard", 1, f.lines(1))
	compare(t, "one shard", direct, one, nil)
	o.one = passed(one)

	defaults := runThrough(t, f, "four shards by default", 4, nil)
	o.defaults, o.four = passed(defaults), passed(defaults)
	if f.worksByDefault() {
		compare(t, "four shards by default", direct, defaults, f.failsByDefault())
	} else if passed(defaults) == passed(direct) {
		t.Errorf("four shards by default: works without %s", strings.Join(f.lines(4), ", "))
	}
	if len(f.settings) > 0 {
		four := runThrough(t, f, "four shards", 4, f.lines(4))
		compare(t, "four shards", direct, four, f.cannot)
		o.four = passed(four)
	}
	return o
}

func runDirectly(t *testing.T, f framework) (r result) {
	t.Run("directly", func(t *testing.T) {
		r = run(t, f.program, redistest.Start(t).Addr())
		report(t, r)
	})
	return r
}

// runThrough runs the program through a pool of so many shards with the given settings.
func runThrough(t *testing.T, f framework, name string, shards int, settings []string) (r result) {
	t.Run(name, func(t *testing.T) {
		var servers []string
		for i, s := range redistest.StartN(t, shards) {
			// Names of their own: otherwise the ports decide where keys are.
			servers = append(servers, fmt.Sprintf("%q", fmt.Sprintf("%s:1 s%d", s.Addr(), i+1)))
		}
		lines := append(slices.Clone(settings), "servers = ["+strings.Join(servers, ", ")+"]")
		r = run(t, f.program, hatest.Serve(t, lines...).Addr)
		report(t, r)
	})
	return r
}

// report logs what the program printed.
func report(t *testing.T, r result) {
	t.Log("\n" + r.output)
}

// compare fails the test for each check that passed directly and not this way, unless it
// is one that cannot pass; for one that cannot and does; and for checks that only one of
// the runs has.
func compare(t *testing.T, way string, direct, r result, cannot map[string]string) {
	t.Helper()
	for _, check := range direct.checks {
		reason, failed := r.failed[check]
		why, known := cannot[check]
		switch {
		case !slices.Contains(r.checks, check):
			t.Errorf("%s: %s: not reached", way, check)
		case failed && !known:
			t.Errorf("%s: %s: %s", way, check, reason)
		case !failed && known:
			t.Errorf("%s: %s: passes, against the table (%s)", way, check, why)
		}
	}
	for _, check := range r.checks {
		if !slices.Contains(direct.checks, check) {
			t.Errorf("%s: %s: %s", way, check, r.failed[check])
		}
	}
}

func passed(r result) int { return len(r.checks) - len(r.failed) }
