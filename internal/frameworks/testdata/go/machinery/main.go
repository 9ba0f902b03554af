// Command machinery runs a worker and sends it single tasks, groups, chords and chains.
package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"frameworks/checks"

	"github.com/RichardKnop/machinery/v1"
	"github.com/RichardKnop/machinery/v1/backends/result"
	"github.com/RichardKnop/machinery/v1/config"
	"github.com/RichardKnop/machinery/v1/log"
	"github.com/RichardKnop/machinery/v1/tasks"
)

type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
func (silent) Fatal(...any)          {}
func (silent) Fatalf(string, ...any) {}
func (silent) Fatalln(...any)        {}
func (silent) Panic(...any)          {}
func (silent) Panicf(string, ...any) {}
func (silent) Panicln(...any)        {}

func main() {
	checks.Version("github.com/RichardKnop/machinery")
	log.Set(silent{})
	server, err := machinery.NewServer(&config.Config{
		Broker: "redis://" + checks.Addr, ResultBackend: "redis://" + checks.Addr, Lock: "redis://" + checks.Addr, DefaultQueue: "machinery_tasks", ResultsExpireIn: 3600,
		Redis: &config.RedisConfig{NormalTasksPollPeriod: 100, DelayedTasksPollPeriod: 100},
	})
	if err != nil {
		fmt.Println("not ok server:", err)
		return
	}
	var tries atomic.Int32
	server.RegisterTasks(map[string]any{
		"add": func(numbers ...int64) (sum int64, _ error) {
			for _, n := range numbers {
				sum += n
			}
			return sum, nil
		},
		"flaky": func() (int64, error) {
			if n := tries.Add(1); n < 3 {
				return 0, tasks.NewErrRetryTaskLater("again", 100*time.Millisecond)
			}
			return 3, nil
		},
		"fails": func() error { return errors.New("no") },
	})
	worker := server.NewWorker("worker", 4)
	go worker.Launch()

	add := func(numbers ...int64) *tasks.Signature {
		s, _ := tasks.NewSignature("add", nil)
		for _, n := range numbers {
			s.Args = append(s.Args, tasks.Arg{Type: "int64", Value: n})
		}
		return s
	}
	get := func(r *result.AsyncResult) (int64, error) {
		values, err := r.GetWithTimeout(12*time.Second, 50*time.Millisecond)
		if err != nil {
			return 0, err
		}
		return values[0].Int(), nil
	}
	send := func(s *tasks.Signature) (int64, error) {
		r, err := server.SendTask(s)
		if err != nil {
			return 0, err
		}
		return get(r)
	}
	checks.Check("results", func() error {
		for i := range int64(10) {
			n, err := send(add(i, i))
			if err := checks.All(err, checks.Equal(n, 2*i)); err != nil {
				return err
			}
		}
		return nil
	})
	checks.Check("delayed", func() error {
		s, at := add(1, 1), time.Now().UTC().Add(time.Second)
		s.ETA = &at
		n, err := send(s)
		return checks.All(err, checks.Equal(n, int64(2)), checks.Equal(time.Now().Before(at), false))
	})
	checks.Check("retries", func() error {
		s, _ := tasks.NewSignature("flaky", nil)
		n, err := send(s)
		return checks.All(err, checks.Equal(n, int64(3)))
	})
	checks.Check("failures", func() error {
		s, _ := tasks.NewSignature("fails", nil)
		_, err := send(s)
		return checks.Equal(err != nil && err.Error() == "no", true)
	})
	checks.Check("group", func() error {
		g, _ := tasks.NewGroup(add(1, 1), add(2, 2), add(3, 3))
		results, err := server.SendGroup(g, 2)
		if err != nil {
			return err
		}
		for i, r := range results {
			n, err := get(r)
			if err := checks.All(err, checks.Equal(n, int64(2*i+2))); err != nil {
				return err
			}
		}
		return nil
	})
	checks.Check("chord", func() error {
		g, _ := tasks.NewGroup(add(1, 1), add(2, 2), add(3, 3))
		c, _ := tasks.NewChord(g, add())
		r, err := server.SendChord(c, 2)
		if err != nil {
			return err
		}
		values, err := r.GetWithTimeout(12*time.Second, 50*time.Millisecond)
		if err != nil {
			return err
		}
		return checks.Equal(values[0].Int(), int64(12))
	})
	checks.Check("chain", func() error {
		c, _ := tasks.NewChain(add(1, 1), add(5), add(7))
		r, err := server.SendChain(c)
		if err != nil {
			return err
		}
		values, err := r.GetWithTimeout(12*time.Second, 50*time.Millisecond)
		if err != nil {
			return err
		}
		return checks.Equal(values[0].Int(), int64(14))
	})
	checks.Check("pending tasks", func() error {
		s := add(1)
		s.RoutingKey = "idle"
		if _, err := server.SendTask(s); err != nil {
			return err
		}
		pending, err := server.GetBroker().GetPendingTasks("idle")
		return checks.All(err, checks.Equal(len(pending), 1))
	})
	checks.Check("worker ends", func() error { worker.Quit(); return nil })
}
