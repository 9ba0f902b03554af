package hashring

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"
)

// This file is a second, slow and simple implementation of the package, so that
// a mistake in one of the two shows. It shares nothing with the package: hashes
// work byte by byte on big enough numbers, single precision comes from math/big,
// tags from a regular expression, and every lookup walks over all points.

// model is a pool as twemproxy sees it.
type model struct {
	cfg    Config
	down   []bool
	points []modelPoint // of ketama, server by server
}

func newModel(cfg Config, down []bool) model {
	m := model{cfg: cfg, down: make([]bool, len(cfg.Servers))}
	copy(m.down, down)
	if cfg.Distribution == "ketama" {
		m.points = m.allPoints()
	}
	return m
}

// index returns the owner of key. It must not be asked about random.
func (m model) index(key []byte) int {
	if len(m.cfg.Servers) == 1 {
		return 0
	}
	h := uint32(0)
	if part, _ := modelPart(key, m.cfg); len(part) > 0 {
		h = modelHash(m.cfg.Hash, part, !m.cfg.UnsignedChar)
	}
	if m.cfg.Distribution == "modula" {
		var list []int
		for i, s := range m.cfg.Servers {
			for range s.Weight {
				if !m.down[i] {
					list = append(list, i)
				}
			}
		}
		return list[int(h)%len(list)]
	}
	// The owner is that of the lowest point from h on, else of the lowest. A
	// point that is met first wins over its equals.
	best, lowest := modelPoint{value: 1 << 32}, modelPoint{value: 1 << 32}
	for _, p := range m.points {
		if p.value >= uint64(h) && p.value < best.value {
			best = p
		}
		if p.value < lowest.value {
			lowest = p
		}
	}
	if best.value == 1<<32 {
		best = lowest
	}
	return best.server
}

type modelPoint struct {
	value  uint64
	server int
}

func (m model) allPoints() []modelPoint {
	count, total := 0, 0
	for i, s := range m.cfg.Servers {
		if !m.down[i] {
			count++
			total += s.Weight
		}
	}
	var points []modelPoint
	for i, s := range m.cfg.Servers {
		if m.down[i] {
			continue
		}
		for d := range modelDigests(s.Weight, total, count) {
			text := fmt.Sprintf("%s-%d", s.Name, d)
			sum := md5.New()
			io.WriteString(sum, text[:min(272, len(text))])
			digest := sum.Sum(nil)
			for len(digest) > 0 {
				points = append(points, modelPoint{modelNumber(digest[:4]), i})
				digest = digest[4:]
			}
		}
	}
	return points
}

// modelDigests is a quarter of the points of a server, computed on numbers of
// 24 bits as a float has; the small constant is added with the 53 of a double.
func modelDigests(weight, total, count int) int {
	float := func(n int) *big.Float { return new(big.Float).SetPrec(24).SetInt64(int64(n)) }
	x := float(0).Quo(float(weight), float(total))
	x = float(0).Mul(x, float(160))
	x = float(0).Quo(x, float(4))
	x = float(0).Mul(x, float(count))
	double := new(big.Float).SetPrec(53).Add(x, big.NewFloat(0.0000000001))
	whole, _ := float(0).Set(double).Int64()
	return int(whole)
}

// modelTag finds the hash tag with a regular expression.
func modelTag(key []byte, tag string) []byte {
	if tag == "" {
		return key
	}
	hexed := func(b byte) string { return fmt.Sprintf(`\x%02x`, b) }
	pattern := fmt.Sprintf(`(?s)^[^%s]*%s([^%s]+)%s`, hexed(tag[0]), hexed(tag[0]), hexed(tag[1]), hexed(tag[1]))
	found := regexp.MustCompile(pattern).FindStringSubmatch(modelRunes(key))
	if found == nil {
		return key
	}
	return modelBytes(found[1])
}

// modelNumber reads bytes as a little-endian number of any length.
func modelNumber(b []byte) uint64 {
	n := uint64(0)
	for i := len(b) - 1; i >= 0; i-- {
		n = n*256 + uint64(b[i])
	}
	return n
}

// modelHash computes any hash by its name.
func modelHash(name string, key []byte, signed bool) uint32 {
	char := func(b byte) int64 {
		if signed && b > 127 {
			return int64(b) - 256
		}
		return int64(b)
	}
	switch name {
	case "md5":
		sum := md5.New()
		sum.Write(key)
		return uint32(modelNumber(sum.Sum(nil)[:4]))
	case "crc16":
		return modelCRC16(key)
	case "crc32":
		return modelCRC32(key) / 65536 % 32768
	case "crc32a":
		return modelCRC32(key)
	case "hsieh":
		return modelHsieh(key, char)
	case "murmur":
		return modelMurmur(key)
	case "jenkins":
		return modelJenkins(key)
	case "xxhash64":
		return uint32(modelXX(key))
	case "one_at_a_time":
		h := uint32(0)
		for _, b := range key {
			h = uint32(int64(h) + char(b))
			h = h * 1025
			h ^= h / 64
		}
		h *= 9
		h ^= h / 2048
		return h * 32769
	}
	return modelFNV(name, key, char)
}

// modelFNV computes the four FNV hashes on whole numbers of unlimited size.
func modelFNV(name string, key []byte, char func(byte) int64) uint32 {
	offset, prime, width := "14695981039346656037", "1099511628211", uint(64)
	if strings.HasSuffix(name, "32") {
		offset, prime, width = "2166136261", "16777619", 32
	}
	h, _ := new(big.Int).SetString(offset, 10)
	p, _ := new(big.Int).SetString(prime, 10)
	modulus := new(big.Int).Lsh(big.NewInt(1), width)
	multiply := func() { h.Mod(h.Mul(h, p), modulus) }
	for _, b := range key {
		if strings.HasPrefix(name, "fnv1_") {
			multiply()
		}
		// A negative big.Int behaves as two's complement with endless ones.
		h.Mod(h.Xor(h, big.NewInt(char(b))), modulus)
		if strings.HasPrefix(name, "fnv1a_") {
			multiply()
		}
	}
	return uint32(new(big.Int).Mod(h, big.NewInt(1<<32)).Uint64())
}

// modelCRC16 divides bit by bit. Byte by byte, the register keeps everything
// above its low 16 bits and shifts it on.
func modelCRC16(key []byte) uint32 {
	all := uint64(0)
	for _, b := range key {
		remainder := (all/256%256 ^ uint64(b)) * 256
		for range 8 {
			remainder *= 2
			if remainder >= 65536 {
				remainder ^= 0x11021
			}
		}
		all = (all*256 ^ remainder) % (1 << 32)
	}
	return uint32(all)
}

// modelCRC32 divides bit by bit, lowest bit first.
func modelCRC32(key []byte) uint32 {
	crc := uint32(0xffffffff)
	for _, b := range key {
		for bit := range 8 {
			odd := (crc ^ uint32(b)>>bit) % 2
			crc /= 2
			if odd == 1 {
				crc ^= 0xedb88320
			}
		}
	}
	return ^crc
}

func modelHsieh(key []byte, char func(byte) int64) uint32 {
	h := uint32(0)
	at := func(i int) uint32 { return uint32(key[i]) }
	i := 0
	for ; i+4 <= len(key); i += 4 {
		h += at(i) + at(i+1)*256
		other := (at(i+2)+at(i+3)*256)*2048 ^ h
		h = h*65536 ^ other
		h += h / 2048
	}
	switch len(key) - i {
	case 3:
		h += at(i) + at(i+1)*256
		h ^= h * 65536
		h ^= uint32(char(key[i+2]) * 262144)
		h += h / 2048
	case 2:
		h += at(i) + at(i+1)*256
		h ^= h * 2048
		h += h / 131072
	case 1:
		h += at(i)
		h ^= h * 1024
		h += h / 2
	}
	h ^= h * 8
	h += h / 32
	h ^= h * 16
	h += h / 131072
	h ^= h * 33554432
	return h + h/64
}

func modelMurmur(key []byte) uint32 {
	const m = 1540483477
	length := uint32(len(key))
	h := length*3735928559 ^ length
	for i := 0; i < len(key); i += 4 {
		if i+4 > len(key) {
			h = (h ^ uint32(modelNumber(key[i:]))) * m
			break
		}
		k := uint32(modelNumber(key[i:i+4])) * m
		h = h*m ^ (k^k/16777216)*m
	}
	h = (h ^ h/8192) * m
	return h ^ h/32768
}

// modelJenkins pads the key with zeros to whole blocks of twelve bytes and
// runs the two mixing functions from tables of their steps.
func modelJenkins(key []byte) uint32 {
	rotate := func(x uint32, n int) uint32 { return x<<n + x>>(32-n) }
	start := uint32(3735928559 + len(key) + 13)
	v := [3]uint32{start, start, start}
	padded := append(bytes.Clone(key), make([]byte, 12)...)
	for at := 0; at < len(key); at += 12 {
		for i := range v {
			v[i] += uint32(modelNumber(padded[at+4*i:][:4]))
		}
		if at+12 >= len(key) {
			// final: c from b, a from c, b from a, and so on.
			for step, n := range []int{14, 11, 25, 16, 4, 14, 24} {
				to, from := (step+2)%3, (step+1)%3
				v[to] = (v[to] ^ v[from]) - rotate(v[from], n)
			}
			break
		}
		// mix: a from c into b, b from a into c, c from b into a, and again.
		for step, n := range []int{4, 6, 8, 16, 19, 4} {
			a, b, c := step%3, (step+1)%3, (step+2)%3
			v[a] = (v[a] - v[c]) ^ rotate(v[c], n)
			v[c] += v[b]
		}
	}
	return v[2]
}

// modelXX is XXH64 with seed 0, after the algorithm's published description
// (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
func modelXX(key []byte) uint64 {
	p := [6]uint64{0, 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261}
	rotate := func(x uint64, n int) uint64 { return x<<n + x>>(64-n) }
	round := func(acc, lane uint64) uint64 { return rotate(acc+lane*p[2], 31) * p[1] }
	h, rest := p[5], key
	if len(key) >= 32 {
		acc := [4]uint64{p[1] + p[2], p[2], 0, -p[1]}
		for ; len(rest) >= 32; rest = rest[32:] {
			for i := range acc {
				acc[i] = round(acc[i], modelNumber(rest[8*i:][:8]))
			}
		}
		h = rotate(acc[0], 1) + rotate(acc[1], 7) + rotate(acc[2], 12) + rotate(acc[3], 18)
		for _, a := range acc {
			h = (h^round(0, a))*p[1] + p[4]
		}
	}
	h += uint64(len(key))
	for ; len(rest) >= 8; rest = rest[8:] {
		h = rotate(h^round(0, modelNumber(rest[:8])), 27)*p[1] + p[4]
	}
	if len(rest) >= 4 {
		h = rotate(h^modelNumber(rest[:4])*p[1], 23)*p[2] + p[3]
		rest = rest[4:]
	}
	for _, b := range rest {
		h = rotate(h^uint64(b)*p[5], 11) * p[1]
	}
	h = (h ^ h>>33) * p[2]
	h = (h ^ h>>29) * p[3]
	return h ^ h>>32
}
