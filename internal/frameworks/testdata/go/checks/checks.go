// Package checks is what every program here shares: where Redis is, and how a check is
// told.
package checks

import (
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
)

// Addr is the address of Redis, or what looks like it.
var Addr = os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT")

// Version tells the version of a module that the program was built with.
func Version(path string) {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == path {
			fmt.Println("version", path[strings.Index(path, "/")+1:], strings.TrimPrefix(m.Version, "v"))
		}
	}
}

// Check runs one check and tells how it went. It fails if f takes more than 15 s.
func Check(name string, f func() error) {
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				ended <- fmt.Errorf("panic: %v", r)
			}
		}()
		ended <- f()
	}()
	err := fmt.Errorf("nothing after 15 s")
	select {
	case err = <-ended:
	case <-time.After(15 * time.Second):
	}
	if err != nil {
		fmt.Printf("not ok %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Println("ok", name)
}

// Equal returns an error if the two differ.
func Equal(got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%v, not %v", got, want)
	}
	return nil
}

// Until waits until the condition holds, for 12 s at most.
func Until(what string, condition func() bool) error {
	for end := time.Now().Add(12 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waiting for %s", what)
		}
	}
	return nil
}

// All returns the first error.
func All(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
