package limit

import (
	"net/netip"
	"time"
)

// Wrong passwords count for the network that they come from. After some, its clients' passwords are looked at one after
// the other, at a rate, right ones as well: else whoever guesses would take a late answer for a wrong password, and leave.

const (
	freeFailures   = 10              // wrong passwords of a network in a row that change nothing
	loginsPerSec   = 50              // how many passwords of a network are looked at a second after these: clients behind one address with a wrong password that connect again and again keep out nobody
	longestLogin   = 5 * time.Second // how long one may have to wait for that; others are refused
	forgetFailures = time.Minute     // after so long without a wrong password a network is as any other
	maxFailing     = 16384           // how many networks with failures are remembered
)

// failing is a network with wrong passwords.
type failing struct {
	count int
	last  int64 // when the last one came, as clock
	next  int64 // when the next password may be looked at
}

// failed returns the failures of a network that has some; nil if it has none. mu is held.
func (p *Pool) failed(network netip.Prefix) *failing {
	f := p.failing[network]
	if f != nil && clock()-f.last > int64(forgetFailures) {
		delete(p.failing, network)
		return nil
	}
	return f
}

// WrongPassword says that a client at an address has given one.
func (p *Pool) WrongPassword(addr netip.Addr) {
	network, ok := p.Settings().network(addr)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.failed(network)
	if f == nil {
		p.makeRoomForFailing()
		f = &failing{}
		p.failing[network] = f
	}
	f.count++
	f.last = clock()
	p.anyFailing.Store(true)
	if f.count == freeFailures {
		p.log.Warn("many wrong passwords: logins from the network wait", "network", network.String())
	}
}

// Login returns how long a client at an address has to wait until its password is looked at. ok is false if too many of its network wait.
func (p *Pool) Login(addr netip.Addr) (wait time.Duration, ok bool) {
	if !p.anyFailing.Load() {
		return 0, true
	}
	network, ok := p.Settings().network(addr)
	if !ok {
		return 0, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.failed(network)
	if f == nil || f.count < freeFailures {
		p.anyFailing.Store(len(p.failing) > 0)
		return 0, true
	}
	now := clock()
	at := max(now, f.next)
	if wait = time.Duration(at - now); wait > longestLogin {
		return 0, false
	}
	f.next = at + int64(time.Second)/loginsPerSec
	return wait, true
}

// looked is how many entries of a full table are looked at for one that may be forgotten, so that a flood of networks costs
// little for each.
const looked = 32

// makeRoomForFailing forgets networks if there are too many: those of some whose time is over, and else any.
func (p *Pool) makeRoomForFailing() {
	n := 0
	for network := range p.failing {
		if n++; n > looked || len(p.failing) < maxFailing {
			return
		}
		if p.failed(network) != nil && n == looked {
			delete(p.failing, network)
		}
	}
}
