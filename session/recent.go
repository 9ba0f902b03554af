package session

import (
	"bytes"
	"encoding/binary"

	"ringway/command"
	"ringway/stats"
)

// recent keeps what names the keys of a loop's last requests. The bytes of a request are gone
// once it is sent; with recent, a request can still be named when its reply turns out to be large
// or late. A position of the line of replies knows where in recent its request is, as long as it
// has no reply.
//
// Small plain requests are copied as they are, a batch at once, since copying many bytes costs no more
// than copying few. Of others a note is written, with their keys.
//
// The zero recent is empty.
type recent struct {
	ring []byte // its size is a power of two
	next uint32 // bytes added so far, modulo 2^32: the next ones are written at that modulo len(ring)
	have uint32 // how many of the last ones are in the ring

	// The current request, for session.push.
	at   uint32 // where it is
	size uint32 // of the request, in bytes; 0 if it has no keys

	found named // by find
}

const (
	// firstRecent and maxRecent are bounds of the ring. It grows when a request was looked for that
	// is in it no more.
	firstRecent = 64 << 10
	maxRecent   = 2 << 20

	// wholeRequest is how large requests of a batch may be, on average, to be copied whole.
	wholeRequest = 128

	// noteKeys is how many keys a note has at most.
	noteKeys = 16
	// noteKey is how many bytes of a key it has at most.
	noteKey = 96
)

// A note has a 0 byte, the number of keys of the request (4 bytes), how many of these each key of
// the note stands for (4), the number of keys of the note (1), and for each of these its length
// (4), its hash (8), and its beginning.
const (
	noteHead    = 1 + 4 + 4 + 1
	noteKeyHead = 4 + 8
)

// room returns n bytes of the ring to be written, and where they are.
func (r *recent) room(n int) (b []byte, at uint32) {
	if r.ring == nil {
		r.ring = make([]byte, firstRecent)
	}
	mask := uint32(len(r.ring) - 1)
	at = r.next
	if int(at&mask)+n > len(r.ring) {
		at = (at | mask) + 1
	}
	r.have = min(r.have+at-r.next+uint32(n), mask+1)
	r.next = at + uint32(n)
	return r.ring[at&mask:][:n], at
}

// addBatch copies count plain requests, which are b, unless they are large. It reports whether it
// did; then they begin at the position that it returns.
func (r *recent) addBatch(b []byte, count int) (at uint32, ok bool) {
	if len(b) > count*wholeRequest {
		return 0, false
	}
	to, at := r.room(len(b))
	copy(to, b)
	return at, true
}

// noteSole writes a note of the current request, which has the given size and one key.
func (r *recent) noteSole(key []byte, size int) {
	b, at := r.room(noteHead + noteKeyHead + min(len(key), noteKey))
	putNoteHead(b, 1, 1, 1)
	putNoteKey(b[noteHead:], key)
	r.at, r.size = at, uint32(size)
}

// note writes a note of the current request, which has the given size, with at most most of its
// keys: every nth, from one on that offset chooses. keys are indexes of args.
func (r *recent) note(args [][]byte, keys []int, size, most int, offset uint32) {
	stride := (len(keys) + most - 1) / most
	first := int(offset % uint32(stride))
	count := (len(keys) - first + stride - 1) / stride
	b, at := r.room(noteHead + count*(noteKeyHead+noteKey))
	putNoteHead(b, len(keys), stride, count)
	b = b[noteHead:]
	for i := first; i < len(keys); i += stride {
		b = b[putNoteKey(b, args[keys[i]]):]
	}
	r.next, r.have = r.next-uint32(len(b)), r.have-uint32(len(b)) // which are not used
	r.at, r.size = at, uint32(size)
}

func putNoteHead(b []byte, keys, stride, count int) {
	b[0] = 0
	binary.LittleEndian.PutUint32(b[1:], uint32(keys))
	binary.LittleEndian.PutUint32(b[5:], uint32(stride))
	b[9] = byte(count)
}

func putNoteKey(b []byte, key []byte) (n int) {
	k := stats.KeyOf(key)
	binary.LittleEndian.PutUint32(b, uint32(k.Length))
	binary.LittleEndian.PutUint64(b[4:], k.Hash)
	return noteKeyHead + copy(b[noteKeyHead:], k.Bytes)
}

// named is the keys of a request that recent has kept, or some of them.
type named struct {
	keys   int // of the request
	stride int // how many of these each key of list stands for
	list   [noteKeys]stats.Key
	count  int // of list
}

// find returns the keys of a request. number is that of its command; at and size are from its
// position in the line. They are valid until the next call, and their bytes until the next request
// is added. It returns nil if the request has no keys, or is in the ring no more.
func (r *recent) find(number uint16, at, size uint32) *named {
	if size == 0 || number == 0 {
		return nil
	}
	if r.next-at > r.have {
		r.grow()
		return nil
	}
	b, n := r.ring[at&uint32(len(r.ring)-1):], &r.found
	if b[0] == 0 {
		if !n.read(b) {
			return nil
		}
		return n
	}
	key := argument(b[:min(int(size), len(b))], command.ByID(int(number)-1).SoleKey)
	if key == nil {
		return nil
	}
	n.keys, n.stride, n.count, n.list[0] = 1, 1, 1, stats.KeyOf(key)
	return n
}

// read reads what noteSole and note have written, and reports whether it could. 4 GiB of other
// requests may have overwritten it.
func (n *named) read(b []byte) bool {
	if len(b) < noteHead {
		return false
	}
	n.keys, n.stride, n.count = int(binary.LittleEndian.Uint32(b[1:])), int(binary.LittleEndian.Uint32(b[5:])), int(b[9])
	b = b[noteHead:]
	for i := range min(n.count, noteKeys) {
		if len(b) < noteKeyHead {
			return false
		}
		length := int(binary.LittleEndian.Uint32(b))
		kept := min(length, noteKey)
		if len(b) < noteKeyHead+kept {
			return false
		}
		n.list[i] = stats.Key{Bytes: b[noteKeyHead:][:kept], Length: length, Hash: binary.LittleEndian.Uint64(b[4:])}
		b = b[noteKeyHead+kept:]
	}
	return n.count <= noteKeys && n.keys > 0
}

// argument returns an argument of a request, or nil if it is not there.
func argument(request []byte, index int) []byte {
	rest := request[bytes.IndexByte(request, '\n')+1:] // the first line has the number of arguments
	for ; ; index-- {
		end := bytes.IndexByte(rest, '\n')
		if end < 2 || rest[0] != '$' {
			return nil
		}
		n := 0
		for _, digit := range rest[1 : end-1] {
			n = 10*n + int(digit-'0')
		}
		rest = rest[end+1:]
		switch {
		case n < 0 || n > len(rest)-2:
			return nil
		case index == 0:
			return rest[:n]
		}
		rest = rest[n+2:]
	}
}

// grow doubles the ring, up to maxRecent.
func (r *recent) grow() {
	if len(r.ring) < maxRecent {
		// Where a byte belongs in the larger ring is either where it was or as much behind that as
		// the smaller ring is long.
		r.ring = append(r.ring[:len(r.ring):len(r.ring)], r.ring...)
	}
}
