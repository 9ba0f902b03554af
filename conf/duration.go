package conf

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDuration is the longest duration that is accepted. Later deadlines would overflow.
const maxDuration = 10 * 365 * 24 * time.Hour

// inMilliseconds are the settings that twemproxy has as numbers of milliseconds.
var inMilliseconds = []string{"timeout", "server_retry_timeout"}

// duration stores a quoted duration of at least low.
func (v *value) duration(into *time.Duration, low time.Duration) {
	s, ok := v.v.(string)
	if !ok {
		v.fail("want a quoted duration with a unit, such as %s", v.suggestDurations(fmt.Sprint(v.v)))
		return
	}
	d, err := time.ParseDuration(s)
	switch meant, known := guessDuration(s); {
	case err != nil && isDigits(s):
		v.fail("want a unit, such as %s; the units are ms, s, m and h", v.suggestDurations(s))
	case err != nil && known:
		v.fail("want %q; the units are ms, s, m and h", durationText(meant))
	case err != nil:
		v.fail(`want a duration with a unit, such as "400ms"; the units are ms, s, m and h`)
	case d < 0:
		v.fail("want a duration that is not negative")
	case d < low:
		v.fail("want %s or more", low)
	case d > maxDuration:
		v.fail("want %s or less", maxDuration)
	default:
		*into = d
	}
}

// suggestDurations returns, in quotes, what a bare number may mean: milliseconds if
// twemproxy counts this setting in them, else also seconds, as in redis.conf.
func (v *value) suggestDurations(number string) string {
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || n < 0 || n > float64(maxDuration/time.Millisecond):
		return `"400ms"`
	case n == 0:
		return `"0s"`
	case slices.Contains(inMilliseconds, v.name):
		return strconv.Quote(durationText(time.Duration(n * float64(time.Millisecond))))
	case n > maxDuration.Seconds():
		return strconv.Quote(number + "ms")
	}
	return fmt.Sprintf("%q for seconds or %q for milliseconds", number+"s", number+"ms")
}

// unitWords are the units that people write, in the singular and in lower case.
var unitWords = map[string]time.Duration{
	"ms": time.Millisecond, "msec": time.Millisecond, "milli": time.Millisecond, "millisecond": time.Millisecond,
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

var (
	wordyDuration = regexp.MustCompile(`^(?:\d+(?:[.,]\d+)?\s*[a-zA-Z]+[\s,]*)+$`)
	durationPart  = regexp.MustCompile(`(\d+(?:[.,]\d+)?)\s*([a-zA-Z]+)`)
)

// guessDuration returns the duration that a text with spaces, or with units that
// time.ParseDuration does not know, probably means: "1 second", "2 days".
func guessDuration(s string) (sum time.Duration, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > maxWordLen || !wordyDuration.MatchString(s) {
		return 0, false
	}
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseFloat(strings.Replace(part[1], ",", ".", 1), 64)
		word := strings.ToLower(part[2])
		unit := unitWords[word]
		if unit == 0 {
			unit = unitWords[strings.TrimSuffix(word, "s")]
		}
		if part := n * float64(unit); err == nil && part > 0 && part <= float64(maxDuration) {
			sum += time.Duration(part)
		} else {
			return 0, false
		}
	}
	return sum, sum <= maxDuration
}

// durationText returns a duration in its shortest form: 5m, not 5m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
