package hashring

// Warn returns a sentence for the operator when the hash and the distribution
// of those names place keys badly together, and "" when they do not or are
// unknown. Such a pool still works, and one that holds data must keep what it
// has.
func Warn(hash, distribution string) string {
	if distribution != distributionNames[ketama] {
		return ""
	}
	const advice = "; for a pool without data take another hash, such as xxhash64, or the distribution modula"
	switch hash {
	case "crc32":
		return "hash crc32 has 15 bits of the 32 that ketama divides: nearly all keys go to one server" + advice
	case "crc16":
		return "hash crc16 fills the high bits, by which ketama divides, from all but the last byte of a key: keys that differ only there go to one server" + advice
	}
	return ""
}
