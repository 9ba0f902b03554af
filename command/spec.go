package command

// keySpec is one key specification of Redis 7: where a search for keys begins
// and how it goes on. COMMAND INFO shows it; Keys has compiled forms.
type keySpec struct {
	flags   []string // "RO", "access"
	keyword string   // begin search at this word, from position index on
	index   int      // begin search at this position
	begin   specBegin
	find    specFind
	// Range: last key (negative: from the end), step, and limit (2: the first
	// half). Count: position of the count and of the first key, both from the
	// beginning of the search, and step.
	a, b, c int
}

type specBegin uint8

const (
	beginIndex specBegin = iota
	beginKeyword
	beginUnknown
)

type specFind uint8

const (
	specRange specFind = iota
	specKeynum
	specUnknown
)
