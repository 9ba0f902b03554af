package server

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"ringway/command"
)

// info answers INFO for the proxy, with the fields by which clients recognise a
// Redis that is ready: it is up, loads nothing and takes writes.
func info(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	srv, pool := s.w.server, s.local.Conf()
	sections := []struct{ name, text string }{
		{"server", fmt.Sprintf("# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\nos:%s %s\r\narch_bits:64\r\nmultiplexing_api:epoll\r\n"+
			"process_id:%d\r\ntcp_port:%s\r\nuptime_in_seconds:%d\r\nproxy:ringway\r\n",
			s.local.Version(), runtime.GOOS, runtime.GOARCH, os.Getpid(), port(pool.Listen.Addr), int(time.Since(srv.started).Seconds()))},
		{"clients", fmt.Sprintf("# Clients\r\nconnected_clients:%d\r\nmaxclients:%d\r\nblocked_clients:0\r\n", srv.clients.Load(), srv.conf.Proxy.MaxClients)},
		{"persistence", "# Persistence\r\nloading:0\r\nasync_loading:0\r\n"},
		{"replication", "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"},
		{"cluster", "# Cluster\r\ncluster_enabled:0\r\n"},
		{"ringway", fmt.Sprintf("# Ringway\r\npool:%s\r\nservers:%d\r\nservers_down:%d\r\n", pool.Name, s.local.Shards(), s.local.CountDown())},
	}
	wanted := map[string]bool{}
	for _, arg := range args[1:] {
		wanted[strings.ToLower(string(arg))] = true
	}
	every := len(wanted) == 0 || wanted["all"] || wanted["everything"] || wanted["default"]
	var texts []string
	for _, section := range sections {
		if every || wanted[section.name] {
			texts = append(texts, section.text)
		}
	}
	return s.appendText(dst, strings.Join(texts, "\r\n"))
}

func port(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || strings.HasPrefix(addr, "/") {
		return "0"
	}
	return addr[i+1:]
}
