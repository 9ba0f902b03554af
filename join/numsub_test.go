package join

import "testing"

func TestSubscribersAreCounted(t *testing.T) {
	t.Parallel()
	checkTable(t, []joined{
		{"two channels", []string{"*4\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:0\r\n"}, "*4\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:1\r\n"},
		{"none", []string{"*0\r\n"}, "*0\r\n"},
		{"a channel without a number", []string{"*1\r\n$1\r\na\r\n"}, ""},
		{"no number", []string{"*2\r\n$1\r\na\r\n$1\r\n2\r\n"}, ""},
		{"no channel", []string{"*2\r\n:1\r\n:2\r\n"}, ""},
		{"no array", []string{":1\r\n"}, ""},
	}, func(dst []byte, replies [][]byte) ([]byte, bool) {
		return NumSub(dst, replies[0], func(i int) int { return i })
	})
}

func TestOwnersCountTheirSubscribers(t *testing.T) {
	t.Parallel()
	checkTable(t, []joined{
		{
			"each has one", []string{"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:9\r\n", "*4\r\n$1\r\na\r\n:9\r\n$1\r\nb\r\n:2\r\n"},
			"*4\r\n$1\r\na\r\n:11\r\n$1\r\nb\r\n:12\r\n",
		},
		{"the same one twice", []string{"*4\r\n$1\r\na\r\n:1\r\n$1\r\na\r\n:1\r\n", "*4\r\n$1\r\na\r\n:9\r\n$1\r\na\r\n:9\r\n"}, "*4\r\n$1\r\na\r\n:11\r\n$1\r\na\r\n:11\r\n"},
		{"no channels", []string{"*0\r\n", "*0\r\n"}, "*0\r\n"},
		{"no owner", []string{"*2\r\n$1\r\nc\r\n:1\r\n", "*2\r\n$1\r\nc\r\n:1\r\n"}, ""},
		{"one says more", []string{"*2\r\n$1\r\na\r\n:1\r\n", "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:1\r\n"}, ""},
		{"one says less", []string{"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:1\r\n", "*2\r\n$1\r\na\r\n:1\r\n"}, ""},
		{"an odd number", []string{"*3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n", "*3\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n"}, ""},
		{"no number", []string{"*2\r\n$1\r\na\r\n$1\r\n1\r\n", "*2\r\n$1\r\na\r\n:1\r\n"}, ""},
		{"no channel", []string{"*2\r\n:1\r\n:1\r\n", "*2\r\n$1\r\na\r\n:1\r\n"}, ""},
		{"no array", []string{"+OK\r\n", "*2\r\n$1\r\na\r\n:1\r\n"}, ""},
	}, numSubOfOwners)
}

// numSubOfOwners has channel a live on the first server and b on the second.
func numSubOfOwners(dst []byte, replies [][]byte) ([]byte, bool) {
	owns := func(server int, channel []byte) bool { return string(channel) == string("ab"[server]) }
	return NumSubOfOwners(dst, replies, owns, func([]byte) int { return 10 })
}

func FuzzNumSub(f *testing.F) {
	addSeeds(f, "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:9\r\n", "*0\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, _ bool) {
		dst, ok := NumSub(nil, one, func(i int) int { return i })
		checkJoined(t, dst, ok, one)
		dst, ok = numSubOfOwners(nil, [][]byte{one, two})
		checkJoined(t, dst, ok, one, two)
	})
}
