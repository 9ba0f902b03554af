//go:build ignore

// Convert turns recorded placements of twemproxy 0.5.0 into placement.txt:
//
//	go run testdata/convert.go < recorded.json > testdata/placement.txt
//
// The input is one JSON object as the types below read it: values of the hash
// functions, and for each pool the server that stored each key. The output has
// one record a line; the keys, which all pools share, are listed once, and a
// placement is one digit a key, the server's index.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
)

type recorded struct {
	Hashes       map[string]map[string]uint32 // function -> key in hex -> value
	UnsignedChar map[string]map[string]uint32 `json:"hashes_unsigned_char"` // where it differs
	EqualWeight  struct {
		With156 []int `json:"n_with_156"` // server counts with 156 points each instead of 160
	} `json:"ketama_points_equal_weight"`
	Pools []struct {
		Name, Hash, Distribution string
		HashTag                  string            `json:"hash_tag"`
		Servers                  []string          // "host:port:weight" or "host:port:weight name"
		Order                    []string          `json:"server_order"`
		Points                   int               `json:"npoints"`
		Placement                map[string]string // key in hex -> server name
	}
}

func main() {
	var in recorded
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		log.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprint(out, heading)

	writeHashes(out, "hash", in.Hashes)
	writeHashes(out, "unsigned", in.UnsignedChar)
	for _, n := range in.EqualWeight.With156 {
		fmt.Fprintln(out, "with156", n)
	}
	keys := slices.Sorted(maps.Keys(in.Pools[0].Placement))
	for _, key := range keys {
		fmt.Fprintf(out, "key %q\n", key)
	}
	for _, p := range in.Pools {
		fmt.Fprintf(out, "pool %s %s %s %q %d\n", p.Name, p.Hash, p.Distribution, p.HashTag, p.Points)
		for _, name := range p.Order {
			fmt.Fprintln(out, "server", name, weight(p.Servers, name))
		}
		owners := make([]byte, len(keys))
		for i, key := range keys {
			owners[i] = '0' + byte(slices.Index(p.Order, p.Placement[key]))
		}
		fmt.Fprintf(out, "owners %s\n", owners)
	}
}

const heading = `# Placements recorded from twemproxy (nutcracker) 0.5.0 on x86-64, written by convert.go.
# hash FUNCTION KEY VALUE: keys in hex, quoted.
# unsigned FUNCTION KEY VALUE: what differs where C's char is unsigned.
# with156 N: N servers of equal weight have 156 points each in ketama; all other N up to 1000 have 160.
# key KEY: the keys of all pools, in the order of the digits after owners.
# pool NAME HASH DISTRIBUTION TAG POINTS, then its servers in index order: server NAME WEIGHT.
# owners DIGITS: for each key the index of its server.
`

func writeHashes(out *bufio.Writer, record string, hashes map[string]map[string]uint32) {
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		for _, key := range slices.Sorted(maps.Keys(hashes[name])) {
			fmt.Fprintf(out, "%s %s %q %d\n", record, name, key, hashes[name][key])
		}
	}
}

// weight finds the server called name and returns its weight. A server without
// a name of its own is called host:port.
func weight(servers []string, name string) string {
	for _, s := range servers {
		addr, own, named := strings.Cut(s, " ")
		colon := strings.LastIndexByte(addr, ':')
		if named && own == name || !named && addr[:colon] == name {
			return addr[colon+1:]
		}
	}
	log.Fatalf("no server %q in %q", name, servers)
	return ""
}
