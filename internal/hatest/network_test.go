package hatest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"ringway/internal/faultyconn"
	"ringway/internal/redistest"
)

// network connects a proxy with its servers. If it is cabled, the proxy is in a network
// namespace that a cable of its own (a veth pair) connects with each server: while a
// cable is down, packets vanish. Otherwise all is on loopback, and relays stop passing
// bytes on.
type network struct {
	t      *testing.T
	before []string // what a command line begins with that runs a program in the proxy's place
	host   string   // where the proxy listens
	prefix string   // of all addresses; "" without cables
	pid    int      // of the process that keeps the namespace alive
	cables int
}

// newNetwork returns a network that ends with the test. It is cabled if that is wanted and
// possible.
func newNetwork(t *testing.T, cabled bool) *network {
	t.Helper()
	n := &network{t: t, host: "127.0.0.1"}
	if !cabled {
		return n
	}
	if err := canCable(); err != nil {
		t.Logf("relays that go silent stand for dropped packets: no network namespaces: %v", err)
		return n
	}
	n.pid = redistest.StartProcess(t, "unshare", "-n", "sleep", "infinity").Pid()
	redistest.Eventually(t, waitLimit, "a network namespace", func() bool {
		own, _ := os.Readlink("/proc/self/ns/net")
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", n.pid))
		return err == nil && its != own
	})
	n.before = []string{"nsenter", "-t", strconv.Itoa(n.pid), "-n"}
	n.prefix = freePrefix()
	_, _, n.host = n.cable()
	return n
}

// canCable returns an error if namespaces or cables are not available.
func canCable() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root may make them")
	}
	name := fmt.Sprintf("rw%d.t", os.Getpid())
	for _, command := range []string{"unshare -n nsenter --version", "ip link add " + name + " type veth peer name " + name + "p", "ip link del " + name} {
		f := strings.Fields(command)
		if output, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w %s", command, err, output)
		}
	}
	return nil
}

// freePrefix returns a prefix of unused addresses out of the range for network tests.
func freePrefix() string {
	addrs, _ := net.InterfaceAddrs()
	all := fmt.Sprint(addrs)
	for i := os.Getpid(); ; i++ {
		if prefix := fmt.Sprintf("198.18.%d.", i%256); !strings.Contains(all, prefix) {
			return prefix
		}
	}
}

// run executes commands of ip(8).
func (n *network) run(commands ...string) {
	n.t.Helper()
	for _, command := range commands {
		f := strings.Fields(command)
		if output, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			n.t.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
}

// cable connects the namespace with the test's own and returns the interface and the
// address on the test's side, and the address on the other.
func (n *network) cable() (name, near, far string) {
	n.t.Helper()
	name = fmt.Sprintf("rw%d.%d", os.Getpid(), n.cables)
	near, far = n.prefix+strconv.Itoa(4*n.cables+1), n.prefix+strconv.Itoa(4*n.cables+2)
	n.cables++
	inside := strings.Join(n.before, " ") + " ip "
	n.run(fmt.Sprintf("ip link add %s type veth peer name %sp netns %d", name, name, n.pid),
		"ip addr add "+near+"/30 dev "+name, "ip link set "+name+" up",
		inside+"addr add "+far+"/30 dev "+name+"p", inside+"link set "+name+"p up")
	return name, near, far
}

// way is the only connection from the proxy to one server.
type way struct {
	*faultyconn.Relay
	server      *redistest.Server
	dropPackets func() // drops all packets silently
	passPackets func() // ends dropPackets
}

// to returns a new way to a server.
func (n *network) to(s *redistest.Server) *way {
	n.t.Helper()
	if n.prefix == "" {
		relay := faultyconn.Start(n.t, s.Addr())
		return &way{relay, s, relay.Freeze, relay.Thaw}
	}
	name, near, _ := n.cable()
	return &way{
		faultyconn.StartAt(n.t, near, s.Addr()), s,
		func() { n.run("ip link set " + name + " down") },
		func() { n.run("ip link set " + name + " up") },
	}
}

// mapped returns the setting address_map, from the servers' addresses to the ways.
func mapped(ways []*way) string {
	var entries []string
	for _, w := range ways {
		entries = append(entries, fmt.Sprintf("%q = %q", w.server.Addr(), w.Addr()))
	}
	return "address_map = { " + strings.Join(entries, ", ") + " }"
}

// listed returns a setting, such as "servers", with the addresses of the ways.
func listed(name string, ways []*way) string {
	var quoted []string
	for _, w := range ways {
		quoted = append(quoted, strconv.Quote(w.Addr()))
	}
	return name + " = [" + strings.Join(quoted, ", ") + "]"
}
