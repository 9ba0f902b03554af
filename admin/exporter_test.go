package admin_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// The real redis_exporter at the pool's own port finds one Redis: what it shows is about all shards.
func TestRedisExporterFindsOneRedis(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("prometheus-redis-exporter")
	if err != nil {
		t.Skip("prometheus-redis-exporter is not installed (on Debian: apt-get install prometheus-redis-exporter)")
	}
	servers := redistest.StartN(t, 2)
	for _, s := range servers {
		s.Do("CONFIG", "SET", "slowlog-log-slower-than", "0", "latency-monitor-threshold", "1")
	}
	w := startPool(t, "", `hash = "md5"`+"\n"+`allow_commands = ["latency", "slowlog", "config|get"]`, servers...)
	client := redistest.Dial(t, "tcp", w.pool)
	for i := range 100 {
		client.Do("SET", fmt.Sprint("key:", i), "v", "EX", "1000")
		client.Do("GET", fmt.Sprint("key:", i))
		client.Do("LPUSH", fmt.Sprint("key:", i), "x")
	}
	addr := redistest.FreeAddr(t)
	redistest.StartProcess(t, path, "-redis.addr", "redis://"+w.pool, "-web.listen-address", addr, "-export-client-list")
	var text string
	redistest.Eventually(t, 30*time.Second, "redis_up", func() bool {
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + addr + "/metrics")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		text = string(b)
		return err == nil && strings.Contains(text, "\nredis_up 1\n")
	})
	for _, want := range []string{
		`redis_db_keys{db="db0"} 100`, `redis_db_keys_expiring{db="db0"} 100`, `redis_commands_total{cmd="set"} 100`, `redis_commands_total{cmd="get"} 100`,
		`redis_commands_failed_calls_total{cmd="lpush"} 100`, `redis_errors_total{err="WRONGTYPE"} 100`, `redis_keyspace_hits_total 100`,
		`redis_latency_percentiles_usec_count{cmd="get"} 100`, `redis_connected_clients 2`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	for _, want := range []string{
		`redis_instance_info{`, `redis_latency_percentiles_usec{cmd="get",quantile="99"} `, `redis_memory_used_bytes `, `redis_slowlog_length 2`, `redis_slowlog_last_id `,
		`redis_last_slow_execution_duration_seconds `, `redis_connected_clients_details{`, `redis_uptime_in_seconds `, `redis_start_time_seconds `, `redis_config_maxmemory 0`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("nothing that begins with %q", want)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "redis_") {
				t.Log(line)
			}
		}
	}
}
