package frameworks

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/hatest"
	"ringway/internal/redistest"
)

// jobs is how many jobs each run adds.
const jobs = 120

// Workers and servers are killed with SIGKILL while jobs are added and worked on. No job
// may be lost. A job may be done twice only if something was killed between its two
// starts: a queue whose worker or server is gone can't know how far the job was. The
// servers write each change to their files before they answer. RQ and Celery forget a job whose
// worker dies right after its BLPOP; their programs find these, one for each kill at most.
func TestFrameworksUnderKills(t *testing.T) {
	cache(t)
	for _, q := range []struct{ name, program, settings string }{
		// Each queue by its name, so that they are on several shards.
		{"BullMQ", "node/bullmq_jobs.mjs", `together = ["bull:(*):*"]`},
		{"RQ", "python/rq_kills.py", `together = ["@rq"]`},
		{"asynq", "go/asynq_jobs", ""}, // its keys have hash tags
		{"Celery", "python/celery_kills.py", `together = ["@celery", { name = "celery", keys = ["urgent*", "slow*", "kombu*"] }]`},
	} {
		t.Run(q.name, func(t *testing.T) {
			t.Run("directly", func(t *testing.T) {
				server := startDurable(t, 1)
				killAndCheck(t, q.program, server[0].Addr(), server)
			})
			t.Run("four shards", func(t *testing.T) {
				servers := startDurable(t, 4)
				lines := []string{q.settings, hatest.Servers(servers...)}
				killAndCheck(t, q.program, hatest.Serve(t, lines...).Addr, servers)
			})
		})
	}
}

func startDurable(t *testing.T, n int) []*redistest.Server {
	return redistest.StartN(t, n, redistest.Args("--appendonly", "yes", "--appendfsync", "always"))
}

// killAndCheck adds jobs, kills workers and each of the servers meanwhile, and checks
// the notes that the jobs left.
func killAndCheck(t *testing.T, program, addr string, servers []*redistest.Server) {
	n := notes{t: t, path: filepath.Join(t.TempDir(), "notes")}
	n.start(program, addr, "add")
	workers := []*redistest.Process{n.start(program, addr, "work"), n.start(program, addr, "work")}
	done := 10
	for i, s := range servers {
		n.until(workers, done+20*i)
		n.kill(func() { workers[i%2].Kill() })
		n.until(workers, done+20*i+10)
		n.kill(s.Kill)
		s.Restart()
	}
	n.until(workers, jobs)
	n.check()
}

// notes is the file in which jobs note what happens to them, and when something was
// killed.
type notes struct {
	t     *testing.T
	path  string
	kills []int64 // in milliseconds, as in the file
}

// start runs a program in a role until the test ends.
func (n *notes) start(program, addr, role string) *redistest.Process {
	dir, args := command(n.t, program)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		n.t.Fatal(err)
	}
	args = append([]string{
		"-C", dir, "REDIS_HOST=" + host, "REDIS_PORT=" + port, "NOTES=" + n.path, "JOBS=" + strconv.Itoa(jobs),
	}, append(args, role)...)
	return redistest.StartProcess(n.t, redistest.RequireTool(n.t, "env"), args...)
}

func (n *notes) kill(f func()) {
	n.kills = append(n.kills, time.Now().UnixMilli())
	f()
	n.kills = append(n.kills, time.Now().UnixMilli())
}

// until waits until so many different jobs were done. It starts workers again that have
// ended, as the system does with services.
func (n *notes) until(workers []*redistest.Process, done int) {
	n.t.Helper()
	redistest.Eventually(n.t, 3*time.Minute, fmt.Sprintf("%d jobs done", done), func() bool {
		for _, w := range workers {
			select {
			case <-w.Exited():
				w.Restart()
			default:
			}
		}
		return len(n.read()["done"]) >= done
	})
}

// read returns the times of each note by its kind and the job.
func (n *notes) read() map[string]map[string][]int64 {
	text, err := os.ReadFile(n.path)
	if err != nil && !os.IsNotExist(err) {
		n.t.Fatal(err)
	}
	found := map[string]map[string][]int64{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || !strings.HasSuffix(line, "\n") {
			continue // being written
		}
		at, _ := strconv.ParseInt(fields[0], 10, 64)
		if found[fields[1]] == nil {
			found[fields[1]] = map[string][]int64{}
		}
		found[fields[1]][fields[2]] = append(found[fields[1]][fields[2]], at)
	}
	return found
}

func (n *notes) check() {
	found := n.read()
	for job := range found["added"] {
		if len(found["done"][job]) == 0 {
			n.t.Errorf("%s is lost", job)
		}
	}
	if rescued, most := len(found["rescued"]), len(n.kills); rescued > most {
		n.t.Errorf("%d jobs were in no queue, more than the %d kills explain", rescued, most)
	}
	twice := 0
	for job, starts := range found["started"] {
		for i := 1; i < len(starts); i++ {
			twice++
			if !slices.ContainsFunc(n.kills, func(at int64) bool { return starts[i-1] <= at+1000 && at <= starts[i] }) {
				n.t.Errorf("%s was started twice, at %v, and nothing was killed between", job, starts)
			}
		}
	}
	n.t.Logf("%d jobs added, %d done, %d of them started again, %d rescued", len(found["added"]), len(found["done"]), twice, len(found["rescued"]))
}
