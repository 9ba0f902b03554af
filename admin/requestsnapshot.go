package admin

import (
	"cmp"
	"slices"
	"strings"

	"ringway/stats"
)

// bigValue is one of the largest requests and replies, for the page.
type bigValue struct {
	At      int64  `json:"at"`
	Key     string `json:"key"` // as log_keys shows it
	Command string `json:"command"`
	What    string `json:"what"` // request or reply
	Size    int    `json:"size"`
	Client  string `json:"client"`
}

// bigValues returns the largest requests and replies of a pool, the largest first.
func (a *Admin) bigValues(pool string) []bigValue {
	all := []bigValue{}
	add := func(what string, values []stats.BigValue) {
		for _, v := range values {
			all = append(all, bigValue{v.At.UnixMilli(), validText(v.Key), v.Command, what, v.Size, v.Client})
		}
	}
	requests, replies := a.srv.BigValues(pool, shownBig)
	add("request", requests)
	add("reply", replies)
	slices.SortStableFunc(all, func(x, y bigValue) int { return cmp.Compare(y.Size, x.Size) })
	return all[:min(len(all), shownBig)]
}

// slowRequest is one of the slowest requests, and the three parts of its time, for the page.
type slowRequest struct {
	At      int64   `json:"at"`
	Command string  `json:"command"`
	Key     string  `json:"key"` // as log_keys shows it
	Client  string  `json:"client"`
	Server  string  `json:"server"`
	Took    float64 `json:"took"`
	Waited  float64 `json:"waited"`
	Served  float64 `json:"served"`
	Read    float64 `json:"read"`
	Failed  bool    `json:"failed"`
}

// slowRequests returns the slowest requests of a pool, the slowest first.
func (a *Admin) slowRequests(pool string) []slowRequest {
	all := []slowRequest{}
	slowest, _ := a.srv.SlowRequests(pool, shownSlow)
	for i := range slowest {
		r := &slowest[i]
		all = append(all, slowRequest{
			r.At.UnixMilli(), r.Command, validText(r.Key), r.Client, r.Server,
			micros(r.Total().Seconds()), micros(r.Waited.Seconds()), micros(r.Served.Seconds()), micros(r.Read.Seconds()), r.Failed,
		})
	}
	return all
}

// validText returns a key as JSON can have it.
func validText(key string) string { return strings.ToValidUTF8(key, "�") }
