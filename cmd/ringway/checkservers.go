package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"ringway/conf"
	"ringway/topology"
)

// checkServers prints what the servers of each pool say of themselves. It returns exitFailure if a pool can't use one.
func (s streams) checkServers(cfg *conf.Config) int {
	ctx, stop := untilSignal()
	defer stop()
	code := exitOK
	for i := range cfg.Pools {
		found := topology.Inspect(ctx, &cfg.Pools[i])
		fmt.Fprintf(s.out, "\npool %s\n", cfg.Pools[i].Name)
		t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  server\taddress\tversion\trole\tkeys\tmaxmemory\tPING\tother Ringways")
		for _, in := range found {
			if in.Software == "" {
				fmt.Fprintf(t, "  %s\t%s\t-\t-\t-\t-\t-\t-\n", in.Shard, in.Addr)
				continue
			}
			keys, others := "-", "not known"
			if in.HasInfo {
				keys = strconv.FormatInt(in.Keys, 10)
			}
			if in.Others != nil {
				others = cmp.Or(strings.Join(in.Others, ", "), "none")
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%v\t%s\n", in.Shard, in.Addr, in.Software, cmp.Or(roleText[in.Role], "-"), keys,
				memoryText(&in), in.Ping.Round(10*time.Microsecond), others)
		}
		t.Flush()
		for _, in := range found {
			if in.Problem != "" {
				code = exitFailure
				fmt.Fprintf(s.err, "ringway check: pool %q: %s at %s: %s\n", cfg.Pools[i].Name, in.Shard, in.Addr, in.Problem)
			}
		}
	}
	return code
}

// roleText has the words of Ringway for the roles in INFO.
var roleText = map[string]string{"master": "primary", "slave": "replica"}

// memoryText returns a server's limit of memory, and what it does there.
func memoryText(in *topology.Inspection) string {
	switch {
	case !in.HasInfo:
		return "-"
	case in.MaxMemory == 0:
		return "no limit"
	}
	return sizeText(in.MaxMemory) + ", " + in.Policy
}
