package limit

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// PoolSettings are the limits of a pool's clients.
type PoolSettings struct {
	Pool     Settings            // of all together
	Users    Settings            // of each user that is not in User
	User     map[string]Settings // of single users
	Networks Settings            // of each network
	Prefix4  int                 // bits of an IPv4 address that are its network
	Prefix6  int                 // likewise of IPv6
}

// of returns the limits of a user.
func (c *PoolSettings) of(user string) Settings {
	if s, own := c.User[user]; own {
		return s
	}
	return c.Users
}

// MaxNetworks is how many networks a pool remembers that have no client now, but have used up some of what they may.
const MaxNetworks = 16384

// Pool is the groups of a pool. Any goroutine may call its methods.
type Pool struct {
	log      *slog.Logger
	settings atomic.Pointer[PoolSettings]
	all      *Group
	counts   [Kinds][Whats]Counts

	anyFailing atomic.Bool // there may be something in failing

	mu       sync.Mutex // guards what follows; clients take it when they come, log in and go
	users    map[string]*Group
	networks map[netip.Prefix]*Group
	failing  map[netip.Prefix]*failing
	noted    time.Time // when the log last had a line about a network
}

// Counts is how often a limit was reached.
type Counts struct {
	Delayed atomic.Uint64 // clients that had to wait, each time
	Refused atomic.Uint64 // connections or requests
}

// NewPool returns the groups of a pool with some settings. log gets a line when a limit is reached, and when it is not any more.
func NewPool(c *PoolSettings, log *slog.Logger) *Pool {
	p := &Pool{log: log, users: map[string]*Group{}, networks: map[netip.Prefix]*Group{}, failing: map[netip.Prefix]*failing{}}
	p.settings.Store(c)
	p.all = p.group(ThePool, "", c.Pool)
	return p
}

func (p *Pool) group(k Kind, name string, c Settings) *Group {
	g := &Group{Kind: k, Name: name, pool: p}
	g.settings.Store(&c)
	return g
}

// All returns the group of all clients of the pool.
func (p *Pool) All() *Group { return p.all }

// Any reports whether the pool has any limits.
func (p *Pool) Any() bool {
	c := p.Settings()
	return !c.Pool.None() || !c.Users.None() || !c.Networks.None() || len(c.User) > 0
}

// Settings returns the settings in force.
func (p *Pool) Settings() *PoolSettings { return p.settings.Load() }

// Reconfigure replaces the settings of all groups.
func (p *Pool) Reconfigure(c *PoolSettings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.settings.Swap(c)
	p.all.settings.Store(&c.Pool)
	for name, g := range p.users {
		of := c.of(name)
		g.settings.Store(&of)
	}
	if was.Prefix4 != c.Prefix4 || was.Prefix6 != c.Prefix6 {
		clear(p.networks) // clients that are here stay in the groups that they have
	}
	for _, g := range p.networks {
		g.settings.Store(&c.Networks)
	}
}

// User returns the group of a user; nil if it has no limits.
func (p *Pool) User(name string) *Group {
	of := p.Settings().of(name)
	if of.None() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.users[name]
	if g == nil {
		g = p.group(AUser, name, of)
		p.users[name] = g // users are those of the configuration, so they are few
	}
	return g
}

// Network returns the group of an address; nil if networks have no limits, or the address is not valid.
func (p *Pool) Network(addr netip.Addr) *Group {
	c := p.Settings()
	network, ok := c.network(addr)
	if !ok || c.Networks.None() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.networks[network]
	if g == nil {
		p.makeRoom()
		g = p.group(ANetwork, network.String(), c.Networks)
		p.networks[network] = g
	}
	return g
}

// network returns the network of an address.
func (c *PoolSettings) network(addr netip.Addr) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	bits := c.Prefix6
	if addr.Is4() {
		bits = c.Prefix4
	}
	network, err := addr.Prefix(bits)
	return network, err == nil && addr.IsValid()
}

// JoinNetwork counts a client at an address. Its group is nil if there are no such limits. ok is false if the network has as many
// clients as it may.
func (p *Pool) JoinNetwork(addr netip.Addr, force bool) (g *Group, ok bool) {
	if g = p.Network(addr); g == nil {
		return nil, true
	}
	if !g.Join(force) {
		return g, false
	}
	return g, true
}

// makeRoom forgets some networks without clients if there are too many: those that owe nothing, and else any.
func (p *Pool) makeRoom() {
	n := 0
	for network, g := range p.networks {
		if n++; n > looked || len(p.networks) < MaxNetworks {
			return
		}
		if g.Clients() == 0 && (g.owesNothing() || n > looked/2) {
			delete(p.networks, network)
		}
	}
}

// owesNothing reports whether a new group would have as much as this one.
func (g *Group) owesNothing() bool {
	full := clock() - int64(burst)
	return g.requests.at.Load() <= full && g.bytes.at.Load() <= full && g.arrivals.at.Load() <= full
}

// Counts returns how often a limit of a kind of group was reached.
func (p *Pool) Counts(k Kind, w What) *Counts { return &p.counts[k][w] }

// Delayed says that a client has to wait, since a limit is reached.
func (g *Group) Delayed(w What) {
	g.pool.counts[g.Kind][w].Delayed.Add(1)
	g.note(w, "delayed")
}

// Refused says that a client or a request is refused, since a limit is reached.
func (g *Group) Refused(w What) {
	g.pool.counts[g.Kind][w].Refused.Add(1)
	g.note(w, "refused")
}

// note logs that the limit is reached, once until it was not for a while. Networks may be many: there is one line a minute.
func (g *Group) note(w What, action string) {
	now, last := clock(), g.reached.Load()
	if last != 0 && now-last < int64(time.Second) {
		return
	}
	if !g.reached.CompareAndSwap(last, now) || last != 0 && g.Kind != ANetwork {
		return
	}
	if g.Kind == ANetwork && !g.pool.mayNote() {
		return
	}
	g.pool.log.Warn(fmt.Sprintf("limit reached: clients are %s", action), g.attributes("limit", w.String(), "of", g.of())...)
}

func (g *Group) of() string { return g.Kind.String() }

// attributes returns those of a log line about the group.
func (g *Group) attributes(more ...any) []any {
	if g.Name != "" {
		more = append(more, g.Kind.String(), g.Name)
	}
	return more
}

// mayNote reports whether a line about a network is due.
func (p *Pool) mayNote() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.noted) < time.Minute {
		return false
	}
	p.noted = time.Now()
	return true
}

// Tick logs which limits are not reached any more. It is called some times a second by one of the loops or all.
func (p *Pool) Tick() {
	p.all.quiet()
	c := p.Settings()
	if len(c.User) == 0 && c.Users.None() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.users {
		g.quiet()
	}
}

// quiet logs that no limit of the group was reached for a while, once.
func (g *Group) quiet() {
	last := g.reached.Load()
	if last != 0 && clock()-last > int64(quietAfter) && g.reached.CompareAndSwap(last, 0) {
		g.pool.log.Info("limit not reached any more", g.attributes("of", g.of())...)
	}
}
