package join

import "ringway/resp"

// maxWeight is more keys than a server holds; with it, weights of all servers add up
// to an int64.
const maxWeight = 1 << 40

// Random returns one of the replies to RANDOMKEY that is not null, if there is one. It
// draws each as often as its weight says, which is how many keys the server has, so
// that each key of all servers is drawn as often as any other. random returns a number
// from 0 up to, but without, n. There must be one reply at least.
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
