// Package houserules holds the rules of the house as tests: which package may
// import which, where each dependency earns its place, how long files and
// functions may grow, and what may not stand in them. It has no code of its own.
//
// A rule that stands in the way of something right is changed here, in the
// commit that needs it, with the reason in its message.
package houserules
