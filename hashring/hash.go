package hashring

import (
	"crypto/md5"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// A Hash turns a key into a hash value of 32 bits. It neither keeps
// nor changes key, does not allocate, and may be called from any goroutine.
//
// A Ring never calls it with an empty key: twemproxy gives the empty key the
// value 0 without hashing it.
type Hash func(key []byte) uint32

// hashFunctions lists every hash in the order that HashNames reports.
// The functions differ by the signedness of C's char only where the original
// widens a char: the bytes from 0x80 on then enter as negative numbers.
var hashFunctions = []struct {
	name             string
	signed, unsigned Hash
}{
	{"one_at_a_time", oneAtATime[int8], oneAtATime[uint8]},
	{"md5", md5Low, md5Low},
	{"crc16", crc16, crc16},
	{"crc32", crc32High, crc32High},
	{"crc32a", crc32.ChecksumIEEE, crc32.ChecksumIEEE},
	{"fnv1_64", fnv1x64[int8], fnv1x64[uint8]},
	{"fnv1a_64", fnv1ax64[int8], fnv1ax64[uint8]},
	{"fnv1_32", fnv1x32[int8], fnv1x32[uint8]},
	{"fnv1a_32", fnv1ax32[int8], fnv1ax32[uint8]},
	{"hsieh", hsieh[int8], hsieh[uint8]},
	{"murmur", murmur, murmur},
	{"jenkins", jenkins, jenkins},
	{"xxhash64", xxhash64, xxhash64},
}

// LookupHash returns the hash function of that name, and whether there is
// one. Names are those of twemproxy's `hash:` key, in lower case, and
// "xxhash64" for the low 32 bits of XXH64 with seed 0.
//
// With signedChar the values are those of an x86 build of twemproxy, without
// it those of an ARM build. They differ for keys that hold bytes from 0x80 on
// under one_at_a_time, the four fnv functions and hsieh.
func LookupHash(name string, signedChar bool) (Hash, bool) {
	for _, f := range hashFunctions {
		if f.name == name {
			if signedChar {
				return f.signed, true
			}
			return f.unsigned, true
		}
	}
	return nil, false
}

// HashNames returns the names that LookupHash knows, those of twemproxy
// first. The slice is the caller's.
func HashNames() []string {
	names := make([]string, len(hashFunctions))
	for i, f := range hashFunctions {
		names[i] = f.name
	}
	return slices.Clip(names)
}

// char is the type that a byte of the key is read as before it is widened:
// int8 extends the sign, as C does where char is signed.
type char interface{ int8 | uint8 }

// oneAtATime is Bob Jenkins's one-at-a-time hash, from 0.
func oneAtATime[C char](key []byte) uint32 {
	var h uint32
	for _, b := range key {
		h += uint32(C(b))
		h += h << 10
		h ^= h >> 6
	}
	h += h << 3
	h ^= h >> 11
	h += h << 15
	return h
}

// md5Low returns the first four bytes of the MD5 digest as a little-endian number.
func md5Low(key []byte) uint32 {
	digest := md5.Sum(key)
	return binary.LittleEndian.Uint32(digest[:4])
}

// crc16 is CRC-16/XMODEM in a 32-bit register that twemproxy never masks: the
// low 16 bits are the checksum, above them stays what was shifted out.
func crc16(key []byte) uint32 {
	var crc uint32
	for _, b := range key {
		crc = crc<<8 ^ uint32(crc16Table[uint8(crc>>8)^b])
	}
	return crc
}

// crc16Table holds the remainders of the polynomial x^16 + x^12 + x^5 + 1.
var crc16Table = func() (table [256]uint16) {
	for i := range table {
		r := uint16(i) << 8
		for range 8 {
			carry := r >> 15
			r = r<<1 ^ carry*0x1021
		}
		table[i] = r
	}
	return table
}()

// crc32High returns 15 bits of the CRC-32, as libmemcached does and
// twemproxy after it.
func crc32High(key []byte) uint32 {
	return crc32.ChecksumIEEE(key) >> 16 & 0x7fff
}

const (
	fnvOffset32 = 2166136261
	fnvPrime32  = 16777619
	fnvOffset64 = 0xcbf29ce484222325
	fnvPrime64  = 0x100000001b3
)

// fnv1x64 is the low half of 64-bit FNV-1. Multiplication and exclusive or
// carry nothing downwards, so 32 bits of the computation are enough, but for
// the sign: its copies above bit 31 are lost too.
func fnv1x64[C char](key []byte) uint32 {
	h := uint32(fnvOffset64 & 0xffffffff)
	for _, b := range key {
		h *= fnvPrime64 & 0xffffffff
		h ^= uint32(C(b))
	}
	return h
}

// fnv1ax64 is what twemproxy calls fnv1a_64: it computes in 32 bits, which is
// the low half of 64-bit FNV-1a.
func fnv1ax64[C char](key []byte) uint32 {
	h := uint32(fnvOffset64 & 0xffffffff)
	for _, b := range key {
		h ^= uint32(C(b))
		h *= fnvPrime64 & 0xffffffff
	}
	return h
}

// fnv1ax64x4 is fnv1ax64 of four keys at once. The hash of one key is a chain of
// multiplications that wait for each other; four chains take hardly longer.
func fnv1ax64x4[C char](keys *[4][]byte, sums *[4]uint32) {
	const offset, prime = fnvOffset64 & 0xffffffff, fnvPrime64 & 0xffffffff
	n := min(len(keys[0]), len(keys[1]), len(keys[2]), len(keys[3]))
	k0, k1, k2, k3 := keys[0][:n], keys[1][:n], keys[2][:n], keys[3][:n]
	h0, h1, h2, h3 := uint32(offset), uint32(offset), uint32(offset), uint32(offset)
	for i, b := range k0 {
		h0 = (h0 ^ uint32(C(b))) * prime
		h1 = (h1 ^ uint32(C(k1[i]))) * prime
		h2 = (h2 ^ uint32(C(k2[i]))) * prime
		h3 = (h3 ^ uint32(C(k3[i]))) * prime
	}
	*sums = [4]uint32{h0, h1, h2, h3}
	for i, key := range keys {
		for _, b := range key[n:] {
			sums[i] = (sums[i] ^ uint32(C(b))) * prime
		}
	}
}

// fnv1x32 is 32-bit FNV-1.
func fnv1x32[C char](key []byte) uint32 {
	h := uint32(fnvOffset32)
	for _, b := range key {
		h *= fnvPrime32
		h ^= uint32(C(b))
	}
	return h
}

// fnv1ax32 is 32-bit FNV-1a.
func fnv1ax32[C char](key []byte) uint32 {
	h := uint32(fnvOffset32)
	for _, b := range key {
		h ^= uint32(C(b))
		h *= fnvPrime32
	}
	return h
}

// hsieh is Paul Hsieh's SuperFastHash started from 0 instead of the length.
// Of all bytes only the third of a three-byte tail is widened with its sign.
func hsieh[C char](key []byte) uint32 {
	var h uint32
	for len(key) >= 4 {
		h += uint32(binary.LittleEndian.Uint16(key))
		h = h<<16 ^ (uint32(binary.LittleEndian.Uint16(key[2:]))<<11 ^ h)
		h += h >> 11
		key = key[4:]
	}
	switch len(key) {
	case 3:
		h += uint32(binary.LittleEndian.Uint16(key))
		h ^= h << 16
		h ^= uint32(C(key[2])) << 18
		h += h >> 11
	case 2:
		h += uint32(binary.LittleEndian.Uint16(key))
		h ^= h << 11
		h += h >> 17
	case 1:
		h += uint32(key[0])
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	h += h >> 6
	return h
}

// murmur is Austin Appleby's 32-bit MurmurHash2, seeded with 0xdeadbeef times
// the length.
func murmur(key []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	n := uint32(len(key))
	h := 0xdeadbeef*n ^ n
	for len(key) >= 4 {
		k := binary.LittleEndian.Uint32(key) * m
		k ^= k >> r
		h = h*m ^ k*m
		key = key[4:]
	}
	if len(key) > 0 {
		h = (h ^ tailWord(key)) * m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// jenkins is hashlittle of Bob Jenkins's lookup3.c, with 13 as the initial
// value.
func jenkins(key []byte) uint32 {
	a := 0xdeadbeef + uint32(len(key)) + 13
	b, c := a, a
	if len(key) == 0 {
		return c
	}
	for len(key) > 12 {
		a += binary.LittleEndian.Uint32(key)
		b += binary.LittleEndian.Uint32(key[4:])
		c += binary.LittleEndian.Uint32(key[8:])

		a = (a - c) ^ bits.RotateLeft32(c, 4)
		c += b
		b = (b - a) ^ bits.RotateLeft32(a, 6)
		a += c
		c = (c - b) ^ bits.RotateLeft32(b, 8)
		b += a
		a = (a - c) ^ bits.RotateLeft32(c, 16)
		c += b
		b = (b - a) ^ bits.RotateLeft32(a, 19)
		a += c
		c = (c - b) ^ bits.RotateLeft32(b, 4)
		b += a

		key = key[12:]
	}
	// A missing byte of the last block counts as 0.
	switch {
	case len(key) > 8:
		a += binary.LittleEndian.Uint32(key)
		b += binary.LittleEndian.Uint32(key[4:])
		c += tailWord(key[8:])
	case len(key) > 4:
		a += binary.LittleEndian.Uint32(key)
		b += tailWord(key[4:])
	default:
		a += tailWord(key)
	}
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	c = (c ^ b) - bits.RotateLeft32(b, 24)
	return c
}

// tailWord reads the one to four bytes of tail as a little-endian number.
func tailWord(tail []byte) uint32 {
	switch len(tail) {
	case 4:
		return binary.LittleEndian.Uint32(tail)
	case 3:
		return uint32(binary.LittleEndian.Uint16(tail)) | uint32(tail[2])<<16
	case 2:
		return uint32(binary.LittleEndian.Uint16(tail))
	default:
		return uint32(tail[0])
	}
}

func xxhash64(key []byte) uint32 {
	return uint32(xxhash.Sum64(key))
}
