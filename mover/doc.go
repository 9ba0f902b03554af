// Package mover reads what the servers of a pool hold, compares two pools key by key, and copies keys
// from one pool to another while clients use them:
//
//	from, err := mover.Open(ctx, oldPool)   // connects to all servers
//	to, err := mover.Open(ctx, newPool)
//	survey, err := mover.Measure(ctx, from, to, options)  // what moves, and what stands in the way
//	copier, err := mover.NewCopier(ctx, from, to, options) // follow, copy, drain
//	report, err := mover.Verify(ctx, from, to, options)    // compare
//
// It speaks to the servers itself, not through the proxy, with blocking connections of its own: nothing here
// is on the data path. They are not go-redis's, since the order of what a server sends on one connection, replies and
// pushes, is what a copy rests on. docs/growth.md is its page for operators.
//
// A key belongs to the server that the pool's ring names, and servers are known by their run IDs: two
// addresses may lead to one server.
package mover
