package conf

import (
	"fmt"
	"net"
	"net/netip"
)

// Admin is the [admin] table: the address for operators, with metrics, health, console and page.
type Admin struct {
	Listen   Listen // the zero Listen: nothing listens
	Password string // of HTTP (as password of any user, or bearer token) and of the console; default "": none
	Ready    string // how many servers of each pool must be up for /readyz: ReadyAny (default), ReadyQuorum or ReadyAll
}

// Values of Admin.Ready. With any, a fleet does not leave the load balancer together because one
// shard is down.
const (
	ReadyAny    = "any"
	ReadyQuorum = "quorum"
	ReadyAll    = "all"
)

// adminSettings are the keys of the [admin] table.
var adminSettings = []setting[Admin]{
	{"listen", func(v *value, a *Admin) {
		if s, ok := v.text("127.0.0.1:9180"); ok {
			listen, err := parseListen(s)
			if err != nil {
				v.fail("%s", err)
				return
			}
			a.Listen = listen
		}
	}},
	{"ready", func(v *value, a *Admin) { v.word(&a.Ready, []string{ReadyAny, ReadyQuorum, ReadyAll}) }},
	{"password", func(v *value, a *Admin) { setSecret(v, &a.Password) }},
	{"password_file", func(v *value, a *Admin) { setSecretFile(v, &a.Password) }},
}

// admin reads the [admin] table.
func (b *builder) admin(n *node, values map[string]any) {
	a := &b.conf.Admin
	guessed := read(tableSource{report: b.report, node: n, values: values, table: "admin", otherKeys: poolNames, otherTable: "a [pools.NAME] table"}, adminSettings, a)
	if n.table["listen"] == nil && len(guessed) == 0 && !b.partial {
		b.report.mistake(n.key, "admin", `listen is missing; want the address for operators, such as listen = "127.0.0.1:9180"`)
	}
	if !n.hasSecret("password") && a.Listen.Addr != "" && !a.Listen.isLocal() {
		b.report.warn(n.table["listen"].start, "admin", fmt.Sprintf("listen %q: whoever reaches this address sees and changes how the proxy runs; set password, or listen on 127.0.0.1", a.Listen.Addr))
	}
}

// checkAdminListen reports a pool that listens on the admin address.
func (b *builder) checkAdminListen(root *node) {
	a := b.conf.Admin.Listen
	for i := range b.conf.Pools {
		if p := &b.conf.Pools[i]; a.Addr != "" && a.collides(p.Listen) && !hasPortZero(a.Addr) {
			b.report.mistake(root.table["admin"].table["listen"].start, "admin", fmt.Sprintf("listen %q: pool %q listens there already; want an address of its own", a.Addr, p.Name))
		}
	}
}

// isLocal reports whether only processes of this machine can connect.
func (l Listen) isLocal() bool {
	host, _, err := net.SplitHostPort(l.Addr)
	if l.Network == "unix" || err != nil || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func hasPortZero(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port == "0"
}
