package topology

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// hostile are answers that a hostile or broken server may give to any question.
var hostile = map[string]string{
	"bulk of 2^63-1":   "$9223372036854775807\r\n",
	"bulk of 16 GB":    "$17179869184\r\nxx",
	"array of 2^31":    "*2147483647\r\n",
	"array of 2^63-1":  "*9223372036854775807\r\n",
	"negative":         "*-9223372036854775808\r\n",
	"deep":             strings.Repeat("*1\r\n", 1<<20),
	"map of maps":      strings.Repeat("%1\r\n", 1<<20),
	"attributes":       strings.Repeat("|0\r\n", 1<<20),
	"endless line":     "+" + strings.Repeat("x", 1<<20),
	"line of no type":  "\r\n\r\n",
	"empty array":      "*0\r\n",
	"array of nothing": "*3\r\n*0\r\n*-1\r\n$-1\r\n",
	"numbers":          "*3\r\n:1\r\n:2\r\n:3\r\n",
	"nil":              "*-1\r\n",
	"number":           ":9223372036854775807\r\n",
	"a message":        "*3\r\n$7\r\nmessage\r\n:1\r\n:1\r\n",
	"a pattern's":      "*2\r\n$8\r\npmessage\r\n$1\r\nx\r\n",
	"pushes":           strings.Repeat(">1\r\n+x\r\n", 1<<10),
	"too many":         strings.Repeat("+OK\r\n", 1<<12),
	"streamed":         "*?\r\n$?\r\n;4\r\n",
}

// questions are all questions that the control plane asks, by the commands that they send.
var questions = map[string]func(ctx context.Context, c *conf.Pool, addr string){
	"auth,ping": func(ctx context.Context, c *conf.Pool, addr string) {
		pr := NewProber(slog.New(slog.DiscardHandler))
		defer pr.Stop()
		pr.ping(c, []string{"secret"}, &conf.Server{Network: "tcp", Addr: addr})
	},
	"info,role": func(ctx context.Context, c *conf.Pool, addr string) {
		client := NewClient(ctx, c, &conf.Server{Network: "tcp", Addr: addr})
		defer client.Close()
		observe(ctx, client, addr)
	},
	"command,info": func(ctx context.Context, c *conf.Pool, addr string) {
		pr := NewProber(slog.New(slog.DiscardHandler))
		defer pr.Stop()
		pr.version(c, &conf.Server{Network: "tcp", Addr: addr})
		pr.commands(c, &conf.Server{Network: "tcp", Addr: addr})
	},
	"cluster": func(ctx context.Context, c *conf.Pool, addr string) {
		a := &clusterAsker{conf: c, addr: addr}
		defer a.close()
		a.ask(ctx)
	},
	"sentinel": func(ctx context.Context, c *conf.Pool, addr string) {
		c.Shards = []conf.Shard{{Name: "s1"}}
		f := newSentinelFollower(c, nil, slog.New(slog.DiscardHandler))
		l := &sentinelLink{follower: f, addr: addr}
		client := l.newClient(ctx)
		defer client.Close()
		l.poll(ctx, client)
	},
	"psubscribe,ping": func(ctx context.Context, c *conf.Pool, addr string) {
		f := newSentinelFollower(c, nil, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		f.mailbox = mailbox{ctx: ctx, posts: make(chan func(), 1<<13)}
		l := &sentinelLink{follower: f, addr: addr, wake: make(chan struct{}, 1)}
		client := l.newClient(ctx)
		defer client.Close()
		l.subscribe(ctx, client)
	},
}

// Whatever a server answers, the question ends, memory of the announced size is not
// allocated, and nothing but the question fails.
func TestHostileAnswersAreErrors(t *testing.T) {
	for asked, question := range questions {
		for name, answer := range hostile {
			t.Run(asked+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := answering(t, answer, strings.Split(asked, ",")...)
				c := conf.DefaultPool("alpha")
				c.ConnectTimeout = 300 * time.Millisecond
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				catchPanic(testLog(t), asked, func() { question(t.Context(), &c, s.Addr()) })
				runtime.ReadMemStats(&after)
				if after.Sys > before.Sys+(256<<20) {
					t.Errorf("%d MiB more", (after.Sys-before.Sys)>>20)
				}
			})
		}
	}
}

// answering starts a server that gives one answer to the named commands, and Redis's answers to
// others.
func answering(t *testing.T, answer string, to ...string) *fakeredis.Server {
	return fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		command := strings.ToLower(args[0])
		switch {
		case slices.Contains(to, command):
			c.Reply(answer)
		case command == "hello":
			c.Reply("-ERR unknown command 'HELLO'\r\n")
		case command == "info":
			c.Reply(fakeredis.Bulk("redis_version:7.0.15\r\nrole:master\r\nrun_id:x\r\n"))
		case command == "role":
			c.Reply("*3\r\n+master\r\n:0\r\n*0\r\n")
		default:
			c.Reply("+OK\r\n")
		}
	})
}

// Replies that arrive a byte at a time pass unchanged.
func TestBoundedConnPassesWellFormedReplies(t *testing.T) {
	text := strings.Repeat("role:master\r\n", 100)
	s := fakeredis.StartEach(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Reply("-ERR unknown command 'HELLO'\r\n"),
		fakeredis.ExpectAny(1), fakeredis.Split(fakeredis.Bulk(text)),
		fakeredis.ExpectAny(1), fakeredis.Split("*2\r\n$-1\r\n*1\r\n+x\r\n"),
		fakeredis.Discard(),
	})
	c := conf.DefaultPool("alpha")
	c.ConnectTimeout = 30 * time.Second
	client := NewClient(t.Context(), &c, &conf.Server{Network: "tcp", Addr: s.Addr()})
	defer client.Close()
	if got, err := client.Info(t.Context()).Result(); err != nil || got != text {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := client.Do(t.Context(), "X").Slice(); err != nil || fmt.Sprint(got) != "[<nil> [x]]" {
		t.Errorf("got %v, %v", got, err)
	}
}

// After SIGSTOP and SIGCONT all deadlines of the process are over, and the answers lie in its
// sockets.
func TestAnswerThatHasArrivedIsReadAfterTheDeadline(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	nc, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := bound(t.Context(), nc)
	defer c.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	b := make([]byte, 100)
	for range 3 {
		c.SetReadDeadline(time.Now())
		if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("without an answer: %q, %v", b[:n], err)
		}
		io.WriteString(server, "+PONG\r\n")
		redistest.Eventually(t, time.Minute, "the answer", func() bool {
			c.SetReadDeadline(time.Now())
			n, err := c.Read(b)
			return err == nil && string(b[:n]) == "+PONG\r\n"
		})
	}
}

// COMMAND of a real server is far within the bounds.
func TestRealServersAreWithinTheBounds(t *testing.T) {
	s := redistest.Start(t)
	pr := NewProber(testLog(t))
	defer pr.Stop()
	c := conf.DefaultPool("alpha")
	c.ConnectTimeout = 30 * time.Second
	if facts := pr.commands(&c, &conf.Server{Network: "tcp", Addr: s.Addr()}); len(facts) < 200 {
		t.Errorf("%d commands", len(facts))
	}
}

// panicking is a poolUpdater that panics at the first call.
type panicking struct {
	*recorder
	broken bool
}

func (f *panicking) SetView(shard int, v pool.View) {
	if !f.broken {
		f.broken = true
		panic("broken")
	}
	f.recorder.SetView(shard, v)
}

// A follower that panics ends all goroutines that it has started, so that another one can
// begin.
func TestFollowerThatPanicsEndsWhole(t *testing.T) {
	redistest.CheckLeaks(t)
	s := redistest.Start(t)
	c := haPool(conf.Replicated, "s1")
	c.Shards[0].Servers = []conf.Server{{Network: "tcp", Addr: s.Addr()}}
	to := &panicking{recorder: newRecorder(t)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	before := pool.ControlPanics.Load()
	go func() {
		defer close(done)
		supervise(ctx, testLog(t), "following", func() { newReplicatedFollower(c, to, testLog(t)).run(ctx) })
	}()
	to.follows(s)
	if n := pool.ControlPanics.Load() - before; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
	cancel()
	<-done
}

// Stop does not wait for servers that hang.
func TestStopWaitsForNoAnswer(t *testing.T) {
	redistest.CheckLeaks(t)
	hung := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Stall()})
	c := conf.DefaultPool("alpha")
	c.ConnectTimeout = time.Minute
	c.Servers = []conf.Server{{Name: "a", Network: "tcp", Addr: hung.Addr(), Weight: 1}}
	for name, question := range map[string]func(pr *Prober){
		"ping":     func(pr *Prober) { pr.ping(&c, nil, &c.Servers[0]) },
		"version":  func(pr *Prober) { pr.version(&c, &c.Servers[0]) },
		"commands": func(pr *Prober) { pr.commands(&c, &c.Servers[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			conns := hung.Conns()
			pr := NewProber(testLog(t))
			pr.wg.Go(func() { question(pr) })
			hung.WaitConns(conns + 1)
			began := time.Now()
			pr.Stop()
			if d := time.Since(began); d > 10*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// An endless list of servers is refused, since each server would be asked.
func TestListsOfServersAreBounded(t *testing.T) {
	var nodes []string
	for i := range 2 * clusterServersMost {
		id := fmt.Sprintf("%040d", i)
		nodes = append(nodes, fakeredis.Array(":0\r\n", ":1\r\n", fakeredis.Array(fakeredis.Bulk("127.0.0.1"), fmt.Sprintf(":%d\r\n", 1000+i), fakeredis.Bulk(id))))
	}
	slots := fakeredis.Array(nodes...)
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if len(args) > 1 && args[0] == "CLUSTER" && args[1] == "SLOTS" {
			c.Reply(slots)
		} else {
			c.Reply("-ERR unknown command\r\n")
		}
	})
	c := conf.DefaultPool("alpha")
	c.ConnectTimeout = 30 * time.Second
	a := &clusterAsker{conf: &c, addr: s.Addr()}
	defer a.close()
	if answer := a.ask(t.Context()); answer.err != errTooManyServers {
		t.Errorf("got %v", answer.err)
	}
}
