package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

const topHelp = `ringway top shows what a running proxy does, live: servers, commands, clients, hot
keys and pools, sorted, with the latency of the last minute. It asks the console,
which is at the address of [admin] in the proxy's configuration.

usage:
  ringway top [-c FILE | --admin ADDR]

keys:
  1 to 5, tab, shift-tab    servers, commands, clients, hot keys, pools
  left, right; r            the column to sort by; the other way round
  up, down, page up, page down, home
                            scroll
  space                     pause, go on
  q, ctrl-c                 quit

Bars are the 99th percentile of latency, two seconds each: the lowest stands for
0.1 ms and less, each higher one for twice as much.
`

// topEvery is the time between two looks. The proxy takes a sample every two seconds.
const topEvery = 2 * time.Second

// runTop shows tables of a running proxy's console live, until the user quits.
func runTop(s streams, args []string) int {
	fs := newFlags("top")
	path := fs.String("c", "", "configuration `FILE` of the running proxy")
	var at consoleAddr
	at.register(fs)
	if code, done := s.parse(fs, args, topHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("top", err)
	}
	if !isTerminal(s.in) || !isTerminal(s.out) || os.Getenv("TERM") == "dumb" {
		return s.fail("top", errors.New(`it needs a terminal; "ringway status" prints the same once`))
	}
	var cfg *conf.Config
	if *path != "" {
		if cfg, _ = s.load("top", *path); cfg == nil {
			return exitUsage
		}
	}
	if err := at.complete(cfg); err != nil {
		return s.fail("top", err)
	}
	client := at.client(3, statusTimeout)
	defer client.Close()
	m := &topModel{client: client, addr: client.Options().Addr, latencies: map[string][]float64{}}
	first := m.look()
	if first.err != nil {
		return s.fail("top", first.err)
	}
	m.take(first)
	if _, err := tea.NewProgram(m, tea.WithInput(s.in), tea.WithOutput(s.out)).Run(); err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return s.fail("top", err)
	}
	return exitOK
}

// isTerminal reports whether a stream of the process is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}

// topModel is what top shows and how. It is the tea.Model.
type topModel struct {
	client *redis.Client
	addr   string

	shown     look                 // the last one that succeeded
	err       error                // of the last one
	latencies map[string][]float64 // of the last minute, by view and row, oldest first

	view          int // an index in topViews
	sorted        [len(topViews)]topSort
	scroll        int
	paused        bool
	width, height int
}

// topSort is how a view is sorted.
type topSort struct {
	moved    int // columns to the right of the view's own choice
	reversed bool
}

// look is what the console said at one time.
type look struct {
	process map[string]any     // SHOW VERSION
	loops   []map[string]any   // SHOW LOOPS
	rows    [][]map[string]any // for each view; nil for one that was not asked
	err     error
}

type topTick struct{}

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return m.wait() }

// wait returns what ends when it is time for another look.
func (m *topModel) wait() tea.Cmd {
	return tea.Tick(topEvery, func(time.Time) tea.Msg { return topTick{} })
}

// Update implements tea.Model.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topTick:
		if m.paused {
			return m, m.wait()
		}
		return m, tea.Batch(m.wait(), m.lookSoon())
	case look:
		if !m.paused {
			m.take(msg)
		}
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// key does what a key stands for.
func (m *topModel) key(name string) tea.Cmd {
	page := max(1, m.height-topFrame)
	sort := &m.sorted[m.view]
	columns := len(topViews[m.view].columns)
	switch name {
	case "q", "ctrl+c", "esc":
		return tea.Quit
	case "space":
		m.paused = !m.paused
	case "tab":
		return m.change((m.view + 1) % len(topViews))
	case "shift+tab":
		return m.change((m.view + len(topViews) - 1) % len(topViews))
	case "right":
		sort.moved = (sort.moved + 1) % columns
	case "left":
		sort.moved = (sort.moved + columns - 1) % columns
	case "r":
		sort.reversed = !sort.reversed
	case "down":
		m.scroll++
	case "up":
		m.scroll = max(0, m.scroll-1)
	case "pgdown":
		m.scroll += page
	case "pgup":
		m.scroll = max(0, m.scroll-page)
	case "home":
		m.scroll = 0
	case "1", "2", "3", "4", "5":
		return m.change(int(name[0] - '1'))
	}
	return nil
}

// change shows another view, and asks for its rows even in a pause: they may never have been.
func (m *topModel) change(view int) tea.Cmd {
	m.view, m.scroll = view, 0
	if m.paused && m.shown.rows[view] != nil {
		return nil
	}
	m.paused = false
	return m.lookSoon()
}

// lookSoon returns what asks the console, beside the program.
func (m *topModel) lookSoon() tea.Cmd {
	asked := *m // the program goes on changing m
	return func() tea.Msg { return asked.look() }
}

// look asks the console for what is shown. Views with bars are asked always: their bars go on.
func (m *topModel) look() look {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	pipe := m.client.Pipeline()
	process, loops := pipe.Do(ctx, "SHOW", "VERSION"), pipe.Do(ctx, "SHOW", "LOOPS")
	tables := make([]*redis.Cmd, len(topViews))
	for i := range topViews {
		if i == m.view || topViews[i].latency != "" {
			tables[i] = pipe.Do(ctx, "SHOW", topViews[i].table)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return look{err: explainConsole(err)}
	}
	l := look{process: map[string]any{}, loops: maps(loops), rows: make([][]map[string]any, len(topViews))}
	for _, row := range maps(process) {
		l.process[fmt.Sprint(row["what"])] = row["value"]
	}
	for i, table := range tables {
		if table != nil {
			l.rows[i] = maps(table)
		}
	}
	return l
}

// maps returns a table of the console in RESP3.
func maps(reply *redis.Cmd) []map[string]any {
	all, _ := reply.Val().([]any)
	rows := make([]map[string]any, 0, len(all))
	for _, one := range all {
		row := map[string]any{}
		if pairs, ok := one.(map[any]any); ok {
			for name, value := range pairs {
				row[fmt.Sprint(name)] = value
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// take takes what the console said, and adds it to the bars.
func (m *topModel) take(l look) {
	if m.err = l.err; l.err != nil {
		return
	}
	for i := range l.rows {
		if l.rows[i] == nil && m.shown.rows != nil {
			l.rows[i] = m.shown.rows[i]
		}
	}
	m.shown = l
	latencies := map[string][]float64{} // without rows that are gone
	for i := range topViews {
		if topViews[i].latency == "" {
			continue
		}
		for _, row := range l.rows[i] {
			now, _ := row[topViews[i].latency].(float64)
			id := topViews[i].id(row)
			all := append(m.latencies[id], now)
			latencies[id] = all[max(0, len(all)-topBars):]
		}
	}
	m.latencies = latencies
}

// id names a row of the view.
func (v *topView) id(row map[string]any) string {
	names := []string{v.name}
	for _, c := range v.columns[:v.naming] {
		names = append(names, fmt.Sprint(row[c.from]))
	}
	return strings.Join(names, "\x00")
}
