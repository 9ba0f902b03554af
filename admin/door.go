package admin

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"ringway/conf"
	"ringway/handover"
	"ringway/server"
)

// door is the listening socket of an address for operators. It can be handed over to another process.
type door struct {
	net.Listener
	purpose string      // as handover.Socket.For
	at      conf.Listen // as configured
	made    os.FileInfo // the file of a unix socket, as it was created

	mu     sync.Mutex
	paused chan struct{} // closed by ResumeAccepting; nil while the door is open; guarded by mu
	keeps  bool          // the file stays; guarded by mu
}

// listenAs opens an address, or takes the socket that was handed over for it.
func listenAs(purpose string, at conf.Listen, from *handover.Inherited) (*door, error) {
	ln, err := from.TakeListener(purpose, at.Network, at.Addr)
	if err != nil {
		return nil, err
	}
	if ln == nil {
		if ln, err = listen(at); err != nil {
			return nil, err
		}
	}
	d := &door{Listener: ln, purpose: purpose, at: at}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // the file may be another process's by then
		d.made, _ = os.Lstat(at.Addr)
	}
	return d, nil
}

// listen opens an address.
func listen(at conf.Listen) (net.Listener, error) {
	if at.Network == "unix" {
		if err := server.RemoveStale(at.Addr); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen(at.Network, at.Addr)
	if err != nil {
		return nil, err
	}
	if at.Network == "unix" && at.Mode != 0 {
		if err := os.Chmod(at.Addr, os.FileMode(at.Mode)); err != nil {
			ln.Close()
			return nil, err
		}
	}
	return ln, nil
}

// SendListener is server.Door's.
func (d *door) SendListener(to *handover.Conn) error {
	return to.SendListener(handover.Socket{For: d.purpose, Network: d.at.Network, Addr: d.at.Addr}, d.Listener.(syscall.Conn))
}

// PauseAccepting is server.Door's.
func (d *door) PauseAccepting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused == nil {
		d.paused, d.keeps = make(chan struct{}), true
		d.setDeadline(time.Unix(1, 0))
	}
}

// ResumeAccepting is server.Door's.
func (d *door) ResumeAccepting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused != nil {
		d.setDeadline(time.Time{})
		close(d.paused)
		d.paused, d.keeps = nil, false
	}
}

func (d *door) setDeadline(t time.Time) {
	if ln, ok := d.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		ln.SetDeadline(t)
	}
}

// accept is net.Listener's, but waits while the door is paused. It returns net.ErrClosed after Close.
func (d *door) accept() (net.Conn, error) {
	for {
		conn, err := d.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
		d.mu.Lock()
		paused := d.paused
		d.mu.Unlock()
		if paused != nil {
			<-paused
		}
	}
}

// Close closes the socket, and removes the file of a unix socket if it is still the same one and no other process
// has it.
func (d *door) Close() error {
	d.mu.Lock()
	keeps := d.keeps
	d.mu.Unlock()
	if now, err := os.Lstat(d.at.Addr); d.made != nil && !keeps && err == nil && os.SameFile(d.made, now) {
		os.Remove(d.at.Addr)
	}
	err := d.Listener.Close()
	d.ResumeAccepting() // ends accept
	return err
}

// SendListener is server.Door's.
func (a *Admin) SendListener(to *handover.Conn) error { return a.ln.SendListener(to) }

// PauseAccepting is server.Door's.
func (a *Admin) PauseAccepting() { a.ln.PauseAccepting() }

// ResumeAccepting is server.Door's.
func (a *Admin) ResumeAccepting() { a.ln.ResumeAccepting() }

// SendListener is server.Door's.
func (p *StatsPort) SendListener(to *handover.Conn) error { return p.ln.SendListener(to) }

// PauseAccepting is server.Door's.
func (p *StatsPort) PauseAccepting() { p.ln.PauseAccepting() }

// ResumeAccepting is server.Door's.
func (p *StatsPort) ResumeAccepting() { p.ln.ResumeAccepting() }
