package conf

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/acl"
	"ringway/hashring"
	"ringway/limit"
)

// secretFields are the fields that hold passwords.
var secretFields = []string{"RedisAuth", "SentinelAuth", "Password"}

const noneText = "none"

// valueText returns the value of a field as a file has it.
func valueText(field string, v reflect.Value) string {
	if slices.Contains(secretFields, field) {
		if v.IsZero() {
			return noneText
		}
		return secretText
	}
	switch v := v.Interface().(type) {
	case time.Duration:
		return quote(durationText(v))
	case slog.Level:
		return quote(strings.ToLower(v.String()))
	case int64:
		return quote(sizeText(v))
	case string:
		return quote(v)
	case []string:
		return listText(v, quote)
	case Listen:
		return v.text()
	case []Address:
		return listText(v, func(a Address) string { return quote(a.Addr) })
	case *acl.Users:
		return usersText(v)
	case *TLS:
		return v.text()
	case *ClientTLS:
		return v.text()
	case map[string]string:
		return tableText(slices.Sorted(maps.Keys(v)), func(from string) string { return quote(from) + " = " + quote(v[from]) })
	case []netip.Prefix:
		return listText(v, func(n netip.Prefix) string { return quote(n.String()) })
	case limit.Settings:
		return limitsText(v)
	case NetworkLimits:
		return limitsText(v.Settings, fmt.Sprint("ipv4_prefix = ", v.Prefix4), fmt.Sprint("ipv6_prefix = ", v.Prefix6))
	case map[string]limit.Settings:
		return tableText(slices.Sorted(maps.Keys(v)), func(user string) string { return user + ".limits = " + limitsText(v[user]) })
	case []Zone:
		return tableText(v, Zone.text)
	case []hashring.Together:
		return listText(v, togetherText)
	}
	return fmt.Sprint(v.Interface())
}

func quote(s string) string { return strconv.Quote(s) }

func listText[T any](all []T, text func(T) string) string { return "[" + joined(all, text) + "]" }

func joined[T any](all []T, text func(T) string) string {
	var texts []string
	for _, v := range all {
		texts = append(texts, text(v))
	}
	return strings.Join(texts, ", ")
}

func tableText[T any](all []T, text func(T) string) string {
	if len(all) == 0 {
		return "{}"
	}
	return "{ " + joined(all, text) + " }"
}

// text returns the address and the mode; "none" for the zero Listen.
func (l Listen) text() string {
	switch {
	case l.Addr == "":
		return noneText
	case l.Mode != 0:
		return quote(fmt.Sprintf("%s %o", l.Addr, l.Mode))
	}
	return quote(l.written())
}

// text returns the table, "none" for nil.
func (t *TLS) text() string {
	if t == nil {
		return noneText
	}
	var entries []string
	for _, e := range [][2]string{{"ca", t.CA}, {"cert", t.Cert}, {"key", t.Key}, {"server_name", t.ServerName}} {
		if e[1] != "" {
			entries = append(entries, e[0]+" = "+quote(e[1]))
		}
	}
	if t.Insecure {
		entries = append(entries, "insecure_skip_verify = true")
	}
	return tableText(entries, func(s string) string { return s })
}

func (z Zone) text() string {
	var all []string
	for _, n := range z.Nets {
		all = append(all, n.String())
	}
	return quote(z.Name) + " = " + listText(append(all, z.Hosts...), quote)
}

func togetherText(g hashring.Together) string {
	if g.Name == "" {
		return joined(g.Patterns, quote)
	}
	return "{ name = " + quote(g.Name) + ", keys = " + listText(g.Patterns, quote) + " }"
}

// addrsText returns the servers of a shard; "" if the Sentinels know them.
func addrsText(servers []Server) string {
	if servers == nil {
		return ""
	}
	return listText(servers, func(s Server) string { return quote(s.Addr) })
}

// shortened cuts a value that would fill more than a line.
func shortened(s string) string {
	const longest = 200
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}
