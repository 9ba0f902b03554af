package topology

import "testing"

func FuzzReadReplication(f *testing.F) {
	f.Add("# Replication\r\nrole:slave\r\nmaster_host:::1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n" +
		"master_replid:a\r\nmaster_replid2:" + noHistory + "\r\nmaster_repl_offset:7\r\nsecond_repl_offset:-1\r\nrun_id:r\r\n")
	f.Add("role:master\nmaster_repl_offset:99999999999999999999\n:\n::")
	f.Fuzz(func(t *testing.T, info string) {
		r := readReplication(info)
		if r.replID2 == noHistory || r.primary == ":" {
			t.Errorf("read %+v", r)
		}
	})
}

func TestReplicationIsReadFromINFO(t *testing.T) {
	got := readReplication("# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n" +
		"master_replid:a\r\nmaster_replid2:" + noHistory + "\r\nmaster_repl_offset:7\r\nsecond_repl_offset:-1\r\n# Server\r\nrun_id:r\r\n")
	want := replication{role: "slave", runID: "r", replID: "a", offset: 7, forkOffset: -1, primary: serverA, linkUp: true, lastIO: 3}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
