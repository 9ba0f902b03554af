package conf

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// longest is the longest duration: deadlines that are later overflow.
const longest = 10 * 365 * 24 * time.Hour

// inMilliseconds are the durations that twemproxy has as numbers, of milliseconds.
var inMilliseconds = []string{"timeout", "server_retry_timeout"}

// duration stores a quoted duration of at least low.
func (v *value) duration(into *time.Duration, low time.Duration) {
	s, ok := v.v.(string)
	if !ok {
		v.fail("want a quoted duration with a unit, such as %s", v.durationsOf(fmt.Sprint(v.v)))
		return
	}
	d, err := time.ParseDuration(s)
	switch meant, known := durationMeantBy(s); {
	case err != nil && isDigits(s):
		v.fail("want a unit, such as %s; the units are ms, s, m and h", v.durationsOf(s))
	case err != nil && known:
		v.fail("want %q; the units are ms, s, m and h", durationText(meant))
	case err != nil:
		v.fail(`want a duration with a unit, such as "400ms"; the units are ms, s, m and h`)
	case d < 0:
		v.fail("want a duration that is not negative")
	case d < low:
		v.fail("want %s or more", low)
	case d > longest:
		v.fail("want %s or less", longest)
	default:
		*into = d
	}
}

// durationsOf returns in quotes what a bare number may mean: milliseconds where
// twemproxy counts in them, else seconds too, as redis.conf does.
func (v *value) durationsOf(number string) string {
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || n < 0 || n > float64(longest/time.Millisecond):
		return `"400ms"`
	case n == 0:
		return `"0s"`
	case slices.Contains(inMilliseconds, v.name):
		return strconv.Quote(durationText(time.Duration(n * float64(time.Millisecond))))
	case n > longest.Seconds():
		return strconv.Quote(number + "ms")
	}
	return fmt.Sprintf("%q for seconds or %q for milliseconds", number+"s", number+"ms")
}

// unitWords are units as people write them, in the singular and in lower case.
var unitWords = map[string]time.Duration{
	"ms": time.Millisecond, "msec": time.Millisecond, "milli": time.Millisecond, "millisecond": time.Millisecond,
	"s": time.Second, "sec": time.Second, "second": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
}

var (
	spokenDuration = regexp.MustCompile(`^(?:\d+(?:[.,]\d+)?\s*[a-zA-Z]+[\s,]*)+$`)
	durationPart   = regexp.MustCompile(`(\d+(?:[.,]\d+)?)\s*([a-zA-Z]+)`)
)

// durationMeantBy returns what is meant by a duration with spaces or with units
// that ParseDuration does not know.
func durationMeantBy(s string) (sum time.Duration, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > longestWord || !spokenDuration.MatchString(s) {
		return 0, false
	}
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseFloat(strings.Replace(part[1], ",", ".", 1), 64)
		word := strings.ToLower(part[2])
		unit := unitWords[word]
		if unit == 0 {
			unit = unitWords[strings.TrimSuffix(word, "s")]
		}
		if part := n * float64(unit); err == nil && part > 0 && part <= float64(longest) {
			sum += time.Duration(part)
		} else {
			return 0, false
		}
	}
	return sum, sum <= longest
}

// durationText writes a duration in its shortest form: 5m and not 5m0s.
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
