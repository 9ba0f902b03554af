package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"ringway/internal/redistest"
)

// terminal is a terminal in which a command runs.
type terminal struct {
	t      *testing.T
	pty    *os.File
	screen *vt.SafeEmulator
	ended  chan error // of capacity one
	before *term.State
	tty    *os.File
}

// inTerminal runs ringway in a terminal.
func inTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	path, err := exec.LookPath("ringway") // TestMain put it there
	if err != nil {
		t.Fatal(err)
	}
	p, tty, err := pty.Open()
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	const width, height = 200, 30
	pty.Setsize(p, &pty.Winsize{Rows: height, Cols: width})
	x := &terminal{t: t, pty: p, tty: tty, screen: vt.NewSafeEmulator(width, height), ended: make(chan error, 1)}
	if x.before, err = term.GetState(tty.Fd()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read, answered := make(chan struct{}), make(chan struct{})
	go func() { // what the program writes, to the screen
		defer close(read)
		chunk := make([]byte, 4<<10)
		for {
			n, err := p.Read(chunk)
			if err != nil {
				return
			}
			x.screen.Write(chunk[:n])
		}
	}()
	go func() { // what the screen answers, to the program
		defer close(answered)
		chunk := make([]byte, 4<<10)
		for {
			n, err := x.screen.Read(chunk)
			if err != nil {
				return
			}
			p.Write(chunk[:n])
		}
	}()
	go func() { x.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the screen:\n" + x.screen.String())
		}
		cmd.Process.Kill()
		tty.Close()
		p.Close()
		x.screen.Close()
		<-read
		<-answered
	})
	return x
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := x.pty.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// shows waits until the screen has a line that matches each pattern.
func (x *terminal) shows(patterns ...string) {
	x.t.Helper()
	for _, pattern := range patterns {
		re := regexp.MustCompile("(?m)" + pattern)
		redistest.Eventually(x.t, patience, "a screen that matches "+pattern, func() bool {
			return re.MatchString(x.screen.String())
		})
	}
}

// quits waits until the program has ended well, and checks that the terminal is as it was.
func (x *terminal) quits() {
	x.t.Helper()
	if err := <-x.ended; err != nil {
		x.t.Errorf("ended with %v", err)
	}
	after, err := term.GetState(x.tty.Fd())
	if err != nil {
		x.t.Fatal(err)
	}
	if fmt.Sprint(*after) != fmt.Sprint(*x.before) {
		x.t.Errorf("the terminal is %v, was %v", after, x.before)
	}
	redistest.Eventually(x.t, patience, "the main screen", func() bool { return !strings.Contains(x.screen.String(), "servers") })
	if x.screen.CursorHidden() {
		x.t.Error("the cursor is hidden")
	}
}

func TestTopShowsTheDemo(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p := start(t, "demo", "--traffic", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	addr := printed(t, p, `http://(\S+)/ `)[0]
	x := inTerminal(t, "top", "--admin", addr)
	x.shows(`^ringway .* clients \d+ of \d+, loops busy \d+%`, `demo +node\d +primary +up +[1-9][\d.]* +[\d.]+ms +[\d.]+ms .*[▁▂▃▄▅▆▇█]`)
	x.press("2")
	x.shows(`calls/s↓`, `demo +get +[1-9]`)
	x.press("\t")
	x.shows(`demo +\d+ +127.0.0.1:\d+`)
	x.press("4")
	x.shows(`demo +\S+ +[\d.]+k? +[\d.]+`)
	x.press("5")
	x.shows(`demo +127.0.0.1:\d+ +\d+ +[1-9]`)
	x.press("\x1b[C")
	x.shows(`errors/s↓`)
	x.press("r")
	x.shows(`errors/s↑`)
	x.press(" ")
	x.shows(`^paused`)
	x.press(" ")
	x.shows(`^q: quit`)
	x.press("q")
	x.quits()
}

func TestTopShowsAKilledServer(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	servers := []*redistest.Server{redistest.Start(t), redistest.Start(t)}
	config := configFile(t, "127.0.0.1:0", []string{servers[0].Addr() + " one", servers[1].Addr() + " two"}, `[admin]`, `listen = "127.0.0.1:0"`, `password = "secret"`)
	p := start(t, "-c", config)
	addr := printed(t, p, `msg="listening for operators" addr=(\S+)`)[0]
	client := redistest.NewClient(t, printed(t, p, `msg=listening .*addr=(\S+)`)[0], "")
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() { // a server is found to be down by its requests
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				client.Get(context.Background(), fmt.Sprint("key:", i))
			}
		}
	}()
	x := inTerminal(t, "top", "-c", config, "--admin", addr)
	x.shows(`alpha +two +primary +up`)
	servers[1].Kill()
	x.shows(`alpha +two +primary +down`)
	servers[1].Restart()
	x.shows(`alpha +two +primary +up`)
	p.Kill()
	x.shows(`no figures: .*trying again`)
	x.press("\x03")
	x.quits()
}
