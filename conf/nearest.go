package conf

import (
	"fmt"
	"slices"
	"strings"
)

const (
	longestWord = 64 // what is longer is no slip of the pen
	mostNearest = 5  // words that one error names: more is no help
	fewWords    = 15 // as many known words are listed in full, where none is near
)

// Nearest returns the known words that were probably meant by word, in the order
// of known: the one that differs in case, hyphens, underscores and spaces at most;
// else those that are one slip away, that begin with it, or that are equally close;
// else those that it begins with. There are several if they are as likely, at most
// five, and none if nothing is like it.
func Nearest(word string, known []string) []string {
	if len(word) > longestWord {
		return nil
	}
	word = bare(word)
	if i := slices.IndexFunc(known, func(k string) bool { return bare(k) == word }); i >= 0 && word != "" {
		return known[i : i+1 : i+1]
	}
	var near []string
	closest := max(1, (len(word)+1)/3)
	for _, k := range known {
		switch d := editDistance(word, bare(k)); {
		case d < closest || d == closest && near == nil:
			near, closest = []string{k}, d
		case d == closest:
			near = append(near, k)
		}
	}
	if begun := those(known, func(k string) bool { return strings.HasPrefix(bare(k), word) }); len(word) > 2 && begun != nil && (near == nil || closest > 1) {
		near = begun
	}
	if near == nil && len(word) > 2 {
		near = those(known, func(k string) bool { return strings.HasPrefix(word, bare(k)) })
	}
	return near[:min(len(near), mostNearest)]
}

// bare returns a word without what is easily mistaken in it: case, and what stands
// between its parts.
func bare(word string) string { return betweenParts.Replace(strings.ToLower(word)) }

var betweenParts = strings.NewReplacer("_", "", "-", "", " ", "")

// related returns the known words that have parts in common with word, most of
// them first, at most five: timeout_server has two with server_retry_timeout.
func related(word string, known []string) []string {
	if len(word) > longestWord {
		return nil
	}
	parts := partsOf(word)
	common := func(k string) int {
		return len(those(partsOf(k), func(part string) bool { return slices.Contains(parts, part) }))
	}
	found := those(known, func(k string) bool { return common(k) > 0 })
	slices.SortStableFunc(found, func(a, b string) int { return common(b) - common(a) })
	return found[:min(len(found), mostNearest)]
}

// partsOf returns the parts of a name of several words, in lower case.
func partsOf(name string) []string {
	return those(strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return strings.ContainsRune("_-. ", c) }),
		func(part string) bool { return len(part) > 2 })
}

// those returns the words for which is says true.
func those(words []string, is func(string) bool) (found []string) {
	for _, w := range words {
		if is(w) {
			found = append(found, w)
		}
	}
	return found
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

// unknown says that a word is none of those known, and which one it should be, or
// where they all are if they are many and none is like it.
func unknown(word string, known []string) string {
	near := Nearest(word, known)
	if near == nil {
		near = related(word, known)
	}
	switch {
	case len(near) == 1:
		return "is unknown; the nearest is " + near[0]
	case near != nil:
		return "is unknown; the nearest are " + listed(near, "and")
	case len(known) <= fewWords:
		return "is unknown; want one of " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("is unknown; examples/ringway.toml shows all %d", len(known))
}

// unknownPlacement says the same of a word that decides where keys are. One that
// is written otherwise is that word; a mere resemblance is none, as the wrong one
// would move nearly every key.
func unknownPlacement(word string, known []string) string {
	near := Nearest(word, known)
	if len(near) == 1 && bare(near[0]) == bare(word) {
		return "is unknown; want " + near[0]
	}
	message := "is unknown; "
	switch {
	case len(near) == 1:
		message += "the nearest in writing is " + near[0] + "; "
	case near != nil:
		message += "the nearest in writing are " + listed(near, "and") + "; "
	}
	return message + "want the one by which the keys are placed today, out of " + listed(known, "and")
}

// listed returns "a, b and c", with the given word before the last.
func listed(words []string, and string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " " + and + " " + words[last]
}
