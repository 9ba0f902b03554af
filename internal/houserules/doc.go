// Package houserules holds the project's rules as tests: which package may import
// which, which packages may use each dependency, how long files and functions may
// be, what code must not do, and that documents name files and sections that
// exist. It has no code of its own.
//
//	go test ./internal/houserules
//
// If a rule forbids something right, change the rule in the commit that needs it,
// and give the reason in the commit's message.
package houserules
