package conf

import (
	"strings"
	"testing"
)

func TestDurationsWithoutUnitsAreExplained(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`timeout = 400`:                `timeout 400: want a quoted duration with a unit, such as "400ms"`,
		`timeout = 1.5`:                `timeout 1.5: want a quoted duration with a unit, such as "1.5ms"`,
		`server_retry_timeout = 30000`: `such as "30s"`,
		`timeout = "2000"`:             `timeout "2000": want a unit, such as "2s"; the units are ms, s, m and h`,
		`timeout = 0`:                  `such as "0s"`,
		`connect_timeout = 2`:          `connect_timeout 2: want a quoted duration with a unit, such as "2s" for seconds or "2ms" for milliseconds`,
		`timeout = -1`:                 `such as "400ms"`,
		`timeout = true`:               `such as "400ms"`,
		`timeout = "1 second"`:         `timeout "1 second": want "1s"; the units are ms, s, m and h`,
		`timeout = "400 MS"`:           `want "400ms"`,
		`timeout = "5min"`:             `want "5m"`,
		`timeout = "1h 30m"`:           `want "1h30m"`,
		`timeout = "1,5 s"`:            `want "1.5s"`,
		`timeout = "1d"`:               `want "24h"`,
		`timeout = "1 fortnight"`:      `want a duration with a unit, such as "400ms"`,
		`timeout = "soon"`:             `want a duration with a unit, such as "400ms"`,
		`timeout = "99999999d"`:        `want a duration with a unit, such as "400ms"`,
	} {
		_, _, err := Parse([]byte(minimal(line)), "x")
		if err == nil || !strings.HasPrefix(err.Error(), `x:4:`) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: reported as %v, want %q", line, err, want)
		}
	}
	_, _, err := Parse([]byte("[proxy]\nclient_idle_timeout = 300\n"+minimal()), "x")
	if err == nil || !strings.Contains(err.Error(), `such as "300s" for seconds or "300ms" for milliseconds`) {
		t.Errorf("a number as redis.conf has it is reported as %v", err)
	}
}
