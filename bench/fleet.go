package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// serversInRing is how many Redis servers stand behind the proxies.
const serversInRing = 4

// Names of the targets that the harness knows how to start.
const (
	nameDirect     = "direct"
	nameHAProxy    = "haproxy"
	nameNutcracker = "nutcracker"
	nameRingway    = "ringway"
	nameNull       = "null"
)

// fleet holds everything that was started for a plan: servers and targets.
type fleet struct {
	Targets []*Target // in the order they are shown
	Servers []*Target // behind the proxies
	Skipped []string  // what was not started, and why

	tls  *certificate      // of the ports for TLS; nil for none
	both map[string]string // by target: the address for TLS of one that was started with it

	dir     string // holds configurations and sockets; removed by close
	spawner *spawner
}

// fleetOptions says what to start.
type fleetOptions struct {
	Self    []string       // the command that runs Main, for the null server
	Null    bool           // null servers instead of redis-server behind the proxies
	Only    []string       // names of targets; empty means all
	Extra   []*Target      // targets that are running already
	Ringway []ringwayBuild // the Ringways to start; empty for none
	TLS     bool           // each target has a port for TLS too, which is a target of its own
	Merging bool           // start each Ringway once more, with merge_sets
}

// ringwayBuild is one Ringway to measure: a binary and how many loops it gets.
type ringwayBuild struct {
	Name  string
	Path  string
	Loops int // 0: the binary's default
}

// loopsSuffix ends the name of a build that is measured with n loops.
func loopsSuffix(n int) string { return fmt.Sprintf("-%dloops", n) }

// startFleet starts servers and targets, except programs that it does not find. It fails
// only if nothing could be measured. The caller closes the fleet.
func startFleet(o fleetOptions) (f *fleet, err error) {
	dir, err := os.MkdirTemp("", "ringway-bench")
	if err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	f = &fleet{dir: dir, spawner: newSpawner()}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if o.TLS {
		c, err := makeCertificate(dir)
		if err != nil {
			return f, fmt.Errorf("certificate: %w", err)
		}
		f.tls, f.both = &c, map[string]string{}
	}
	if err := f.startServers(o); err != nil {
		return f, err
	}
	f.try(o, nameDirect, f.startDirect)
	f.try(o, nameHAProxy, f.startHAProxy)
	f.try(o, nameNutcracker, f.startNutcracker)
	for _, b := range o.Ringway {
		// --targets selects all builds by one name, whatever their names in the table.
		f.try(o, nameRingway, func() (*Target, error) { return f.startRingways(b, o.Merging) })
	}
	if len(o.Ringway) == 0 {
		f.try(o, nameRingway, func() (*Target, error) { return nil, errNoBinary })
	}
	f.Targets = append(f.Targets, o.Extra...)
	f.try(o, nameNull, func() (*Target, error) { return f.startNull(o.Self) })
	if len(f.Targets) == 0 {
		return f, fmt.Errorf("no target to measure: %s", strings.Join(f.Skipped, "; "))
	}
	return f, nil
}

// close ends every process of the fleet and removes its files.
func (f *fleet) close() {
	f.spawner.close()
	_ = os.RemoveAll(f.dir)
}

func (f *fleet) skip(name string, why error) {
	f.Skipped = append(f.Skipped, fmt.Sprintf("%s: %v", name, why))
}

// try starts one target unless it was not asked for.
func (f *fleet) try(o fleetOptions, name string, start func() (*Target, error)) {
	if len(o.Only) > 0 && !slices.Contains(o.Only, name) {
		return
	}
	t, err := start()
	if err != nil {
		f.skip(name, err)
		return
	}
	f.Targets = append(f.Targets, t)
	if addr := f.both[t.Name]; addr != "" {
		f.Targets = append(f.Targets, t.withTLS(addr))
	}
}

// tlsPort returns a free address at which the named target is to speak TLS; "" if none is to.
func (f *fleet) tlsPort(name string) (addr string, err error) {
	if f.tls == nil {
		return "", nil
	}
	if addr, err = freeAddr(); err == nil {
		f.both[name] = addr
	}
	return addr, err
}

// startServers starts the servers behind the proxies. Without redis-server only targets
// that are running already can be measured.
func (f *fleet) startServers(o fleetOptions) error {
	path, err := exec.LookPath("redis-server")
	if err != nil && !o.Null {
		f.skip("redis-server", err)
		return nil
	}
	for i := range serversInRing {
		var s *Target
		if o.Null {
			s, err = f.startNull(o.Self)
		} else {
			s, err = f.startRedis(path, i)
		}
		if err != nil {
			return err
		}
		s.Name = fmt.Sprintf("server%d", i+1)
		f.Servers = append(f.Servers, s)
	}
	return nil
}

// startRedis starts one redis-server without persistence.
func (f *fleet) startRedis(path string, i int) (*Target, error) {
	return f.launch("redis-server", path, func(addr string) ([]string, error) {
		host, port, _ := net.SplitHostPort(addr)
		var secure []string
		if i == 0 && f.tls != nil { // the first is the target direct
			at, err := f.tlsPort(nameDirect)
			if err != nil {
				return nil, err
			}
			_, tlsPort, _ := net.SplitHostPort(at)
			secure = []string{"--tls-port", tlsPort, "--tls-cert-file", f.tls.cert, "--tls-key-file", f.tls.key, "--tls-ca-cert-file", f.tls.cert, "--tls-auth-clients", "no"}
		}
		return append(secure, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no",
			"--dir", f.dir, "--maxclients", "20000", "--client-query-buffer-limit", "1gb", "--dbfilename", fmt.Sprintf("dump%d.rdb", i)), nil
	})
}

// startDirect makes a target of the first server.
func (f *fleet) startDirect() (*Target, error) {
	if len(f.Servers) == 0 {
		return nil, errNoServers
	}
	t := *f.Servers[0]
	t.Name = nameDirect
	return &t, nil
}

var errNoBinary = errors.New("no binary; give one with --ringway")

var errNoServers = errors.New("no Redis servers to stand behind it")

// startNull starts a null server in a process of its own.
func (f *fleet) startNull(self []string) (*Target, error) {
	if len(self) == 0 {
		return nil, errors.New("no command to start it with")
	}
	t, err := f.launch(nameNull, self[0], func(addr string) ([]string, error) {
		return append(slices.Clone(self[1:]), "null-server", "--listen", addr), nil
	})
	if t != nil {
		t.null = true
	}
	return t, err
}

// startHAProxy starts HAProxy in tcp mode in front of the first server: it shows the
// lowest cost of any proxy. One thread is its cheapest form.
func (f *fleet) startHAProxy() (*Target, error) {
	path, err := lookPath("haproxy")
	if err != nil {
		return nil, err
	}
	if len(f.Servers) == 0 {
		return nil, errNoServers
	}
	at, err := f.tlsPort(nameHAProxy)
	if err != nil {
		return nil, err
	}
	secure := ""
	if at != "" {
		secure = fmt.Sprintf("  bind %s ssl crt %s\n", at, f.tls.both)
	}
	return f.configured(nameHAProxy, path, func(addr string) string {
		return fmt.Sprintf("global\n  nbthread 1\n  maxconn 9000\ndefaults\n  mode tcp\n  timeout connect 5s\n"+
			"  timeout client 10m\n  timeout server 10m\nlisten bench\n  bind %s\n%s  server server1 %s\n", addr, secure, f.Servers[0].Addr)
	}, func(file string) []string { return []string{"-db", "-f", file} })
}

// startNutcracker starts twemproxy in front of all servers.
func (f *fleet) startNutcracker() (*Target, error) {
	path, err := lookPath("nutcracker")
	if err != nil {
		return nil, err
	}
	if len(f.Servers) == 0 {
		return nil, errNoServers
	}
	stats, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, statsPort, _ := net.SplitHostPort(stats)
	return f.configured(nameNutcracker, path, func(addr string) string {
		text := fmt.Sprintf("bench:\n  listen: %s\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n"+
			"  auto_eject_hosts: false\n  preconnect: true\n  backlog: 1024\n  servers:\n", addr)
		for _, s := range f.Servers {
			text += fmt.Sprintf("   - %s:1 %s\n", s.Addr, s.Name)
		}
		return text
	}, func(file string) []string { return []string{"-c", file, "-s", statsPort, "-a", "127.0.0.1"} })
}

// startRingways starts one Ringway, and, if merging is asked for, another one with
// merge_sets, which does nothing while the first is measured.
func (f *fleet) startRingways(b ringwayBuild, merging bool) (*Target, error) {
	t, err := f.startRingway(b.Name, b, false)
	if err != nil || !merging {
		return t, err
	}
	if t.merging, err = f.startRingway(b.Name+"-merging", b, true); err != nil {
		f.skip(b.Name+" with merge_sets", err)
	}
	return t, nil
}

// startRingway starts one Ringway in front of all servers, placing keys as
// nutcracker does.
func (f *fleet) startRingway(name string, b ringwayBuild, merging bool) (*Target, error) {
	if len(f.Servers) == 0 {
		return nil, errNoServers
	}
	at, err := f.tlsPort(name)
	if err != nil {
		return nil, err
	}
	return f.configured(name, b.Path, func(addr string) string {
		text := ""
		if b.Loops > 0 {
			text = fmt.Sprintf("[proxy]\nthreads = %d\n\n", b.Loops)
		}
		pool := fmt.Sprintf("hash = \"fnv1a_64\"\nhash_tag = \"{}\"\ndistribution = \"ketama\"\n"+
			"auto_eject_hosts = false\npreconnect = true\nbacklog = 1024\nmerge_sets = %v\nservers = [\n", merging)
		for _, s := range f.Servers {
			pool += fmt.Sprintf("  %q,\n", s.Addr+":1 "+s.Name)
		}
		text += fmt.Sprintf("[pools.bench]\nlisten = %q\n", addr) + pool + "]\n"
		if at != "" {
			text += fmt.Sprintf("\n[pools.tls]\nlisten = %q\ntls = { cert = %q, key = %q }\n", at, f.tls.cert, f.tls.key) + pool + "]\n"
		}
		return text
	}, func(file string) []string { return []string{"-c", file} })
}

// lookPath finds a program, also where distributions keep daemons.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if err == nil {
			break
		}
		if p, errDir := exec.LookPath(filepath.Join(dir, name)); errDir == nil {
			path, err = p, nil
		}
	}
	return path, err
}

// configured starts a program on a free port with a configuration file.
func (f *fleet) configured(name, path string, config func(addr string) string, args func(file string) []string) (*Target, error) {
	file := filepath.Join(f.dir, name+".conf")
	var text string
	t, err := f.launch(name, path, func(addr string) ([]string, error) {
		text = config(addr)
		return args(file), os.WriteFile(file, []byte(text), 0o600)
	})
	if t != nil {
		t.Config = text
	}
	return t, err
}

// launch starts a program that will listen on a free port and waits until it
// answers. prepare returns the program's arguments for that port.
func (f *fleet) launch(name, path string, prepare func(addr string) ([]string, error)) (*Target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	argv, err := prepare(addr)
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", name, err)
	}
	c, err := f.spawner.start(name, f.dir, path, argv...)
	if err != nil {
		return nil, err
	}
	if err := awaitReady(addr, c); err != nil {
		return nil, err
	}
	return &Target{
		Name: name, Addr: addr, PIDs: []int{c.pid()}, Version: programVersion(name, path),
		Command: filepath.Base(path) + " " + strings.Join(argv, " "),
	}, nil
}
