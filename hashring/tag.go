package hashring

import "bytes"

// Tag returns the part of key that is hashed when hash_tag is tag: what stands
// between the first opening byte and the first closing byte after it. The
// whole key is returned when tag is empty, when either byte is missing, or
// when there is nothing between them; later pairs are not looked at.
//
// Tag is "" or two bytes, opening and closing, which may be the same; New
// refuses any other. The result shares key's memory.
func Tag(key []byte, tag string) []byte {
	if len(tag) != 2 {
		return key
	}
	return between(key, tag[0], tag[1])
}

func between(key []byte, open, shut byte) []byte {
	i := bytes.IndexByte(key, open)
	if i < 0 {
		return key
	}
	rest := key[i+1:]
	if n := bytes.IndexByte(rest, shut); n > 0 {
		return rest[:n]
	}
	return key
}

// part returns the part of key that is hashed: the key, its hash tag, or what
// together says, of which again only the hash tag counts if it has one.
func (r *Ring) part(key []byte) []byte {
	if r.together != nil {
		key = r.together.part(key)
	}
	if r.tagged {
		return between(key, r.open, r.end)
	}
	return key
}

// Part returns the part of key that is hashed, and the pattern of Config.Together
// that decides it, "" if none does. Keys with the same part have the same owner in
// every ring of the pool. The part shares memory of key or of the ring.
func (r *Ring) Part(key []byte) (part []byte, pattern string) {
	if r.together != nil {
		if p, _ := r.together.find(key); p != nil {
			pattern = p.text
		}
	}
	return r.part(key), pattern
}

// Pins reports whether every key that begins with prefix has the same owner as a key
// which is prefix, in every ring of the pool: that is so if prefix holds a whole
// hash tag. It is false if that is not certain.
func (r *Ring) Pins(prefix []byte) bool {
	if r.how == random {
		return false
	}
	if r.together != nil {
		switch p, sure := r.together.ofPrefix(prefix); {
		case !sure:
			return false
		case p != nil:
			return true
		}
	}
	return r.tagged && len(between(prefix, r.open, r.end)) < len(prefix)
}

// SlotPins reports whether every key that begins with prefix is in the hash slot of a key
// which is prefix, in a Redis Cluster.
func SlotPins(prefix []byte) bool { return len(between(prefix, '{', '}')) < len(prefix) }
