// Package join makes one reply of those that several servers have given to the parts of one
// request, as if a single Redis had answered:
//
//	reply, ok := join.Sum(nil, [][]byte{[]byte(":2\r\n"), []byte(":3\r\n")}) // ":5\r\n"
//
// There is a function or a type for each way in which replies are joined: integers are added up or
// the least is taken; arrays are concatenated or merged in the order of the request's keys; sets
// are united; INFO is added up field by field; the newest entries of SLOWLOG come first. It also
// reads and writes the cursors of SCAN, which tell the client's next request where to go on.
//
// The package is pure: complete framed replies in, a framed reply out. The caller sends the parts,
// waits for them, handles errors and failures, and calls join when all have succeeded. The servers
// are not trusted: a reply of a wrong type, or parts that do not fit each other, make ok false, and
// no memory is reserved for what a reply announces but does not hold. A joined reply is appended to
// dst, which may be nil. Replies are only read, unless a function says otherwise.
//
// Types are not safe for concurrent use by several goroutines; functions are, while no goroutine
// writes to their arguments.
package join
