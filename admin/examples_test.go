package admin

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// What operators take over from examples/ has no metric that the proxy lacks.
func TestExamplesUseMetricsThatExist(t *testing.T) {
	t.Parallel()
	var names []string
	for _, m := range allMetrics {
		names = append(names, m.name)
	}
	for _, file := range []string{"../examples/grafana/ringway.json", "../examples/alerts.yml", "../examples/alerts_test.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		used := regexp.MustCompile(`\bringway_[a-z_]+`).FindAllString(string(text), -1)
		if len(used) == 0 {
			t.Errorf("%s uses no metric", file)
		}
		for _, name := range used {
			plain := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if !slices.Contains(names, name) && !slices.Contains(names, plain) {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}
