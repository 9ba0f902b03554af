// Command asynq_jobs has jobs under kills: "add" adds JOBS jobs to four queues and notes each
// that was accepted, "work" works on them and notes when it starts and ends each.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"frameworks/checks"

	"github.com/hibiken/asynq"
)

var (
	redis  = asynq.RedisClientOpt{Addr: checks.Addr}
	queues = []string{"mail", "sums", "images", "reports"}
)

func note(what, name string) {
	f, err := os.OpenFile(os.Getenv("NOTES"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%d %s %s\n", time.Now().UnixMilli(), what, name)
}

func add() {
	client := asynq.NewClient(redis)
	jobs, _ := strconv.Atoi(os.Getenv("JOBS"))
	for n := range jobs {
		name := fmt.Sprintf("job-%d", n)
		for {
			// The same id again adds nothing: an add of unknown outcome may be repeated.
			_, err := client.Enqueue(asynq.NewTask("job", []byte(name)), asynq.TaskID(name), asynq.Queue(queues[n%4]), asynq.Retention(time.Hour))
			if err == nil || errors.Is(err, asynq.ErrTaskIDConflict) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		note("added", name)
		time.Sleep(10 * time.Millisecond)
	}
	select {} // until the test ends
}

// work takes a job back after a lease of 30 s that nobody extends: the worker was killed.
func work() {
	server := asynq.NewServer(redis, asynq.Config{
		Concurrency: 2, Queues: map[string]int{"mail": 1, "sums": 1, "images": 1, "reports": 1}, LogLevel: asynq.FatalLevel,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 0 },
		DelayedTaskCheckInterval: 200 * time.Millisecond, TaskCheckInterval: 100 * time.Millisecond,
	})
	err := server.Run(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		note("started", string(t.Payload()))
		time.Sleep(30 * time.Millisecond)
		note("done", string(t.Payload()))
		return nil
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func main() {
	map[string]func(){"add": add, "work": work}[os.Args[1]]()
}
