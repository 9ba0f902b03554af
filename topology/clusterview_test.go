package topology

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"testing"

	"ringway/pool"
)

// list is a reply of several elements.
func list(elements ...any) []any { return elements }

// shardsNode returns the entry of a server in CLUSTER SHARDS.
func shardsNode(id, endpoint string, port int64, role, health string, more ...any) []any {
	return append(list("id", id, "port", port, "ip", "10.0.0.1", "endpoint", endpoint, "role", role, "health", health), more...)
}

func TestClusterShardsAreRead(t *testing.T) {
	node := func(addr string) clusterServer { return clusterServer{id: "a", addr: addr, healthy: true} }
	slots := list(int64(0), int64(99), int64(200), int64(200))
	ranges := []pool.SlotRange{{First: 0, Last: 99}, {First: 200, Last: 200}}
	for _, c := range []struct {
		name  string
		tls   bool
		nodes []any
		want  []clusterServer
	}{
		{"an address", false, list(shardsNode("a", "10.0.0.9", 7000, "master", "online")), []clusterServer{node("10.0.0.9:7000")}},
		{"a host name", false, list(shardsNode("a", "h1.example", 7000, "master", "online")), []clusterServer{node("h1.example:7000")}},
		{"IPv6", false, list(shardsNode("a", "::1", 7000, "master", "online")), []clusterServer{node("[::1]:7000")}},
		{"no endpoint", false, list(shardsNode("a", "", 7000, "master", "online")), []clusterServer{node("asked:7000")}},
		{"an unknown endpoint", false, list(shardsNode("a", "?", 7000, "master", "online")), []clusterServer{node("10.0.0.1:7000")}},
		{"a port for TLS", true, list(shardsNode("a", "h", 7000, "master", "online", "tls-port", int64(7100))), []clusterServer{node("h:7100")}},
		{"a port for TLS that is not used", false, list(shardsNode("a", "h", 7000, "master", "online", "tls-port", int64(7100))), []clusterServer{node("h:7000")}},
		{"only a port for TLS", false, list(shardsNode("a", "h", 0, "master", "online", "tls-port", int64(7100))), []clusterServer{node("h:7100")}},
		{"fields of later versions", false, list(shardsNode("a", "h", 7000, "master", "online", "zone", list("x"))), []clusterServer{node("h:7000")}},
		{"a replica that loads", false, list(shardsNode("b", "h", 7001, "slave", "loading"), shardsNode("a", "h", 7000, "master", "online")),
			[]clusterServer{node("h:7000"), {id: "b", addr: "h:7001", primary: "a"}}},
		{"a primary that was replaced", false, list(shardsNode("old", "h", 7001, "master", "fail"), shardsNode("a", "h", 7000, "master", "online")),
			[]clusterServer{node("h:7000"), {id: "old", addr: "h:7001"}}},
		{"a server without a port", false, list(shardsNode("a", "h", 7000, "master", "online"), shardsNode("b", "h", 0, "replica", "online")), []clusterServer{node("h:7000")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newView("asked:7000")
			err := clusterReader{"asked", c.tls}.readShards(v, list(list("slots", slots, "nodes", c.nodes)))
			checkView(t, v, err, c.want)
			if got := v.slots["a"]; len(v.slots) != 1 || !slices.Equal(got, ranges) {
				t.Errorf("slots: %v", v.slots)
			}
		})
	}
}

func checkView(t *testing.T, v *clusterView, err error, want []clusterServer) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]clusterServer{}
	for _, n := range want {
		nodes[n.id] = n
	}
	if !maps.Equal(v.servers, nodes) {
		t.Errorf("got  %v\nwant %v", v.servers, nodes)
	}
}

func TestClusterSlotsAreRead(t *testing.T) {
	reply := list(
		list(int64(0), int64(5460), list("10.0.0.1", int64(7000), "a"), list("", int64(7001), "b", list())),
		list(int64(5461), int64(16383), list("?", int64(7002), "c", list("ip", "10.0.0.3"))),
		list(int64(5400), int64(5401), list("10.0.0.1", int64(7000), "a"), list(nil, int64(7001), "b", list())),
	)
	v := newView("asked:7000")
	err := clusterReader{host: "asked"}.readSlots(v, reply)
	checkView(t, v, err, []clusterServer{
		{id: "a", addr: "10.0.0.1:7000", healthy: true},
		{id: "b", addr: "asked:7001", primary: "a", healthy: true},
		{id: "c", addr: "10.0.0.3:7002", healthy: true},
	})
	if got, want := v.covered(), clusterSlots+2; got != want {
		t.Errorf("%d slots, want %d", got, want)
	}
}

func TestServersWithoutIDsGoByTheirAddress(t *testing.T) {
	v := newView("asked:7000")
	err := clusterReader{host: "asked"}.readSlots(v, list(list(int64(0), int64(0), list("h", int64(7000)))))
	checkView(t, v, err, []clusterServer{{id: "h:7000", addr: "h:7000", healthy: true}})
}

func TestWhatIsNoSlotMapIsRefused(t *testing.T) {
	for _, reply := range []any{
		nil, "OK", int64(1), list("x"), list(list()), list(list(int64(0), int64(1))),
		list(list(int64(0), int64(16384), list("h", int64(1), "a"))),
		list(list(int64(5), int64(4), list("h", int64(1), "a"))),
		list(list(int64(-1), int64(4), list("h", int64(1), "a"))),
		list(list(int64(0), int64(4), list("h", int64(70000), "a"))),
		list(list(int64(0), int64(4), list("h"))),
	} {
		if err := (clusterReader{}).readSlots(newView(""), reply); !errors.Is(err, errNotSlotMap) {
			t.Errorf("%v: %v", reply, err)
		}
	}
	bad := list(list("slots", list(int64(0)), "nodes", list(shardsNode("a", "h", 1, "master", "online"))))
	if err := (clusterReader{}).readShards(newView(""), bad); !errors.Is(err, errNotSlotMap) {
		t.Errorf("%v: %v", bad, err)
	}
}

func TestClusterNodesTellsEpochsAndFailures(t *testing.T) {
	v := newView("asked:7000")
	for _, id := range []string{"a", "b", "c", "d"} {
		v.servers[id] = clusterServer{id: id, addr: id + ":7000", healthy: true}
	}
	clusterReader{}.readNodes(v, ""+
		"a 10.0.0.1:7000@17000,h1 myself,master - 0 0 7 connected 0-5460 [93-<-b]\n"+
		"b 10.0.0.2:7000@17000 master,fail - 0 0 9 connected 5461-16383\n"+
		"c 10.0.0.3:7000@17000 slave,fail? a 0 0 7 disconnected\n"+
		"d :0@0 master,noaddr - 0 0 0 disconnected\n"+
		"e 10.0.0.5:7000@17000 handshake - 0 0 0 connected\n"+
		"nonsense\n")
	want := map[string]clusterServer{
		"a": {id: "a", addr: "a:7000", epoch: 7, healthy: true},
		"b": {id: "b", addr: "b:7000", epoch: 9},
		"c": {id: "c", addr: "c:7000", epoch: 7, healthy: true},
		"d": {id: "d", addr: "d:7000"},
	}
	if !maps.Equal(v.servers, want) || v.self != "a" || v.epoch != 9 {
		t.Errorf("got %+v", v)
	}
	v.readInfo("cluster_state:fail\r\ncluster_current_epoch:12\r\n")
	if !v.down || v.epoch != 12 {
		t.Errorf("got %+v", v)
	}
}

// No reply of a server causes a panic, and what is read from it is consistent.
func FuzzClusterReplies(f *testing.F) {
	for _, s := range []string{
		"*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*8\r\n$2\r\nid\r\n$1\r\na\r\n$4\r\nport\r\n:7000\r\n$8\r\nendpoint\r\n$-1\r\n$6\r\nhealth\r\n$6\r\nonline\r\n",
		"*1\r\n*3\r\n:0\r\n:9\r\n*4\r\n$1\r\nh\r\n:7000\r\n$1\r\na\r\n*2\r\n$2\r\nip\r\n$1\r\n?\r\n",
		"$60\r\na 10.0.0.1:7000@17000,h1 myself,master - 0 0 7 connected 0-5460\r\n",
		"$30\r\ncluster_state:ok\r\ncluster_current_epoch:9\r\n",
	} {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, tls bool) {
		reply, err := decode(bufio.NewReader(bytes.NewReader(raw)), 0)
		if err != nil {
			return
		}
		r := clusterReader{"asked", tls}
		v := newView("asked:1")
		if r.readShards(v, reply) != nil {
			v = newView("asked:1")
		}
		if r.readSlots(v, reply) != nil {
			v = newView("asked:1")
		}
		r.readNodes(v, text(reply))
		v.readInfo(text(reply))
		for id, n := range v.servers {
			if _, port, err := net.SplitHostPort(n.addr); n.id != id || id == "" || err != nil || port == "0" {
				t.Errorf("%q: %+v (%v)", id, n, err)
			}
		}
		var m clusterMap
		next, _ := m.merge([]*clusterView{v, v}, 2)
		for id, ranges := range next.shards {
			for _, s := range ranges {
				if s.First > s.Last || s.Last >= clusterSlots || next.servers[id].addr == "" {
					t.Errorf("%q owns %v", id, s)
				}
			}
		}
		m.changesTo(next)
		if next.covered() > 0 && len(next.shards) == 0 {
			t.Error("slots without shards")
		}
	})
}

// decode reads a reply as go-redis gives it.
func decode(r *bufio.Reader, depth int) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil || len(line) < 3 || depth > 8 {
		return nil, io.ErrUnexpectedEOF
	}
	n, err := strconv.ParseInt(line[1:len(line)-2], 10, 64)
	switch {
	case err != nil:
		return nil, err
	case line[0] == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case n > 1000:
		return nil, io.ErrUnexpectedEOF
	case line[0] == '$':
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		return string(b[:n]), err
	}
	elements := make([]any, n)
	for i := range elements {
		if elements[i], err = decode(r, depth+1); err != nil {
			return nil, err
		}
	}
	return elements, nil
}
