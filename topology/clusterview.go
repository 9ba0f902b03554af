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

// A clusterServer is one server of a Cluster, as one of its servers sees it.
type clusterServer struct {
	id      string
	addr    string // "host:port", as the server announces itself
	primary string // the ID of its primary; "" if it is a primary itself
	epoch   int64  // its configuration epoch; 0 if unknown
	healthy bool   // neither failing nor loading, as most of the Cluster sees it
}

// A clusterView is what one server of a Cluster says of all of them.
type clusterView struct {
	from    string                      // the address that was asked
	self    string                      // the ID of the server that was asked; "" if it did not tell
	epoch   int64                       // the highest epoch that it knows
	down    bool                        // it says that the Cluster is down
	servers map[string]clusterServer    // by ID
	slots   map[string][]pool.SlotRange // by the primary's ID
}

// covered returns how many slots the view has owners for.
func (v *clusterView) covered() (n int) {
	for _, ranges := range v.slots {
		for _, r := range ranges {
			n += int(r.Last) - int(r.First) + 1
		}
	}
	return n
}

var errNotSlotMap = errors.New("not a map of slots")

// clusterServersMost bounds the servers of a Cluster that is followed, since each is asked in
// turn. Redis recommends no more.
const clusterServersMost = 1000

var errTooManyServers = fmt.Errorf("a Cluster of more than %d servers", clusterServersMost)

// A clusterReader turns a server's replies about the Cluster into a view.
type clusterReader struct {
	host string // the host that was asked: servers that announce no address have the same
	tls  bool   // the servers are reached over TLS, so at their TLS ports
}

func newView(from string) *clusterView {
	return &clusterView{from: from, servers: map[string]clusterServer{}, slots: map[string][]pool.SlotRange{}}
}

// endpoint returns the address at which clients shall reach a server: the endpoint that it
// announces, its IP address if that is unknown ("?"), or the host that was asked if it is
// empty. Redirections (-MOVED) name servers in the same way.
func (r clusterReader) endpoint(endpoint, ip string, port int64) string {
	if endpoint == "?" {
		endpoint = ip
	}
	if endpoint == "" {
		endpoint = r.host
	}
	return net.JoinHostPort(endpoint, strconv.FormatInt(port, 10))
}

// readShards adds the reply to CLUSTER SHARDS (Redis 7.0 and later), as go-redis gives it in
// RESP2, to a view.
func (r clusterReader) readShards(v *clusterView, reply any) error {
	shards, ok := reply.([]any)
	if !ok {
		return errNotSlotMap
	}
	for _, shard := range shards {
		fields := toMap(shard)
		var primary *clusterServer
		var nodes []clusterServer
		list, _ := fields["nodes"].([]any)
		for _, n := range list {
			if node, ok := r.shardServer(toMap(n)); ok {
				nodes = append(nodes, node)
			}
		}
		// During a failover a shard may list two primaries: the healthy one counts.
		for i := range nodes {
			if n := &nodes[i]; n.primary == "" && (primary == nil || n.healthy && !primary.healthy) {
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
			v.servers[n.id] = n
		}
		if len(v.servers) > clusterServersMost {
			return errTooManyServers
		}
	}
	return nil
}

// shardServer reads one server of CLUSTER SHARDS. The reply does not say whose replica it is:
// its primary is "?" until the caller sets it.
func (r clusterReader) shardServer(f map[string]any) (clusterServer, bool) {
	port, _ := f["port"].(int64)
	if tls, ok := f["tls-port"].(int64); ok && (r.tls || port == 0) {
		port = tls
	}
	endpoint, ip := text(f["endpoint"]), text(f["ip"])
	n := clusterServer{id: text(f["id"]), addr: r.endpoint(endpoint, ip, port), healthy: text(f["health"]) == "online"}
	if text(f["role"]) != "master" {
		n.primary = "?"
	}
	return n, n.id != "" && validPort(port)
}

// readSlots adds the reply to CLUSTER SLOTS to a view. It is for servers before Redis 7.
func (r clusterReader) readSlots(v *clusterView, reply any) error {
	list, ok := reply.([]any)
	if !ok {
		return errNotSlotMap
	}
	for _, entry := range list {
		fields, _ := entry.([]any)
		if len(fields) < 3 {
			return errNotSlotMap
		}
		ranges, err := slotRanges(fields[:2])
		if err != nil {
			return err
		}
		var primary string
		for i, n := range fields[2:] {
			node, ok := r.slotServer(n)
			if !ok {
				return errNotSlotMap
			}
			if i == 0 {
				primary = node.id
			} else {
				node.primary = primary
			}
			v.servers[node.id] = node
		}
		v.slots[primary] = append(v.slots[primary], ranges...)
		if len(v.servers) > clusterServersMost {
			return errTooManyServers
		}
	}
	return nil
}

// slotServer reads one server of CLUSTER SLOTS. Redis 3 does not tell IDs: the address takes
// its place.
func (r clusterReader) slotServer(reply any) (clusterServer, bool) {
	fields, _ := reply.([]any)
	if len(fields) < 2 {
		return clusterServer{}, false
	}
	port, ok := fields[1].(int64)
	if !ok || !validPort(port) {
		return clusterServer{}, false
	}
	var ip string
	if len(fields) > 3 {
		ip = text(toMap(fields[3])["ip"])
	}
	n := clusterServer{addr: r.endpoint(text(fields[0]), ip, port), healthy: true}
	if n.id = n.addr; len(fields) > 2 && text(fields[2]) != "" {
		n.id = text(fields[2])
	}
	return n, true
}

// readNodes adds to a view what only CLUSTER NODES tells: epochs, which server was asked, and
// which have failed. Servers that the view does not have, and lines that it does not
// understand, are ignored.
func (r clusterReader) readNodes(v *clusterView, reply string) {
	for line := range strings.Lines(reply) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		id, flags := fields[0], strings.Split(fields[2], ",")
		n, known := v.servers[id]
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
		// "fail?" and "disconnected" are one server's opinion: the server may be well.
		if has("fail") || has("noaddr") || has("handshake") {
			n.healthy = false
		}
		v.servers[id] = n
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

// slotRanges reads a list of first and last slots in turn.
func slotRanges(reply any) (ranges []pool.SlotRange, err error) {
	list, _ := reply.([]any)
	if len(list)%2 != 0 {
		return nil, errNotSlotMap
	}
	for i := 0; i < len(list); i += 2 {
		first, ok1 := list[i].(int64)
		last, ok2 := list[i+1].(int64)
		if !ok1 || !ok2 || first < 0 || last < first || last >= clusterSlots {
			return nil, fmt.Errorf("%w: slots %v to %v", errNotSlotMap, list[i], list[i+1])
		}
		ranges = append(ranges, pool.SlotRange{First: uint16(first), Last: uint16(last)})
	}
	return ranges, nil
}

// toMap reads a list of names and values in turn. Anything else gives an empty map.
func toMap(reply any) map[string]any {
	list, _ := reply.([]any)
	m := make(map[string]any, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[text(list[i])] = list[i+1]
	}
	return m
}

// text returns a reply that is a string, "" for any other.
func text(reply any) string {
	s, _ := reply.(string)
	return s
}

func validPort(port int64) bool { return port > 0 && port < 1<<16 }
