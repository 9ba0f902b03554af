// Package frameworks tests whether libraries and frameworks above Redis work through
// Ringway unchanged: each has a program under testdata that does what an application
// does and checks the results itself. A program is run directly at one redis-server,
// through a pool of one shard and through a pool of four. The results are the table in
// docs/frameworks.md. The package has no code of its own.
//
//	make frameworks             # installs what is missing, runs all, compares the table
//	make frameworks RUN=BullMQ  # one of them
//	RINGWAY_UPDATE=1 make frameworks  # writes the rows of those that pass
//
// A program takes the address from REDIS_HOST and REDIS_PORT, prints "version NAME
// NUMBER" for each package that it tries, and "ok CHECK" or "not ok CHECK: REASON" for
// each check. It goes on after a failed check where it can.
package frameworks
