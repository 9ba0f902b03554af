package join

import "testing"

func TestIntegersAreAddedUp(t *testing.T) {
	t.Parallel()
	checkTable(t, []joined{
		{"two", []string{":2\r\n", ":3\r\n"}, ":5\r\n"},
		{"negative", []string{":2\r\n", ":-3\r\n"}, ":-1\r\n"},
		{"one", []string{":9223372036854775807\r\n"}, ":9223372036854775807\r\n"},
		{"a bulk", []string{":2\r\n", "$1\r\n3\r\n"}, ""},
		{"a null", []string{":2\r\n", "$-1\r\n"}, ""},
		{"an array", []string{"*1\r\n:2\r\n", ":1\r\n"}, ""},
	}, Sum)
}

func TestTheLeastIntegerIsTaken(t *testing.T) {
	t.Parallel()
	checkTable(t, []joined{
		{"the second", []string{":2\r\n", ":1\r\n", ":3\r\n"}, ":1\r\n"},
		{"the first", []string{":-2\r\n", ":1\r\n"}, ":-2\r\n"},
		{"none", nil, ""},
		{"an array", []string{":2\r\n", "*1\r\n:1\r\n"}, ""},
	}, Least)
	checkTable(t, []joined{
		{"place by place", []string{"*3\r\n:1\r\n:0\r\n:5\r\n", "*3\r\n:0\r\n:1\r\n:4\r\n"}, "*3\r\n:0\r\n:0\r\n:4\r\n"},
		{"empty", []string{"*0\r\n", "*0\r\n"}, "*0\r\n"},
		{"none", nil, ""},
		{"a longer one", []string{"*1\r\n:1\r\n", "*2\r\n:0\r\n:1\r\n"}, ""},
		{"a shorter one", []string{"*2\r\n:1\r\n:1\r\n", "*1\r\n:0\r\n"}, ""},
		{"no array", []string{"*1\r\n:1\r\n", ":0\r\n"}, ""},
		{"no integers", []string{"*1\r\n+x\r\n", "*1\r\n:1\r\n"}, ""},
	}, LeastOfEach)
}

func FuzzIntegers(f *testing.F) {
	addSeeds(f, ":1\r\n", ":-9223372036854775808\r\n", "*2\r\n:1\r\n:0\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, more bool) {
		replies := [][]byte{one, two}
		if more {
			replies = append(replies, one)
		}
		dst, ok := Sum(nil, replies)
		checkJoined(t, dst, ok, replies...)
		dst, ok = Least(nil, replies)
		checkJoined(t, dst, ok, replies...)
		dst, ok = LeastOfEach(nil, replies)
		checkJoined(t, dst, ok, replies...)
	})
}
