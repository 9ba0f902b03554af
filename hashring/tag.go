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
