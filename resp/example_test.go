package resp_test

import (
	"fmt"

	"ringway/resp"
)

func Example() {
	for protocol := range resp.Protocols {
		reply := protocol.AppendMap(nil, 1)
		reply = resp.AppendBulkString(reply, "role")
		reply = protocol.AppendNull(reply)
		fmt.Printf("%q\n", reply)
	}

	reply := resp.AppendBulkString(resp.AppendArray(nil, 1), "value")
	elements, _ := resp.ReadArray(reply)
	first, _ := elements.Next()
	value, ok := resp.Bulk(first)
	fmt.Println(string(value), ok)
	// Output:
	// "*2\r\n$4\r\nrole\r\n$-1\r\n"
	// "%1\r\n$4\r\nrole\r\n_\r\n"
	// value true
}
