package command

// finder says how Keys finds the keys of a command.
type finder uint8

const (
	findNone    finder = iota
	findRange          // FirstKey, LastKey, Step
	findNumkeys        // a count, then that many keys; perhaps a key in front
	findSort           // the key, and what STORE names
	findGeo            // the key, and what STORE and STOREDIST name
	findStreams        // the first half of what follows STREAMS
	findMigrate        // the third argument, or what follows KEYS
	findUnknown        // COMMAND does not say where they are
)

// Keys appends to dst the positions of the keys in a request of c, and returns
// the extended slice. A position may appear once only, but two positions may
// hold the same key. An error means that the keys are not certain and the
// request must not be forwarded; it is a ReplyError for the client. Where Redis would
// refuse the request too, it has the same text.
//
// Commands without keys, and EVAL and similar ones with a count of 0, give neither
// positions nor an error. It allocates only to grow dst and for errors.
func (c *Command) Keys(args [][]byte, dst []int) ([]int, error) {
	switch c.find {
	case findNone:
		return dst, nil
	case findRange:
		return c.rangeKeys(args, dst)
	case findNumkeys:
		return c.countedKeys(args, dst)
	}
	if !c.ArityOK(len(args)) {
		return dst, c.arityError()
	}
	switch c.find {
	case findSort:
		return sortKeys(c, args, dst)
	case findGeo:
		return geoKeys(args, dst)
	case findStreams:
		return streamKeys(c, args, dst)
	case findMigrate:
		return migrateKeys(args, dst)
	case findUnknown:
		return dst, c.errUnknownKeys()
	}
	panic("bug: command " + c.Name + " has no key finder")
}

// rangeKeys finds the keys at every Step from FirstKey to LastKey. An incomplete group, as of
// MSET with a key and no value, is an arity error as in Redis, although COMMAND GETKEYS
// accepts it: if the request were split, some of its fragments would run.
func (c *Command) rangeKeys(args [][]byte, dst []int) ([]int, error) {
	last := c.LastKey
	if last < 0 {
		last += len(args)
	}
	if last >= len(args) || last < c.FirstKey {
		return dst, c.arityError()
	}
	if c.Step > 1 && (len(args)-c.FirstKey)%c.Step != 0 {
		return dst, c.arityError()
	}
	for i := c.FirstKey; i <= last; i += c.Step {
		dst = append(dst, i)
	}
	return dst, nil
}

// numkeysWords chooses the errors of a count of keys that is wrong.
type numkeysWords uint8

const (
	numkeysOther    numkeysWords = iota
	numkeysScript                // EVAL
	numkeysFunction              // FCALL
	numkeysCard                  // SINTERCARD
	numkeysPop                   // LMPOP
	numkeysZset                  // ZUNION
)

// numkeysForm describes a command whose keys are counted by an argument.
type numkeysForm struct {
	words   numkeysWords
	before  int // position of a key in front of the count (ZUNIONSTORE), or 0
	at      int // position of the count
	step    int // from key to key
	atLeast int // arguments that must follow the keys
}

// countedKeys finds the keys behind a count of them.
func (c *Command) countedKeys(args [][]byte, dst []int) ([]int, error) {
	f := &c.numkeys
	if !c.ArityOK(len(args)) || f.at >= len(args) {
		return dst, c.arityError()
	}
	n, ok := parseInt(args[f.at])
	if err := c.checkCount(n, ok, int64(len(args)-f.at-1-f.atLeast)/int64(f.step)); err != nil {
		return dst, err
	}
	if f.before > 0 {
		dst = append(dst, f.before)
	}
	for i := f.at + 1; n > 0; n-- {
		dst = append(dst, i)
		i += f.step
	}
	return dst, nil
}

// checkCount returns Redis's error for a count of keys that is no integer (ok is false), too
// low, or above room.
func (c *Command) checkCount(n int64, ok bool, room int64) error {
	low, notInteger, tooMany := errKeysPositive, errKeysPositive, errSyntax
	switch c.numkeys.words {
	case numkeysScript, numkeysFunction:
		low, notInteger, tooMany = errKeysNegative, errNotInteger, errKeysTooMany
		if c.numkeys.words == numkeysFunction {
			notInteger = errKeysBadNumber
		}
		if n == 0 && ok {
			return nil
		}
	case numkeysCard:
		tooMany = errKeysTooMany
	case numkeysZset:
		notInteger = errNotInteger
		if ok && n < 1 {
			return ReplyError("ERR at least 1 input key is needed for '" + c.Name + "' command")
		}
	}
	switch {
	case !ok:
		return notInteger
	case n < 1:
		return low
	case n > room:
		return tooMany
	}
	return nil
}

// sortKeys finds the keys of SORT key [BY pattern] [LIMIT offset count] [GET pattern]...
// [STORE destination]. The last STORE wins, as in the server. The values of other options are
// skipped, so that a pattern spelled "store" is not taken for the option. SORT_RO has no
// STORE.
func sortKeys(c *Command, args [][]byte, dst []int) ([]int, error) {
	dst = append(dst, 1)
	if c.IsReadonly() {
		return dst, nil
	}
	store := 0
	for i := 2; i < len(args); i++ {
		switch {
		case equalFold(args[i], "limit"):
			i += 2
		case equalFold(args[i], "get"), equalFold(args[i], "by"):
			i++
		case equalFold(args[i], "store"):
			if i++; i >= len(args) {
				return dst, errSyntax
			}
			store = i
		}
	}
	if store > 0 {
		dst = append(dst, store)
	}
	return dst, nil
}

// geoKeys finds the keys of GEORADIUS and GEORADIUSBYMEMBER. The server writes only to the
// last destination, but COMMAND GETKEYS names others. All are returned, so that under no
// interpretation the request touches another shard.
func geoKeys(args [][]byte, dst []int) ([]int, error) {
	dst = append(dst, 1)
	first := 6 // GEORADIUS key longitude latitude radius unit
	if equalFold(args[0], "georadiusbymember") {
		first = 5
	}
	for i := first; i < len(args); i++ {
		switch {
		case equalFold(args[i], "count"):
			i++
		case equalFold(args[i], "store"), equalFold(args[i], "storedist"):
			if i++; i >= len(args) {
				return dst, errSyntax
			}
			dst = append(dst, i)
		}
	}
	return dst, nil
}

// streamKeys finds the keys of XREAD and XREADGROUP: options, STREAMS, then as many keys as
// IDs. It reads the options as the server does instead of searching for the word STREAMS,
// since a consumer may have that name. An unknown option is refused: nothing says how many
// values it has.
func streamKeys(c *Command, args [][]byte, dst []int) ([]int, error) {
	inGroup, group := len(c.Name) == len("xreadgroup"), false
	for i := 1; i < len(args); i++ {
		left := len(args) - i - 1
		switch {
		case equalFold(args[i], "streams"):
			switch {
			case left == 0:
				return dst, errSyntax
			case left%2 != 0:
				return dst, errUnbalanced
			case inGroup && !group:
				return dst, errGroupMissing
			}
			for k := i + 1; k <= i+left/2; k++ {
				dst = append(dst, k)
			}
			return dst, nil
		case left > 0 && equalFold(args[i], "block"):
			if i++; !isInt(args[i]) {
				return dst, errTimeout
			}
		case left > 0 && equalFold(args[i], "count"):
			if i++; !isInt(args[i]) {
				return dst, errNotInteger
			}
		case inGroup && left > 0 && equalFold(args[i], "claim"): // since 8.4
			i++
		case left > 1 && equalFold(args[i], "group"):
			if !inGroup {
				return dst, errGroupNotRead
			}
			group = true
			i += 2
		case equalFold(args[i], "noack"):
			if !inGroup {
				return dst, errNoackNotRead
			}
		default:
			return dst, errSyntax
		}
	}
	return dst, errSyntax
}

// migrateKeys finds the keys of MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH
// password] [AUTH2 user password] [KEYS key...].
func migrateKeys(args [][]byte, dst []int) ([]int, error) {
	for i := 6; i < len(args); i++ {
		switch {
		case equalFold(args[i], "copy"), equalFold(args[i], "replace"):
		case equalFold(args[i], "auth"):
			i++
		case equalFold(args[i], "auth2"):
			i += 2
		case equalFold(args[i], "keys"):
			if len(args[3]) != 0 {
				return dst, errMigrateKeys
			}
			if i+1 == len(args) {
				return dst, errSyntax
			}
			for k := i + 1; k < len(args); k++ {
				dst = append(dst, k)
			}
			return dst, nil
		default:
			return dst, errSyntax
		}
	}
	return append(dst, 3), nil
}

func isInt(b []byte) bool {
	_, ok := parseInt(b)
	return ok
}

// parseInt reads a decimal integer as Redis does: no spaces, no "+", no leading
// zeros, no "-0", within 64 bits.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	digits := b
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}
