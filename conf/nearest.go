package conf

import (
	"slices"
	"strings"
)

const (
	maxWordLen = 64 // bytes: a longer word is not a misspelt name
	maxNearest = 5  // words that one message suggests
	maxListed  = 15 // known words that one message lists in full, if none is near
)

// Nearest returns the known words that word was probably meant to be, at most five,
// in the order of known; nil if none is near. It returns the word that differs only
// in case, hyphens, underscores and spaces, if there is one; else the words at the
// smallest edit distance, or those that begin with word if that distance is above
// one; else those with which word begins.
func Nearest(word string, known []string) []string {
	if len(word) > maxWordLen {
		return nil
	}
	word = normalized(word)
	if i := slices.IndexFunc(known, func(k string) bool { return normalized(k) == word }); i >= 0 && word != "" {
		return known[i : i+1 : i+1]
	}
	var near []string
	closest := max(1, (len(word)+1)/3)
	for _, k := range known {
		switch d := editDistance(word, normalized(k)); {
		case d < closest || d == closest && near == nil:
			near, closest = []string{k}, d
		case d == closest:
			near = append(near, k)
		}
	}
	if begun := filter(known, func(k string) bool { return strings.HasPrefix(normalized(k), word) }); len(word) > 2 && begun != nil && (near == nil || closest > 1) {
		near = begun
	}
	if near == nil && len(word) > 2 {
		near = filter(known, func(k string) bool { return strings.HasPrefix(word, normalized(k)) })
	}
	return near[:min(len(near), maxNearest)]
}

// normalized returns a word in lower case and without separators, which are easily
// mistaken.
func normalized(word string) string { return betweenParts.Replace(strings.ToLower(word)) }

var betweenParts = strings.NewReplacer("_", "", "-", "", " ", "")

// related returns at most five known words that have parts in common with word, those
// with most parts first: timeout_server has two in common with server_retry_timeout.
func related(word string, known []string) []string {
	if len(word) > maxWordLen {
		return nil
	}
	parts := partsOf(word)
	common := func(k string) int {
		return len(filter(partsOf(k), func(part string) bool { return slices.Contains(parts, part) }))
	}
	found := filter(known, func(k string) bool { return common(k) > 0 })
	slices.SortStableFunc(found, func(a, b string) int { return common(b) - common(a) })
	return found[:min(len(found), maxNearest)]
}

// partsOf returns the words of a name, those of three letters and more, in lower case.
func partsOf(name string) []string {
	return filter(strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return strings.ContainsRune("_-. ", c) }),
		func(part string) bool { return len(part) > 2 })
}

// filter returns the words for which is returns true.
func filter(words []string, is func(string) bool) (found []string) {
	for _, w := range words {
		if is(w) {
			found = append(found, w)
		}
	}
	return found
}

// editDistance returns the number of bytes to insert, remove, replace or swap with
// their neighbour to get from a to b. It is the optimal string alignment distance:
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

// unknown returns a message that a word is none of the known ones, with the nearest
// ones, or all of them, or where to find them if they are many.
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
	case len(known) <= maxListed:
		return "is unknown; want one of " + strings.Join(known, ", ")
	}
	return "is unknown; examples/ringway.toml shows all that there are"
}

// unknownPlacement is unknown for a word that decides where keys are. It recommends a
// word only if that differs in case and separators alone: a wrong one would move
// nearly every key.
func unknownPlacement(word string, known []string) string {
	near := Nearest(word, known)
	if len(near) == 1 && normalized(near[0]) == normalized(word) {
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
