package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// RecordVersion is the version of Record that this program writes and reads. It changes when a field
// changes its meaning. A new field needs no new version: a program that does not know it refuses the
// records that have it, and only these, since fields are left out where they say nothing.
const RecordVersion = 1

// Record is a client that goes from one process to another: all that its session knows, but for its
// socket. Bytes that a client has chosen are []byte, which JSON keeps as they are.
type Record struct {
	Version int
	Pool    string
	Loop    int `json:",omitempty"` // index of the event loop it was on

	// What CLIENT LIST shows.
	ID      uint64
	Addr    string
	Local   string `json:",omitempty"` // the address that the client connected to
	Since   int64  `json:",omitempty"` // when, in Unix nanoseconds
	Idle    int64  `json:",omitempty"` // for how long it has sent nothing, in nanoseconds
	Name    string `json:",omitempty"`
	Lib     string `json:",omitempty"`
	LibVer  string `json:",omitempty"`
	Command string `json:",omitempty"` // the last one
	NoEvict bool   `json:",omitempty"`
	NoTouch bool   `json:",omitempty"`

	// Who it is, and how it speaks.
	User         *User  `json:",omitempty"` // an ACL user of the servers; nil for the pool's own
	ProxyUser    string `json:",omitempty"` // the user of the proxy; "" in pools without users
	WantAuth     bool   `json:",omitempty"` // AUTH has yet to come
	AuthFailures int    `json:",omitempty"` // in a row
	DB           int    `json:",omitempty"`
	RESP3        bool   `json:",omitempty"`
	ReplyUsed    bool   `json:",omitempty"` // CLIENT REPLY has been used
	ReplyOff     bool   `json:",omitempty"`
	ReplySkip    int    `json:",omitempty"` // for how many requests, as the session counts them
	Muting       bool   `json:",omitempty"`

	// What it is subscribed to.
	Channels, Patterns, ShardChannels [][]byte `json:",omitempty"`

	// Markers are channels on which the old process publishes once to each of so many shards: it delivers
	// what comes before, and the new one what comes after.
	Markers []string `json:",omitempty"`
	Cuts    int      `json:",omitempty"`

	Tracking *Tracking `json:",omitempty"` // CLIENT TRACKING; nil if it is off
	Monitor  bool      `json:",omitempty"`

	MaintNotices bool `json:",omitempty"` // CLIENT MAINT_NOTIFICATIONS ON
	ToldFailover bool `json:",omitempty"` // it was told that a failover is under way

	Input []byte `json:",omitempty"` // requests that it has sent and that have not run
}

// User is an ACL user of the servers, with the password that they have accepted.
type User struct{ Name, Password []byte }

// Tracking is a client's CLIENT TRACKING. What the client has read stays behind: it is told to drop all of it.
type Tracking struct {
	BCast, OptIn, OptOut, NoLoop bool     `json:",omitempty"`
	Caching                      bool     `json:",omitempty"` // CLIENT CACHING holds for the next request
	Prefixes                     [][]byte `json:",omitempty"` // of BCast
}

// Subscribed reports whether the client is subscribed to anything.
func (r *Record) Subscribed() bool { return len(r.Channels)+len(r.Patterns)+len(r.ShardChannels) > 0 }

// Encode returns the record as the body of a message has it.
func (r *Record) Encode() ([]byte, error) { return json.Marshal(r) }

// ErrVersion reports a record that this program does not know: of another version, or with more to
// tell than it knows of.
var ErrVersion = errors.New("a session of another version")

// DecodeRecord reads a record. The error is or wraps ErrVersion if another program has written it.
func DecodeRecord(body []byte) (*Record, error) {
	var version struct{ Version int }
	if err := json.Unmarshal(body, &version); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if version.Version != RecordVersion {
		return nil, fmt.Errorf("%w: %d, want %d", ErrVersion, version.Version, RecordVersion)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	r := new(Record)
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVersion, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("session: more behind it")
	}
	return r, r.check()
}

// maxText bounds the names and addresses of a client.
const maxText = 64 << 10

// check returns an error if a record can't be one that a session has written.
func (r *Record) check() error {
	texts := len(r.Pool) + len(r.Addr) + len(r.Local) + len(r.Name) + len(r.Lib) + len(r.LibVer) + len(r.ProxyUser)
	switch {
	case r.ID == 0, r.Pool == "", r.DB < 0, r.Cuts < 0, r.Idle < 0, r.Loop < 0, r.AuthFailures < 0, r.ReplySkip < 0, texts > maxText:
		return errors.New("session: impossible values")
	}
	return nil
}
