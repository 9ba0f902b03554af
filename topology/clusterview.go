package topology

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"ringway/pool"
)

// clusterSlots is how many hash slots a Redis Cluster has.
const clusterSlots = 16384

// clusterNode is one server of a Cluster, as one of them sees it.
type clusterNode struct {
	id      string
	addr    string // "host:port" as the servers announce it
	primary string // the ID of the primary that it is a replica of; "" for a primary
	epoch   int64  // its configuration epoch; 0 if that is not known
	fit     bool   // neither failing nor loading, as most of the Cluster sees it
}

// clusterView is what one server of a Cluster says of all of them.
type clusterView struct {
	from  string // the address that was asked
	self  string // the ID of the server that was asked; "" if it did not tell
	epoch int64  // the current epoch that it knows
	down  bool   // it says that the Cluster is down
	nodes map[string]clusterNode
	slots map[string][]pool.SlotRange // by the primary's ID
}

// covered is how many slots somebody serves.
func (v *clusterView) covered() (n int) {
	for _, ranges := range v.slots {
		for _, r := range ranges {
			n += int(r.Last) - int(r.First) + 1
		}
	}
	return n
}

var errNoMap = errors.New("not a map of slots")

// clusterNodesMost bounds the servers of a Cluster that is followed, of which
// Redis recommends no more: each is asked in turn.
const clusterNodesMost = 1000

var errTooManyNodes = fmt.Errorf("a Cluster of more than %d servers", clusterNodesMost)

// A clusterReader turns what a server says about the Cluster into a view.
type clusterReader struct {
	host string // that was asked: servers that announce no address mean it
	tls  bool   // the servers are reached by TLS
}

// newView returns an empty view.
func newView(from string) *clusterView {
	return &clusterView{from: from, nodes: map[string]clusterNode{}, slots: map[string][]pool.SlotRange{}}
}

// endpoint is the address that clients shall use for a server: the endpoint that it
// announces, or its IP address if that is unknown ("?"), or the host that was
// asked if it has none. Redirections name servers in the same way.
func (r clusterReader) endpoint(endpoint, ip string, port int64) string {
	if endpoint == "?" {
		endpoint = ip
	}
	if endpoint == "" {
		endpoint = r.host
	}
	return net.JoinHostPort(endpoint, strconv.FormatInt(port, 10))
}

// readShards adds the reply to CLUSTER SHARDS (Redis 7.0 and later), as go-redis
// gives it in RESP2, to a view.
func (r clusterReader) readShards(v *clusterView, reply any) error {
	shards, ok := reply.([]any)
	if !ok {
		return errNoMap
	}
	for _, shard := range shards {
		fields := pairs(shard)
		var primary *clusterNode
		var nodes []clusterNode
		list, _ := fields["nodes"].([]any)
		for _, n := range list {
			if node, ok := r.shardNode(pairs(n)); ok {
				nodes = append(nodes, node)
			}
		}
		// While one primary takes another's place, there may be two.
		for i := range nodes {
			if n := &nodes[i]; n.primary == "" && (primary == nil || n.fit && !primary.fit) {
				primary = n
			}
		}
		if primary == nil {
			continue
		}
		ranges, err := slotRanges(fields["slots"])
		if err != nil {
			return err
		}
		if len(ranges) > 0 {
			v.slots[primary.id] = append(v.slots[primary.id], ranges...)
		}
		for _, n := range nodes {
			if n.primary != "" {
				n.primary = primary.id
			}
			v.nodes[n.id] = n
		}
		if len(v.nodes) > clusterNodesMost {
			return errTooManyNodes
		}
	}
	return nil
}

// shardNode reads one server of CLUSTER SHARDS. A replica's primary is not said
// here: it gets "?".
func (r clusterReader) shardNode(f map[string]any) (clusterNode, bool) {
	port, _ := f["port"].(int64)
	if tls, ok := f["tls-port"].(int64); ok && (r.tls || port == 0) {
		port = tls
	}
	endpoint, ip := text(f["endpoint"]), text(f["ip"])
	n := clusterNode{id: text(f["id"]), addr: r.endpoint(endpoint, ip, port), fit: text(f["health"]) == "online"}
	if text(f["role"]) != "master" {
		n.primary = "?"
	}
	return n, n.id != "" && validPort(port)
}

// readSlots adds the reply to CLUSTER SLOTS to a view.
func (r clusterReader) readSlots(v *clusterView, reply any) error {
	list, ok := reply.([]any)
	if !ok {
		return errNoMap
	}
	for _, entry := range list {
		fields, _ := entry.([]any)
		if len(fields) < 3 {
			return errNoMap
		}
		ranges, err := slotRanges(fields[:2])
		if err != nil {
			return err
		}
		var primary string
		for i, n := range fields[2:] {
			node, ok := r.slotNode(n)
			if !ok {
				return errNoMap
			}
			if i == 0 {
				primary = node.id
			} else {
				node.primary = primary
			}
			v.nodes[node.id] = node
		}
		v.slots[primary] = append(v.slots[primary], ranges...)
		if len(v.nodes) > clusterNodesMost {
			return errTooManyNodes
		}
	}
	return nil
}

// slotNode reads one server of CLUSTER SLOTS. Redis 3 does not tell IDs: the
// address takes its place.
func (r clusterReader) slotNode(reply any) (clusterNode, bool) {
	fields, _ := reply.([]any)
	if len(fields) < 2 {
		return clusterNode{}, false
	}
	port, ok := fields[1].(int64)
	if !ok || !validPort(port) {
		return clusterNode{}, false
	}
	var ip string
	if len(fields) > 3 {
		ip = text(pairs(fields[3])["ip"])
	}
	n := clusterNode{addr: r.endpoint(text(fields[0]), ip, port), fit: true}
	if n.id = n.addr; len(fields) > 2 && text(fields[2]) != "" {
		n.id = text(fields[2])
	}
	return n, true
}

// readNodes adds to a view what only CLUSTER NODES tells: epochs, who is asked,
// and who has failed. A server that it has no address for is left alone, as are
// lines that it does not understand.
func (r clusterReader) readNodes(v *clusterView, reply string) {
	for line := range strings.Lines(reply) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		id, flags := fields[0], strings.Split(fields[2], ",")
		n, known := v.nodes[id]
		has := func(flag string) bool { return slices.Contains(flags, flag) }
		if has("myself") {
			v.self = id
		}
		if !known {
			continue
		}
		if epoch, err := strconv.ParseInt(fields[6], 10, 64); err == nil && epoch > 0 {
			n.epoch = epoch
			v.epoch = max(v.epoch, epoch)
		}
		// What one server alone takes for failing ("fail?"), or has no connection to,
		// may well work.
		if has("fail") || has("noaddr") || has("handshake") {
			n.fit = false
		}
		v.nodes[id] = n
	}
}

// readInfo adds to a view what CLUSTER INFO tells.
func (v *clusterView) readInfo(reply string) {
	for line := range strings.Lines(reply) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "cluster_state":
			v.down = value != "ok"
		case "cluster_current_epoch":
			if epoch, err := strconv.ParseInt(value, 10, 64); err == nil {
				v.epoch = max(v.epoch, epoch)
			}
		}
	}
}

// slotRanges reads firsts and lasts in turn.
func slotRanges(reply any) (ranges []pool.SlotRange, err error) {
	list, _ := reply.([]any)
	if len(list)%2 != 0 {
		return nil, errNoMap
	}
	for i := 0; i < len(list); i += 2 {
		first, ok1 := list[i].(int64)
		last, ok2 := list[i+1].(int64)
		if !ok1 || !ok2 || first < 0 || last < first || last >= clusterSlots {
			return nil, fmt.Errorf("%w: slots %v to %v", errNoMap, list[i], list[i+1])
		}
		ranges = append(ranges, pool.SlotRange{First: uint16(first), Last: uint16(last)})
	}
	return ranges, nil
}

// pairs reads names and values in turn; what is not that is an empty map.
func pairs(reply any) map[string]any {
	list, _ := reply.([]any)
	m := make(map[string]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[text(list[i])] = list[i+1]
	}
	return m
}

// text is a reply that is a string, and "" for any other.
func text(reply any) string {
	s, _ := reply.(string)
	return s
}

func validPort(port int64) bool { return port > 0 && port < 1<<16 }
