package admin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// optional returns the path of a program, or skips the test.
func optional(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (on Debian: apt-get install prometheus)", name)
	}
	return path
}

func TestPromtoolFindsNoFaultInTheMetrics(t *testing.T) {
	t.Parallel()
	promtool := optional(t, "promtool")
	w := start(t, "", redistest.Start(t))
	client := redistest.Dial(t, "tcp", w.pool)
	client.Do("SET", "a", "1")
	client.Do("LPUSH", "a", "x")
	redistest.Eventually(t, 10*time.Second, "the requests", func() bool {
		_, text := w.get("/metrics", "")
		return strings.Contains(text, `command="lpush"`)
	})
	_, text := w.get("/metrics", "")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAlertsFireAndStaySilent(t *testing.T) {
	t.Parallel()
	alerts, err := os.ReadFile("../examples/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("../examples/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(alerts, -1) {
		for _, want := range []string{`alertname: %s\s+exp_alerts:\s+- exp_labels`, `alertname: %s\s+exp_alerts: \[\]`} {
			if re := regexp.MustCompile(fmt.Sprintf(want, m[1])); !re.Match(cases) {
				t.Errorf("no case of %s matches %s", m[1], re)
			}
		}
	}
	redistest.SkipShort(t)
	promtool := optional(t, "promtool")
	if out, err := exec.Command(promtool, "test", "rules", "../examples/alerts_test.yml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A Prometheus scrapes the proxy with a password, its rules load, and it understands every query of the board.
func TestPrometheusScrapesAndTheBoardsQueriesWork(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t)
	path := optional(t, "prometheus")
	w := start(t, `password = "secret"`, redistest.Start(t), redistest.Start(t))
	redistest.Dial(t, "tcp", w.pool).Do("SET", "a", "1")
	rules, err := filepath.Abs("../examples/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: ringway
    static_configs: [{targets: [%q]}]
    authorization: {credentials: secret}
`, rules, w.admin)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t: t, addr: redistest.FreeAddr(t)}
	redistest.StartProcess(t, path, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+p.addr)
	for query, want := range map[string]string{
		`sum(ringway_requests_total{pool="alpha",command="set"})`: "1",
		`count(ringway_server_up == 1)`:                           "2",
		`up{job="ringway"}`:                                       "1",
	} {
		redistest.Eventually(t, time.Minute, query, func() bool {
			got, _ := p.query(query)
			return got == want
		})
	}
	for _, query := range boardQueries(t) {
		if _, fault := p.query(query); fault != "" {
			t.Errorf("%s: %s", query, fault)
		}
	}
}

// prometheus is one that runs.
type prometheus struct {
	t    *testing.T
	addr string
}

// query returns the value of a query's first series, "" if there is none, or what Prometheus has
// against the query.
func (p *prometheus) query(query string) (value, fault string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	answer, err := client.Get("http://" + p.addr + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return "", err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err.Error()
	}
	var parsed struct {
		Status, Error string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if err := json.Unmarshal(body, &parsed); err != nil || parsed.Status != "success" {
		return "", fmt.Sprint(err, parsed.Error, string(body))
	}
	if len(parsed.Data.Result) > 0 {
		value = fmt.Sprint(parsed.Data.Result[0].Value[1])
	}
	return value, ""
}

// boardQueries returns all queries of the board, with Grafana's variables filled in.
func boardQueries(t *testing.T) (queries []string) {
	text, err := os.ReadFile("../examples/grafana/ringway.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, panel := range board.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q asks nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			queries = append(queries, strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$pool", ".*").Replace(target.Expr))
		}
	}
	if len(queries) < 20 {
		t.Errorf("the board has %d queries", len(queries))
	}
	return queries
}
