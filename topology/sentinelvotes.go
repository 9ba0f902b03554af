package topology

import (
	"net"
	"strings"
)

// A masterConfig is a configuration of a master, in Sentinel's sense: which server is it, and
// since which failover.
type masterConfig struct {
	addr  string // "host:port", as Sentinels have it; "" if the Sentinel knows no master of that name
	epoch int64  // the configuration epoch: each failover has a higher one
}

// votes decides which server is followed as one master, by what the Sentinels say of it. It
// does no I/O and has no clock.
//
// The configuration with the highest epoch counts, whichever Sentinel has it, and not what the
// majority says. Sentinels themselves take over any configuration with a higher epoch, and
// epochs are given out by elections, so a majority stands behind each. The Sentinel that led
// the failover has the new one a second before the others; one that was cut off for a while
// has an old one, and is outvoted by any that is newer. A configuration whose epoch is not
// higher than the current one's, and which names another server, is believed only if the
// Sentinels were reset; see tick.
type votes struct {
	name      string       // of the master
	sentinels int          // how many Sentinels are known
	current   masterConfig // what is followed; no address before the first is found

	// A configuration must have an epoch higher than this to be followed; the current one's,
	// or -1 to allow any.
	epochFloor int64

	// What the Sentinels said last, by their addresses. Those that do not answer are absent.
	answers     map[string]masterConfig
	failingOver map[string]bool // those that are replacing the current primary, by their events

	// For tick.
	former     map[string]bool // addresses that were followed before: only a higher epoch can bring them back
	rival      masterConfig    // what all Sentinels name instead of the current one
	rivalTicks int             // for how many ticks in a row
}

// resetTicks is after how many ticks Sentinels that were reset are believed.
const resetTicks = 5

func newVotes(name string) *votes {
	return &votes{
		name: name, epochFloor: -1,
		answers: map[string]masterConfig{}, former: map[string]bool{}, failingOver: map[string]bool{},
	}
}

// setAnswer takes a Sentinel's answer.
func (v *votes) setAnswer(sentinel string, s masterConfig) { v.answers[sentinel] = s }

// dropAnswer takes note that a Sentinel does not answer.
func (v *votes) dropAnswer(sentinel string) { delete(v.answers, sentinel) }

// majority returns how many of the known Sentinels are more than half of them.
func (v *votes) majority() int { return v.sentinels/2 + 1 }

// target returns the configuration to follow instead of the current one, if there is one.
// Before the first is found, a majority of the Sentinels must have answered, so that a single
// one that missed a failover does not decide; with graceOver, those that have answered
// suffice.
func (v *votes) target(graceOver bool) (masterConfig, bool) {
	if v.current.addr == "" && !graceOver && len(v.answers) < v.majority() {
		return masterConfig{}, false
	}
	newest := masterConfig{epoch: v.epochFloor}
	for _, s := range v.answers {
		if s.addr != "" && s.epoch > newest.epoch {
			newest = s
		}
	}
	if newest.addr == "" {
		return masterConfig{}, false
	}
	// One epoch may stand for two addresses: two failovers that were forced at two
	// Sentinels at once (SENTINEL FAILOVER skips the election), or Sentinels that were
	// configured differently.
	newest.addr = v.mostNamed(newest.epoch)
	return newest, newest.addr != ""
}

// mostNamed returns the address that most Sentinels name with the given epoch, "" if several
// are named equally often.
func (v *votes) mostNamed(epoch int64) (addr string) {
	count := map[string]int{}
	for _, s := range v.answers {
		if s.addr != "" && s.epoch == epoch {
			count[s.addr]++
		}
	}
	best, tie := 0, false
	for a, n := range count {
		switch {
		case n > best:
			addr, best, tie = a, n, false
		case n == best:
			tie = true
		}
	}
	if tie {
		return ""
	}
	return addr
}

// adopt makes s the current configuration. The caller has made sure that the server says
// itself that it is primary.
func (v *votes) adopt(s masterConfig) {
	if was := v.current.addr; was != "" && was != s.addr {
		v.former[was] = true
	}
	delete(v.former, s.addr)
	v.current, v.epochFloor = s, s.epoch
	v.rivalTicks = 0
	clear(v.failingOver)
}

// tick finds out whether the Sentinels were reset, as by SENTINEL REMOVE and MONITOR, after
// which their epochs begin at 0 again. It is called once in a probe_interval, with whether the
// current primary says that it is a replica. It returns the configuration that the Sentinels
// name, and whether that is to be believed.
//
// It is if a majority of the Sentinels did not know the name for a while (then any epoch is
// accepted from now on), or if for resetTicks ticks all that answer, and a majority of those
// known, name the same other server. A server that was followed before must not come back in
// that way unless the current one says that it was demoted: the Sentinels may all have missed
// a failover, and will learn of it before long.
func (v *votes) tick(demoted bool) (masterConfig, bool) {
	unknown := 0
	for _, s := range v.answers {
		if s.addr == "" {
			unknown++
		}
	}
	if v.current.addr != "" && unknown >= v.majority() {
		v.epochFloor = -1
		clear(v.former)
	}
	rival, all := v.unanimous()
	switch {
	case !all || rival.addr == v.current.addr || rival.epoch > v.epochFloor || v.current.addr == "":
		v.rivalTicks = 0
		return masterConfig{}, false
	case v.former[rival.addr] && !demoted:
		v.rivalTicks = 0
		return masterConfig{}, false
	case rival != v.rival:
		v.rival, v.rivalTicks = rival, 0
	}
	v.rivalTicks++
	return rival, v.rivalTicks >= resetTicks
}

// unanimous returns the configuration on which all Sentinels that answer agree, if they are a
// majority.
func (v *votes) unanimous() (all masterConfig, ok bool) {
	for _, s := range v.answers {
		if all.addr != "" && s != all || s.addr == "" {
			return masterConfig{}, false
		}
		all = s
	}
	return all, all.addr != "" && len(v.answers) >= v.majority()
}

// whyNone returns why no master was found, and what to do, for the log.
func (v *votes) whyNone() string {
	if len(v.answers) == 0 {
		return "no Sentinel answers: check the addresses in the setting sentinels"
	}
	for _, s := range v.answers {
		if s.addr != "" {
			return "Sentinels name different masters: compare SENTINEL MASTER " + v.name + " at each of them"
		}
	}
	return "no Sentinel knows a master named " + v.name + ": compare the setting masters with SENTINEL MASTERS"
}

// eventMeaning is what an event of a Sentinel means for a master.
type eventMeaning uint8

const (
	eventIrrelevant eventMeaning = iota
	eventPoll                    // the Sentinel may have news: poll it
	eventFailover                // the current primary is about to be replaced
	eventAborted                 // and is so no more
)

// onEvent takes an event that a Sentinel has published.
func (v *votes) onEvent(sentinel, channel, payload string) eventMeaning {
	switch channel {
	case "+vote-for-leader", "+new-epoch", "+tilt", "-tilt":
		return eventPoll // these name no master
	}
	name, addr := subject(channel, payload)
	if name != v.name {
		return eventIrrelevant
	}
	switch {
	case isFailoverStart(channel):
		// Events that name another address belong to a failover that is complete:
		// the Sentinel names the old primary in them to the end.
		if addr != v.current.addr || addr == "" {
			return eventPoll
		}
		v.failingOver[sentinel] = true
		return eventFailover
	case strings.HasPrefix(channel, "-failover-abort-"):
		if !v.failingOver[sentinel] {
			return eventPoll
		}
		delete(v.failingOver, sentinel)
		if len(v.failingOver) > 0 {
			return eventPoll
		}
		return eventAborted
	}
	return eventPoll
}

// isFailoverStart reports whether an event shows a failover under way. The replica that takes
// over is promoted 0.14 s after the first of them.
func isFailoverStart(channel string) bool {
	switch channel {
	case "+try-failover", "+elected-leader", "+selected-slave", "+promoted-slave":
		return true
	}
	return strings.HasPrefix(channel, "+failover-state-")
}

// subject returns the name of the master that an event is about, and its address as the
// Sentinel has it.
//
//	+try-failover    master NAME HOST PORT
//	+promoted-slave  slave HOST:PORT HOST PORT @ NAME HOST PORT
//	+switch-master   NAME OLD-HOST OLD-PORT NEW-HOST NEW-PORT
func subject(channel, payload string) (name, addr string) {
	fields := strings.Fields(payload)
	if _, of, ok := strings.Cut(payload, " @ "); ok {
		fields = strings.Fields(of)
	} else if channel != "+switch-master" {
		if len(fields) == 0 || fields[0] != "master" {
			return "", ""
		}
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return "", ""
	}
	return fields[0], net.JoinHostPort(fields[1], fields[2])
}
