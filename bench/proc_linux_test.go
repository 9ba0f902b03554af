package bench

import (
	"os"
	"testing"
	"time"
)

func TestProcTextsAreRead(t *testing.T) {
	stat := "42 (a (very) odd name) S 1 42 42 0 -1 4194560 5 0 0 0 17 29 0 0 20 0 4 0 100 1000 10 18446744073709551615"
	if u, s, ok := parseStat([]byte(stat)); !ok || u != 170*time.Millisecond || s != 290*time.Millisecond {
		t.Errorf("parseStat = %v, %v, %v", u, s, ok)
	}
	for _, bad := range []string{"", "42 (x", "42 (x) S 1 2", "42 (x) S 1 1 1 0 -1 1 5 0 0 0 -7 29 0"} {
		if _, _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("parseStat(%q) is ok", bad)
		}
	}
	if d := parseSchedstat([]byte("524796 12 3\n")); d != 524796 {
		t.Errorf("parseSchedstat = %v", d)
	}
	m := parseStatus("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\nVmData:\t  1 kB\n")
	if m.Peak != 2<<20 || m.Now != 1<<20 {
		t.Errorf("parseStatus = %+v", m)
	}
}

func TestOwnProcessorTimeGrows(t *testing.T) {
	before := processUsage(os.Getpid())
	if !before.Known {
		t.Fatal("usage of this process is not known")
	}
	deadline := time.Now().Add(10 * time.Second)
	for n := 0; ; n++ {
		if processUsage(os.Getpid()).sub(before).Total >= 20*time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("10 s of work used no processor time")
		}
	}
}

func TestUnknownProcessHasNoUsage(t *testing.T) {
	if u := processUsage(1 << 30); u.Known || u.Total != 0 {
		t.Errorf("got %+v", u)
	}
	if m := processMemory(1 << 30); m != (memory{}) {
		t.Errorf("got %+v", m)
	}
}

func TestPerfOutputIsRead(t *testing.T) {
	n, err := parsePerf("Events disabled\n1234,,raw_syscalls:sys_enter,5000,100.00,,\n")
	if n != 1234 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for _, bad := range []string{"", "<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n", "1,2"} {
		if _, err := parsePerf(bad); err == nil {
			t.Errorf("parsePerf(%q) gives no error", bad)
		}
	}
}

// FuzzProc checks that no text the kernel could give makes the readers panic.
func FuzzProc(f *testing.F) {
	f.Add([]byte("42 (a) S 1 42 42 0 -1 4194560 5 0 0 0 17 29 0"))
	f.Add([]byte("VmRSS:\t 99999999999999999999 kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if u, s, ok := parseStat(text); ok && (u < 0 || s < 0) {
			t.Errorf("parseStat(%q) = %v, %v", text, u, s)
		}
		if d := parseSchedstat(text); d < 0 {
			t.Errorf("parseSchedstat(%q) = %v", text, d)
		}
		if m := parseStatus(string(text)); m.Now < 0 || m.Peak < 0 {
			t.Errorf("parseStatus(%q) = %+v", text, m)
		}
		_, _ = parsePerf(string(text))
	})
}
