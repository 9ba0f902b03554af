package join_test

import (
	"fmt"

	"ringway/join"
	"ringway/resp"
)

// DBSIZE was sent to two servers.
func Example() {
	replies := [][]byte{[]byte(":2\r\n"), []byte(":3\r\n")}
	reply, ok := join.Sum(nil, replies)
	fmt.Printf("%q %v\n", reply, ok)

	// What does not fit is not joined.
	_, ok = join.Sum(nil, [][]byte{[]byte(":2\r\n"), []byte("+OK\r\n")})
	fmt.Println(ok)
	// Output:
	// ":5\r\n" true
	// false
}

// The members of two sets on two servers.
func ExampleSetOperation() {
	args := [][]byte{[]byte("SUNION"), []byte("s1"), []byte("s2")}
	op, err := join.ParseSetOperation("sunion", args, []int{1, 2}, "7.2.4")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q\n", op.AppendFetch(nil, args[1:2], 0))
	reply, _ := op.AppendReply(nil, [][]byte{[]byte("*1\r\n$1\r\na\r\n"), []byte("*2\r\n$1\r\na\r\n$1\r\nb\r\n")}, resp.RESP2)
	fmt.Printf("%q\n", reply)
	// Output:
	// "*2\r\n$6\r\nSUNION\r\n$2\r\ns1\r\n"
	// "*2\r\n$1\r\na\r\n$1\r\nb\r\n"
}
