package main

import (
	"os"
	"sync"
)

// logFile is a file that the log is appended to. Any goroutine may call its methods.
type logFile struct {
	path string
	mode os.FileMode
	mu   sync.Mutex
	file *os.File
}

// openLogFile opens a file for the log, and makes it with mode if need be. The caller calls close.
func openLogFile(path string, mode os.FileMode) (*logFile, error) {
	f := &logFile{path: path, mode: mode}
	return f, f.open()
}

// open opens the file by its name, and from then on the log goes there.
func (f *logFile) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, f.mode)
	if err != nil {
		return err
	}
	f.mu.Lock()
	old := f.file
	f.file = file
	f.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}

// Write appends lines of the log.
func (f *logFile) Write(lines []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(lines)
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file.Close()
}
