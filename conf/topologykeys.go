package conf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// keyTopologies lists the keys that only some topologies have, with these topologies.
// All other keys are for every pool.
var keyTopologies = map[string][]string{
	"servers":              {Static, Cluster},
	"shards":               {Replicated},
	"sentinels":            {Sentinel},
	"masters":              {Sentinel},
	"sentinel_user":        {Sentinel},
	"sentinel_auth":        {Sentinel},
	"sentinel_auth_file":   {Sentinel},
	"sentinel_tls":         {Sentinel},
	"hash":                 {Static, Replicated, Sentinel},
	"hash_tag":             {Static, Replicated, Sentinel},
	"together":             {Static, Replicated, Sentinel},
	"hash_signed_char":     {Static, Replicated, Sentinel},
	"distribution":         {Static, Replicated, Sentinel},
	"default_server":       {Static, Replicated, Sentinel},
	"auto_eject_hosts":     {Static},
	"eject":                {Static},
	"restore":              {Static},
	"merge_sets":           {Static},
	"server_retry_timeout": {Static},
	"read_from":            {Replicated, Sentinel, Cluster},
	"max_replica_lag":      {Replicated, Sentinel, Cluster},
	"hedge_after":          {Replicated, Sentinel, Cluster},
	"failover_wait":        {Replicated, Sentinel, Cluster},
	"replica_acks":         {Sentinel},
	"probe_interval":       {Replicated, Sentinel, Cluster},
	"address_map":          {Replicated, Sentinel, Cluster},
	"zones":                {Replicated, Sentinel, Cluster},
}

// ringKeys are the settings that place keys on a ring.
var ringKeys = []string{"hash", "hash_tag", "together", "hash_signed_char", "distribution"}

// required lists the settings that each topology must have to find its servers, with
// examples.
var required = map[string][]struct{ key, example string }{
	Static:     {{"servers", `a list such as servers = ["127.0.0.1:6379:1 alpha1"]`}},
	Replicated: {{"shards", shardsForm}},
	Sentinel: {
		{"sentinels", `where the Sentinels listen, such as sentinels = ["10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"]`},
		{"masters", `the names of the masters that the Sentinels watch, such as masters = ["sessions1", "sessions2"]`},
	},
	Cluster: {{"servers", `a few servers of the Cluster, such as servers = ["10.0.0.1:6379", "10.0.0.2:6379"]`}},
}

// misplaced returns a function that explains why a pool of that topology can't have a
// key; it returns "" if the pool can. Given reports whether the text names the
// topology.
func misplaced(topology string, given bool) func(key string) string {
	return func(key string) string {
		to := keyTopologies[key]
		switch {
		case to == nil || slices.Contains(to, topology):
			return ""
		case topology == Cluster && slices.Contains(ringKeys, key):
			return `is for a ring; in topology "cluster" keys are in slots by the Cluster's own rule, with {} as hash tag; remove this key`
		case key == "servers":
			var want []string
			for _, r := range required[topology] {
				want = append(want, r.key)
			}
			return fmt.Sprintf("belongs to topology %s; topology %q wants %s instead", quoted(to), topology, strings.Join(want, " and "))
		}
		message := fmt.Sprintf("belongs to topology %s; this pool has topology %q", quoted(to), topology)
		if !given {
			message += fmt.Sprintf(", as none is given; want topology = %q, or remove this key", to[0])
		}
		return message
	}
}

// quoted returns `"a", "b" or "c"`.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(w))
	}
	return b.String()
}
