package session

import (
	"slices"
	"strings"

	"ringway/command"
	"ringway/resp"
)

// clientTracking runs CLIENT TRACKING (docs/tracking.md). The errors are Redis's. The reply comes
// later if the client that invalidations are redirected to must be found on another loop, or if
// there are many prefixes.
func clientTracking(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	t, id, problem := parseTracking(args[3:])
	on := strings.ToLower(string(args[2]))
	switch {
	case problem != "":
		return resp.AppendError(dst, problem)
	case on == "off":
		s.untrack()
		return append(dst, replyOK...)
	case on != "on":
		return resp.AppendError(dst, "ERR syntax error")
	}
	if id == 0 {
		if problem := s.mayTrack(t); problem != "" {
			return resp.AppendError(dst, problem)
		}
	}
	t.number = s.push()
	s.closeWindow()
	if id == 0 {
		s.track(t)
	} else { // the other client may be on another loop
		s.findClient(id, func(w *Worker, to *session) { s.foundTarget(t, id, w, to) })
	}
	return nil
}

// foundTarget continues CLIENT TRACKING … REDIRECT id: the client with that id is to, on w, or
// there is none and to is nil.
func (s *session) foundTarget(t *tracking, id uint64, w *Worker, to *session) {
	problem := "ERR The client ID you want redirect to does not exist"
	if to != nil {
		t.redirect = &trackingRedirect{from: t, id: id, w: w, to: to}
		problem = s.mayTrack(t)
	}
	if !s.conn.Open() || problem != "" {
		if t.redirect != nil {
			t.redirect.end()
		}
		s.answerAndResume(t.number, resp.AppendError(nil, problem))
		return
	}
	s.track(t)
}

// parseTracking reads the options of CLIENT TRACKING ON. redirect is the id of the client that
// invalidations go to, or 0. problem is the error for the client, or "".
func parseTracking(args [][]byte) (t *tracking, redirect uint64, problem string) {
	t = &tracking{}
	for i := 0; i < len(args); i++ {
		more := i+1 < len(args)
		is := func(option string) bool { return strings.EqualFold(string(args[i]), option) }
		switch {
		case is("prefix") && more:
			if i++; len(args[i]) > maxTopic {
				return nil, 0, "ERR prefix is longer than 65536 bytes"
			}
			t.prefixes = append(t.prefixes, string(args[i]))
		case is("redirect") && more:
			i++
			if redirect != 0 {
				return nil, 0, "ERR A client can only redirect to a single other client"
			}
			n, ok := resp.ParseInt(args[i])
			if !ok {
				return nil, 0, "ERR value is not an integer or out of range"
			}
			if n <= 0 {
				return nil, 0, "ERR The client ID you want redirect to does not exist"
			}
			redirect = uint64(n)
		case is("bcast"):
			t.bcast = true
		case is("optin"):
			t.optin = true
		case is("optout"):
			t.optout = true
		case is("noloop"):
			t.noloop = true
		default:
			return nil, 0, "ERR syntax error"
		}
	}
	return t, redirect, ""
}

// mayTrack checks the options t against each other and against what the client tracks already.
// It returns the error for the client, or "".
func (s *session) mayTrack(t *tracking) (problem string) {
	was := s.tracking
	const first = " before disabling tracking for this client, and then re-enabling it with a different mode."
	switch {
	case !t.bcast && len(t.prefixes) > 0:
		return "ERR PREFIX option requires BCAST mode to be enabled"
	case was != nil && was.bcast != t.bcast:
		return "ERR You can't switch BCAST mode on/off" + first
	case t.bcast && (t.optin || t.optout):
		return "ERR OPTIN and OPTOUT are not compatible with BCAST"
	case t.optin && t.optout:
		return "ERR You can't use both OPTIN mode and OPTOUT mode"
	case was != nil && (t.optin && was.optout || t.optout && was.optin):
		return "ERR You can't switch OPTIN/OPTOUT mode" + first
	}
	have := 0
	if was != nil {
		have = len(was.prefixes)
	}
	if have+len(t.prefixes) > s.w.conf.ClientSubscriptions {
		return "ERR this client has as many prefixes as client_subscriptions allows"
	}
	return t.overlap(was)
}

// overlap sorts t's prefixes, and returns an error if one of them begins with another, or
// begins with or is the beginning of one that was tracks already; was may be nil. In sorted
// order a string that begins with a prefix follows it, so neighbours need to be compared only.
func (t *tracking) overlap(was *tracking) (problem string) {
	const rule = ". Prefixes for a single client must not overlap."
	slices.Sort(t.prefixes)
	for i, prefix := range t.prefixes {
		if was != nil {
			at, _ := slices.BinarySearch(was.prefixes, prefix)
			for _, have := range was.prefixes[max(0, at-1):min(at+1, len(was.prefixes))] {
				if overlap(have, prefix) {
					return "ERR Prefix '" + prefix + "' overlaps with an existing prefix '" + have + "'" + rule
				}
			}
		}
		if i+1 < len(t.prefixes) && overlap(prefix, t.prefixes[i+1]) {
			return "ERR Prefix '" + prefix + "' overlaps with another provided prefix '" + t.prefixes[i+1] + "'" + rule
		}
	}
	return ""
}

// overlap reports whether one of two prefixes begins with the other.
func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// track makes t's options the client's, and answers its request. Keys that it has read before
// stay tracked. Prefixes are registered in portions, since there may be thousands.
func (s *session) track(t *tracking) {
	t.s = s
	tr, was := s.tracker, s.tracking
	if t.bcast && len(t.prefixes) == 0 && (was == nil || len(was.prefixes) == 0) {
		t.prefixes = []string{""}
	}
	owner, left := t, t.prefixes
	if was != nil {
		owner = was
	}
	s.w.inPortions(func() (done bool) {
		if !s.conn.Open() {
			if t.redirect != nil {
				t.redirect.end()
			}
			tr.forget(owner, t.prefixes)
			return true
		}
		n := min(portion, len(left))
		for _, p := range left[:n] {
			tr.prefixes.add(owner, p)
		}
		if left = left[n:]; len(left) > 0 {
			return false
		}
		if was == nil {
			tr.start(t)
		} else {
			was.change(t)
		}
		return true
	})
}

// change replaces the options of a client that tracks already by those of t, and adds t's
// prefixes.
func (was *tracking) change(t *tracking) {
	if was.redirect != nil {
		was.redirect.end()
	}
	was.optin, was.optout, was.noloop, was.redirect = t.optin, t.optout, t.noloop, t.redirect
	was.prefixes = append(was.prefixes, t.prefixes...)
	slices.Sort(was.prefixes)
	if was.redirect != nil {
		was.redirect.from = was
	}
	was.s.answerAndResume(t.number, replyOK)
}

// clientCaching runs CLIENT CACHING: it says whether the keys of the next command are tracked.
func clientCaching(s *session, _ *command.Command, args [][]byte, dst []byte) []byte {
	t := s.tracking
	if t == nil || !t.optin && !t.optout {
		return resp.AppendError(dst, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	}
	switch strings.ToLower(string(args[2])) {
	case "yes":
		if !t.optin {
			return resp.AppendError(dst, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
		}
	case "no":
		if !t.optout {
			return resp.AppendError(dst, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
		}
	default:
		return resp.AppendError(dst, "ERR syntax error")
	}
	t.caching = true
	return append(dst, replyOK...)
}

// redirection is the id of the client that invalidations go to: 0 for this one, -1 if this
// client does not track.
func (s *session) redirection() int64 {
	switch t := s.tracking; {
	case t == nil:
		return -1
	case t.redirect == nil:
		return 0
	default:
		return int64(t.redirect.id)
	}
}

// clientGetRedir runs CLIENT GETREDIR.
func clientGetRedir(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	return resp.AppendInt(dst, s.redirection())
}

// clientTrackingInfo runs CLIENT TRACKINGINFO.
func clientTrackingInfo(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	flags := []string{"off"}
	var prefixes []string
	if t := s.tracking; t != nil {
		flags[0] = "on"
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"bcast", t.bcast}, {"optin", t.optin}, {"caching-yes", t.optin && t.caching}, {"optout", t.optout},
			{"caching-no", t.optout && t.caching}, {"noloop", t.noloop}, {"broken_redirect", t.redirect != nil && t.redirect.targetGone},
		} {
			if f.set {
				flags = append(flags, f.name)
			}
		}
		prefixes = slices.Clone(t.prefixes)
	}
	dst = s.protocol.AppendMap(dst, 3)
	dst = resp.AppendBulkString(dst, "flags")
	dst = s.protocol.AppendSet(dst, len(flags))
	for _, f := range flags {
		dst = resp.AppendBulkString(dst, f)
	}
	dst = resp.AppendInt(resp.AppendBulkString(dst, "redirect"), s.redirection())
	dst = resp.AppendArray(resp.AppendBulkString(dst, "prefixes"), len(prefixes))
	for _, p := range prefixes {
		dst = resp.AppendBulkString(dst, p)
	}
	return dst
}
