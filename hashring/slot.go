package hashring

// Slots is how many hash slots a Redis Cluster has.
const Slots = 16384

// Slot returns the hash slot of a key in a Redis Cluster: the CRC-16/XMODEM of
// its hash tag modulo Slots. The tag is what stands between the first { and the
// first } after it, or the whole key if there is no such pair or nothing
// between it. No setting of a pool changes that, as every server of the Cluster
// computes the same.
//
// It allocates nothing and does not keep key.
func Slot(key []byte) uint16 {
	var crc uint16
	for _, b := range between(key, '{', '}') {
		crc = crc<<8 ^ crc16Table[uint8(crc>>8)^b]
	}
	return crc % Slots
}
