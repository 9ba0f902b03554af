package topology

import (
	"net"
	"strings"
)

// said is what one Sentinel says of one master.
type said struct {
	addr  string // as Sentinels name it, "host:port"; "" if it knows no master of that name
	epoch int64  // of its configuration: each failover has a higher one
}

// votes decides which server is followed as one master, by what the Sentinels
// say of it. It does no I/O and has no clock.
//
// The newest configuration counts, whoever has it: Sentinels themselves take
// over any configuration with a higher epoch than theirs, so that the one who
// led a failover is right a second before the others, and one that was cut off
// from the others for a while is not listened to. A configuration that is as old
// as ours or older, and names another server, is only taken when the Sentinels
// have been set up anew; see tick.
type votes struct {
	name    string
	current said // who is followed; no address before the first is found
	floor   int64
	known   int // how many Sentinels there are
	answers map[string]said
	left    map[string]bool // who was followed before, and must not be again for less than a higher epoch
	trying  map[string]bool // Sentinels that are replacing the current one
	stray   said            // what all Sentinels say against us
	strayed int             // for how many ticks they have
}

// strayTicks is after how many ticks Sentinels that were set up anew are
// believed.
const strayTicks = 5

func newVotes(name string) *votes {
	return &votes{
		name: name, floor: -1,
		answers: map[string]said{}, left: map[string]bool{}, trying: map[string]bool{},
	}
}

// answered takes what a Sentinel says.
func (v *votes) answered(sentinel string, s said) { v.answers[sentinel] = s }

// silent takes note that a Sentinel does not answer.
func (v *votes) silent(sentinel string) { delete(v.answers, sentinel) }

// majority is how many of the known Sentinels are more than half of them.
func (v *votes) majority() int { return v.known/2 + 1 }

// target returns whom to follow instead of the current one, if anybody. Before
// the first is found, a majority must have answered, so that it is not one
// Sentinel that slept through a failover who decides; with hurry, those that
// have answered suffice.
func (v *votes) target(hurry bool) (said, bool) {
	if v.current.addr == "" && !hurry && len(v.answers) < v.majority() {
		return said{}, false
	}
	newest := said{epoch: v.floor}
	for _, s := range v.answers {
		if s.addr != "" && s.epoch > newest.epoch {
			newest = s
		}
	}
	if newest.addr == "" {
		return said{}, false
	}
	// Two failovers that were forced upon two Sentinels at once may have the same
	// epoch, and so have masters that were set up differently.
	newest.addr = v.mostNamed(newest.epoch)
	return newest, newest.addr != ""
}

// mostNamed returns the address that most Sentinels name with an epoch; "" if
// there are two such.
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

// adopt makes s the current one, which has said itself that it is primary.
func (v *votes) adopt(s said) {
	if was := v.current.addr; was != "" && was != s.addr {
		v.left[was] = true
	}
	delete(v.left, s.addr)
	v.current, v.floor = s, s.epoch
	v.strayed = 0
	clear(v.trying)
}

// tick is called once in a while, with whether the current one says that it is a
// replica. It finds out whether the Sentinels were set up anew, as by SENTINEL
// REMOVE and MONITOR, after which their epochs begin again: then it returns what
// they name, and whether there is such a thing.
//
// That is so if most of them did not know the name for a while, or if for some
// ticks all that answer, and most of those that are known, name the same other
// server. One that was switched away from must not come back that way unless
// the current one has said itself that it is replaced: it may be Sentinels that
// all slept through a failover, and before long they will notice.
func (v *votes) tick(demoted bool) (said, bool) {
	unknown := 0
	for _, s := range v.answers {
		if s.addr == "" {
			unknown++
		}
	}
	if v.current.addr != "" && unknown >= v.majority() {
		v.floor = -1
		clear(v.left)
	}
	stray, all := v.unanimous()
	switch {
	case !all || stray.addr == v.current.addr || stray.epoch > v.floor || v.current.addr == "":
		v.strayed = 0
		return said{}, false
	case v.left[stray.addr] && !demoted:
		v.strayed = 0
		return said{}, false
	case stray != v.stray:
		v.stray, v.strayed = stray, 0
	}
	v.strayed++
	return stray, v.strayed >= strayTicks
}

// unanimous returns what all that answer say, if they are a majority.
func (v *votes) unanimous() (all said, ok bool) {
	for _, s := range v.answers {
		if all.addr != "" && s != all || s.addr == "" {
			return said{}, false
		}
		all = s
	}
	return all, all.addr != "" && len(v.answers) >= v.majority()
}

// lack says why no master has been found.
func (v *votes) lack() string {
	if len(v.answers) == 0 {
		return "no Sentinel answers: see that sentinels lists where they listen"
	}
	for _, s := range v.answers {
		if s.addr != "" {
			return "the Sentinels name different masters: see SENTINEL MASTER " + v.name + " at each of them"
		}
	}
	return "no Sentinel knows a master of the name " + v.name + ": see that masters lists their names as SENTINEL MASTERS tells them"
}

// turn is what an event means for a master.
type turn uint8

const (
	nothing   turn = iota
	look           // the Sentinel may have news
	begins         // the current primary is about to be replaced
	calledOff      // and is so no more
)

// heard takes an event that a Sentinel has published.
func (v *votes) heard(sentinel, channel, payload string) turn {
	switch channel {
	case "+vote-for-leader", "+new-epoch", "+tilt", "-tilt":
		return look // these name no master
	}
	name, addr := subject(channel, payload)
	if name != v.name {
		return nothing
	}
	switch {
	case isBeginning(channel):
		// A failover that is done still has events, which name the old one.
		if addr != v.current.addr || addr == "" {
			return look
		}
		v.trying[sentinel] = true
		return begins
	case strings.HasPrefix(channel, "-failover-abort-"):
		if !v.trying[sentinel] {
			return look
		}
		delete(v.trying, sentinel)
		if len(v.trying) > 0 {
			return look
		}
		return calledOff
	}
	return look
}

// isBeginning reports whether an event is one of a failover under way. The
// replica that takes over does so 0.14 s after the first of them.
func isBeginning(channel string) bool {
	switch channel {
	case "+try-failover", "+elected-leader", "+selected-slave", "+promoted-slave":
		return true
	}
	return strings.HasPrefix(channel, "+failover-state-")
}

// subject returns the name of the master that an event is about, and its address
// as the Sentinel knows it.
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
