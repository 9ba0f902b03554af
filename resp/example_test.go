package resp_test

import (
	"fmt"

	"ringway/resp"
)

// A request that arrives whole, and one of which only the beginning has come.
func ExampleRequestParser_Parse() {
	var parser resp.RequestParser
	var state resp.RequestState
	b := []byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1")
	n, err := parser.Parse(b, &state, &resp.DefaultLimits)
	fmt.Printf("%d %q %v\n", n, parser.Args, err)
	b = b[n:]
	n, err = parser.Parse(b, &state, &resp.DefaultLimits)
	fmt.Println(n, err)
	b = append(b, "\r\nk\r\n"...)
	n, err = parser.Parse(b, &state, &resp.DefaultLimits)
	fmt.Printf("%d %q %v\n", n, parser.Args, err)
	// Output:
	// 20 ["GET" "k"] <nil>
	// 0 <nil>
	// 20 ["GET" "k"] <nil>
}

// The first of two replies that came in one read.
func ExampleReplyState_Scan() {
	var state resp.ReplyState
	b := []byte("*2\r\n:1\r\n$-1\r\n+OK\r\n")
	n, done, err := state.Scan(b, &resp.DefaultReplyLimits)
	fmt.Printf("%q %v %v\n", b[:n], done, err)
	// Output: "*2\r\n:1\r\n$-1\r\n" true <nil>
}
