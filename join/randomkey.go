package join

import "ringway/resp"

// maxWeight is more keys than a server holds. Bounded by it, the weights of all servers add up to
// an int64.
const maxWeight = 1 << 40

// RandomKey returns one of the replies to RANDOMKEY that is not null, if there is one. It chooses
// each with the probability of its weight, the number of keys of the server, so that every key of
// all servers is equally likely. It reads the replies once, as reservoir sampling does. random
// returns a number from 0 to n-1. There must be at least one reply.
func RandomKey(replies [][]byte, weights []int64, random func(n int64) int64) []byte {
	drawn, total := replies[0], int64(0)
	for i, reply := range replies {
		if _, ok := resp.Bulk(reply); !ok {
			continue
		}
		weight := min(max(weights[i], 1), maxWeight)
		if total += weight; random(total) < weight {
			drawn = reply
		}
	}
	return drawn
}
