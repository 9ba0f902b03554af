package resp

import (
	"slices"
	"testing"
)

func TestIntReadsExactlyOneInteger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in string
		n  int64
		ok bool
	}{
		{":0\r\n", 0, true},
		{":-12\r\n", -12, true},
		{":9223372036854775807\r\n", 9223372036854775807, true},
		{":-9223372036854775808\r\n", -9223372036854775808, true},
		{":9223372036854775808\r\n", 0, false},
		{":1\r\n:2\r\n", 0, false},
		{":1\n", 0, false},
		{":\r\n", 0, false},
		{"+1\r\n", 0, false},
		{"", 0, false},
		{":", 0, false},
	} {
		if n, ok := Int([]byte(c.in)); ok != c.ok || ok && n != c.n {
			t.Errorf("%q: %d, %v", c.in, n, ok)
		}
	}
}

func TestBulkReadsExactlyOneString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in         string
		bulk, text string // "-" for none
	}{
		{"$3\r\nabc\r\n", "abc", "abc"},
		{"$0\r\n\r\n", "", ""},
		{"$2\r\n\r\n\r\n", "\r\n", "\r\n"},
		{"=7\r\ntxt:abc\r\n", "-", "abc"},
		{"=4\r\ntxt:\r\n", "-", ""},
		{"=3\r\ntxt\r\n", "-", "-"},
		{"=-1\r\n", "-", "-"},
		{"$-1\r\n", "-", "-"},
		{"_\r\n", "-", "-"},
		{"$?\r\n;1\r\na\r\n;0\r\n", "-", "-"},
		{"$3\r\nabc\r\n:1\r\n", "-", "-"},
		{"$3\r\nabcd\r\n", "-", "-"},
		{"$3\r\nabc", "-", "-"},
		{"$3\r\nabcxx", "-", "-"},
		{"$9223372036854775807\r\nabc\r\n", "-", "-"},
		{"$03\r\nabc\r\n", "-", "-"},
		{"$\r\n", "-", "-"},
		{"$", "-", "-"},
		{"+abc\r\n", "-", "-"},
		{":1\r\n", "-", "-"},
		{"", "-", "-"},
	} {
		bulk, ok := Bulk([]byte(c.in))
		if ok != (c.bulk != "-") || ok && (string(bulk) != c.bulk || cap(bulk) != len(bulk)) {
			t.Errorf("%q: Bulk %q, %v", c.in, bulk, ok)
		}
		if text, ok := Text([]byte(c.in)); ok != (c.text != "-") || ok && string(text) != c.text {
			t.Errorf("%q: Text %q, %v", c.in, text, ok)
		}
	}
}

func TestBulkLenReadsTheHeaderAlone(t *testing.T) {
	t.Parallel()
	f := func(in string, n, header int, ok bool) {
		t.Helper()
		if gotN, gotHeader, gotOK := BulkLen([]byte(in)); gotN != n || gotHeader != header || gotOK != ok {
			t.Errorf("%q: %d, %d, %v", in, gotN, gotHeader, gotOK)
		}
	}
	f("$1000\r\nabc", 1000, 7, true)
	f("=14\r\n", 14, 5, true)
	f("$-1\r\n", -1, 5, true)
	f("$-2\r\n", 0, 0, false)
	f("$1", 0, 0, false)
	f("*1\r\n", 0, 0, false)
	f("", 0, 0, false)
}

func TestNullsOfBothProtocols(t *testing.T) {
	t.Parallel()
	for _, null := range []string{"$-1\r\n", "*-1\r\n", "_\r\n"} {
		if !IsNull([]byte(null)) {
			t.Errorf("%q is a null", null)
		}
	}
	for _, other := range []string{"", "$0\r\n\r\n", "*0\r\n", "$-1\r\n$-1\r\n", "+\r\n", "_"} {
		if IsNull([]byte(other)) {
			t.Errorf("%q is no null", other)
		}
	}
}

func TestArrayLenReadsTheHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in            string
		count, header int
		ok            bool
	}{
		{"*0\r\n", 0, 4, true},
		{"*-1\r\n", -1, 5, true},
		{"*100\r\n$1\r\n", 100, 6, true},
		{"*-2\r\n", 0, 0, false},
		{"*?\r\n", 0, 0, false},
		{"*1\r", 0, 0, false},
		{"*1", 0, 0, false},
		{"~1\r\n", 0, 0, false},
		{"-ERR x\r\n", 0, 0, false},
		{"", 0, 0, false},
	} {
		if count, header, ok := ArrayLen([]byte(c.in)); count != c.count || header != c.header || ok != c.ok {
			t.Errorf("%q: %d, %d, %v", c.in, count, header, ok)
		}
	}
}

func TestElementLenSpansAllThatIsNested(t *testing.T) {
	t.Parallel()
	for _, in := range slices.Concat(wellFormed, wellFormedPushes) {
		if n := ElementLen([]byte(in + ":1\r\n")); n != len(in) {
			t.Errorf("%.40q: %d, want %d", in, n, len(in))
		}
		if n := ElementLen([]byte(in[:len(in)-1])); n != 0 {
			t.Errorf("%.40q cut short: %d", in, n)
		}
	}
	for _, in := range []string{"", "x", "*1\r\nx\r\n", "$1\r\nabc"} {
		if n := ElementLen([]byte(in)); n != 0 {
			t.Errorf("%q: %d", in, n)
		}
	}
}

func TestArrayReaderTakesAReplyApart(t *testing.T) {
	t.Parallel()
	want := []string{"$1\r\na\r\n", "$-1\r\n", "*2\r\n:1\r\n*0\r\n", "-ERR x\r\n", "|1\r\n_\r\n_\r\n#t\r\n"}
	in := "*5\r\n"
	for _, e := range want {
		in += e
	}
	r, ok := ReadArray([]byte(in))
	if !ok || r.Len() != 5 {
		t.Fatal(ok, r.Len())
	}
	for i, w := range want {
		e, ok := r.Next()
		if !ok || string(e) != w || cap(e) != len(e) {
			t.Errorf("element %d: %q, %v", i, e, ok)
		}
	}
	if e, ok := r.Next(); ok {
		t.Errorf("one more: %q", e)
	}
	if r, ok := ReadArray([]byte("*-1\r\n")); !ok || r.Len() != 0 {
		t.Error("a null array has no elements")
	}
	if _, ok := ReadArray([]byte("$1\r\na\r\n")); ok {
		t.Error("a bulk is no array")
	}
	if _, ok := ReadArray([]byte("~1\r\n:1\r\n")); ok {
		t.Error("a set is no array")
	}
	for in, want := range map[string]int{"~2\r\n:1\r\n:2\r\n": 2, "*1\r\n:1\r\n": 1, "*-1\r\n": 0, "~0\r\n": 0, "~-1\r\n": -1, "%1\r\n:1\r\n:2\r\n": -1, "": -1} {
		if r, ok := ReadSet([]byte(in)); ok != (want >= 0) || ok && r.Len() != want {
			t.Errorf("%q as a set: %d elements, %v", in, r.Len(), ok)
		}
	}
	if r, _ := ReadArray([]byte("*2\r\n:1\r\n")); r.Len() == 2 {
		r.Next()
		if _, ok := r.Next(); ok {
			t.Error("a second element of one")
		}
	}
}

func TestTakingApartDoesNotAllocate(t *testing.T) {
	in := []byte("*3\r\n*2\r\n:1\r\n*1\r\n*1\r\n%1\r\n_\r\n_\r\n$1\r\na\r\n#t\r\n")
	allocs := testing.AllocsPerRun(100, func() {
		r, _ := ReadArray(in)
		n := 0
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
		if n != 3 {
			t.Fatal(n)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
