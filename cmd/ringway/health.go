package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"ringway/conf"
)

const healthHelp = `ringway health asks a running proxy whether clients are to be sent to it, as the
health check of a container does: /readyz at the address of [admin].

usage:
  ringway health [-c FILE | --admin ADDR] [--live]

It prints what the proxy says. Exit codes: 0 ready (or alive), 1 not, or no answer;
2 wrong command line or configuration.
`

// healthTimeout is how long the proxy may take to answer. /livez takes a second if a loop hangs.
const healthTimeout = 3 * time.Second

func runHealth(s streams, args []string) int {
	fs := newFlags("health")
	path := fs.String("c", "", "configuration `FILE` of the running proxy")
	live := fs.Bool("live", false, "ask whether its event loops turn (/livez), not whether it is ready")
	var at consoleAddr
	fs.StringVar(&at.addr, "admin", "", "`ADDR` of [admin]; the default is that of -c, or "+defaultAdmin)
	if code, done := s.parse(fs, args, healthHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("health", err)
	}
	var cfg *conf.Config
	if *path != "" {
		if cfg, _ = s.load("health", *path); cfg == nil {
			return exitUsage
		}
	}
	if err := at.complete(cfg); err != nil {
		return s.fail("health", err)
	}
	page := "/readyz"
	if *live {
		page = "/livez"
	}
	said, err := at.get(page)
	if err != nil {
		return s.fail("health", err)
	}
	fmt.Fprintln(s.out, said)
	return exitOK
}

// get returns the text of a page of the proxy's admin address. err has the text of one whose status is not 200.
func (c *consoleAddr) get(page string) (text string, err error) {
	client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, c.network, c.addr)
		},
	}}
	answer, err := client.Get("http://ringway" + page)
	if err != nil {
		return "", fmt.Errorf("%w; is the proxy running, with this address in [admin]?", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	text = strings.TrimSpace(string(body))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", answer.Status, text)
	}
	return text, err
}
