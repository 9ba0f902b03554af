// Command asynq runs a server with three queues, and enqueues what it supports.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"frameworks/checks"

	"github.com/hibiken/asynq"
)

var (
	redis = asynq.RedisClientOpt{Addr: checks.Addr}

	mu   sync.Mutex
	seen = map[string][]string{} // by the task's type
)

func note(ctx context.Context, t *asynq.Task) error {
	mu.Lock()
	defer mu.Unlock()
	seen[t.Type()] = append(seen[t.Type()], string(t.Payload()))
	return nil
}

func count(kind string) int {
	mu.Lock()
	defer mu.Unlock()
	return len(seen[kind])
}

func main() {
	checks.Version("github.com/hibiken/asynq")
	client, inspector := asynq.NewClient(redis), asynq.NewInspector(redis)
	server := asynq.NewServer(redis, asynq.Config{
		Concurrency: 4, Queues: map[string]int{"critical": 6, "default": 3, "low": 1}, LogLevel: asynq.FatalLevel,
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 0 },
		DelayedTaskCheckInterval: 200 * time.Millisecond, TaskCheckInterval: 100 * time.Millisecond,
		GroupGracePeriod: time.Second,
		GroupAggregator: asynq.GroupAggregatorFunc(func(group string, tasks []*asynq.Task) *asynq.Task {
			return asynq.NewTask("all", binary.BigEndian.AppendUint32(nil, uint32(len(tasks))), asynq.Queue("default"))
		}),
	})
	mux := asynq.NewServeMux()
	var tries atomic.Int32
	mux.HandleFunc("flaky", func(ctx context.Context, t *asynq.Task) error {
		if tries.Add(1) < 3 {
			return errors.New("again")
		}
		return note(ctx, t)
	})
	mux.HandleFunc("fails", func(context.Context, *asynq.Task) error { return asynq.SkipRetry })
	mux.HandleFunc("result", func(ctx context.Context, t *asynq.Task) error {
		_, err := t.ResultWriter().Write([]byte("42"))
		return err
	})
	mux.HandleFunc("slow", func(ctx context.Context, t *asynq.Task) error {
		<-ctx.Done()
		note(ctx, t)
		return ctx.Err()
	})
	for _, kind := range []string{"mail", "later", "all", "tick", "once"} {
		mux.HandleFunc(kind, note)
	}
	checks.Check("server starts", func() error { return server.Start(mux) })
	enqueue := func(kind, payload string, opts ...asynq.Option) error {
		_, err := client.Enqueue(asynq.NewTask(kind, []byte(payload)), opts...)
		return err
	}

	checks.Check("three queues", func() error {
		for i := range 30 {
			if err := enqueue("mail", "x", asynq.Queue([]string{"critical", "default", "low"}[i%3])); err != nil {
				return err
			}
		}
		return checks.Until("30 tasks", func() bool { return count("mail") == 30 })
	})
	checks.Check("delayed", func() error {
		return checks.All(enqueue("later", "x", asynq.ProcessIn(time.Second)), checks.Until("the task", func() bool { return count("later") == 1 }))
	})
	checks.Check("retries", func() error {
		return checks.All(enqueue("flaky", "x", asynq.MaxRetry(5)), checks.Until("the third try", func() bool { return count("flaky") == 1 }))
	})
	checks.Check("archived tasks are run again", func() error {
		return checks.All(enqueue("fails", "x", asynq.TaskID("f")), checks.Until("the archive", func() bool {
			tasks, err := inspector.ListArchivedTasks("default")
			return err == nil && len(tasks) == 1
		}), inspector.RunTask("default", "f"))
	})
	checks.Check("unique", func() error {
		err := enqueue("once", "x", asynq.Unique(time.Minute), asynq.ProcessIn(time.Hour))
		again := enqueue("once", "x", asynq.Unique(time.Minute), asynq.ProcessIn(time.Hour))
		return checks.All(err, checks.Equal(errors.Is(again, asynq.ErrDuplicateTask), true))
	})
	checks.Check("results", func() error {
		return checks.All(enqueue("result", "x", asynq.TaskID("r"), asynq.Retention(time.Minute)), checks.Until("the result", func() bool {
			info, err := inspector.GetTaskInfo("default", "r")
			return err == nil && string(info.Result) == "42"
		}))
	})
	checks.Check("groups", func() error {
		for range 5 {
			if err := enqueue("part", "x", asynq.Group("g")); err != nil {
				return err
			}
		}
		return checks.Until("the aggregate", func() bool { return count("all") == 1 })
	})
	checks.Check("cancellation", func() error {
		return checks.All(enqueue("slow", "x", asynq.TaskID("s"), asynq.MaxRetry(0)), checks.Until("its start", func() bool {
			tasks, err := inspector.ListActiveTasks("default")
			return err == nil && len(tasks) == 1
		}), checks.Until("its end", func() bool { inspector.CancelProcessing("s"); return count("slow") >= 1 }))
	})
	checks.Check("periodic tasks", func() error {
		s := asynq.NewScheduler(redis, &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel})
		if _, err := s.Register("@every 1s", asynq.NewTask("tick", nil)); err != nil {
			return err
		}
		if err := s.Start(); err != nil {
			return err
		}
		defer s.Shutdown()
		return checks.Until("two ticks", func() bool { return count("tick") >= 2 })
	})
	checks.Check("inspection", func() error {
		queues, err := inspector.Queues()
		if err != nil {
			return err
		}
		info, err := inspector.GetQueueInfo("default")
		if err != nil {
			return err
		}
		servers, err := inspector.Servers()
		return checks.All(err, checks.Equal(len(queues), 3), checks.Equal(info.Scheduled, 1), checks.Equal(len(servers), 1))
	})
	checks.Check("pause and deletion", func() error {
		if err := enqueue("idle", "x", asynq.Queue("idle")); err != nil {
			return err
		}
		return checks.All(inspector.PauseQueue("idle"), inspector.UnpauseQueue("idle"), inspector.DeleteQueue("idle", true))
	})
	checks.Check("server ends", func() error { server.Shutdown(); return nil })
}
