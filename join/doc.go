// Package join makes one reply of those that several servers have given to parts of
// one request, as if a single Redis had answered:
//
//	reply, ok := join.Sum(nil, [][]byte{[]byte(":2\r\n"), []byte(":3\r\n")}) // ":5\r\n"
//
// There is a function or a type for each way in which replies are joined: integers
// are added up or the least is taken, arrays are put one behind the other or merged
// in the order of the request's keys, sets are united, INFO is added up field by
// field, the newest entries of SLOWLOG come first. Cursors of SCAN, which tell the
// client's next request where to go on, are read and written here too.
//
// The package is pure: whole framed replies in, a framed reply out. Whoever uses it
// sends the parts, waits for them, handles errors and failures, and calls join when
// all have succeeded. The servers are not trusted: a reply of a wrong type, or whose
// parts do not fit each other, makes ok false, and nothing is reserved for what a
// reply announces but does not hold. A joined reply is appended to dst, which may be
// nil; replies are only read, unless a function says otherwise.
//
// Nothing here is safe for concurrent use by several goroutines; plain functions are
// as long as nobody writes to their arguments.
package join
