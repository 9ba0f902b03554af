package conf

import "strings"

// nearest returns the known word that was probably meant by word: one that is
// close, or that begins like it; "" if there is none. Letters of the wrong case
// and hyphens for underscores count for nothing.
func nearest(word string, known []string) string {
	const longest = 64 // what is longer is no slip of the pen
	if len(word) > longest {
		return ""
	}
	word = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	best, closest := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if d := editDistance(word, k); d < closest {
			best, closest = k, d
		}
	}
	for _, k := range known {
		if best == "" && len(word) > 2 && (strings.HasPrefix(k, word) || strings.HasPrefix(word, k)) {
			best = k
		}
	}
	return best
}

// editDistance returns the number of bytes to insert, remove, replace or swap
// with their neighbour to get from a to b: the optimal string alignment
// distance, of which a plain account is
// https://en.wikipedia.org/wiki/Damerau–Levenshtein_distance.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// unknown says that a word is none of those known, and which one it should be.
func unknown(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return "is unknown; the nearest is " + n
	}
	return "is unknown; want one of " + strings.Join(known, ", ")
}
