package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxSecret is the longest password in a file, in bytes.
const maxSecret = 64 << 10

// writtenSecret is a password of the text.
type writtenSecret struct {
	node   *node
	table  string // as diagnostics name it
	key    string // its key in the table, without that of the table: without _file
	inFile bool   // the text has the name of a file
}

// isWritten reports whether the password itself is in the text.
func (r *report) isWritten(s writtenSecret) bool {
	_, replaced := r.written[s.node]
	return !s.inFile && !replaced
}

// setSecret reads a password. Diagnostics about it do not quote it.
func setSecret(v *value, into *string) {
	v.noteSecret(false)
	s, ok := v.v.(string)
	switch {
	case !ok:
		v.failAt(v.node, "is not a string; want the password in quotes")
	case s == "":
		v.failAt(v.node, "is empty; want a password, or remove this key")
	case *into != "":
		v.failTwice()
	default:
		*into = s
	}
}

// setSecretFile reads a password from the file that the value names. Its key is that of setSecret's with _file
// behind it. The name is relative to the directory of the configuration file, and the end of the file's
// last line does not belong to the password.
func setSecretFile(v *value, into *string) {
	v.noteSecret(true)
	name := ""
	if v.file(&name); name == "" {
		return
	}
	if *into != "" {
		v.failTwice()
		return
	}
	if !slices.Contains(v.report.files, name) {
		v.report.files = append(v.report.files, name)
	}
	s, mode, err := readSecret(name)
	if err != nil {
		v.failAt(v.node, err.Error())
		v.report.mistakes[len(v.report.mistakes)-1].Reads = name
		return
	}
	if mode != "" {
		v.report.warn(v.node.start, v.table, fmt.Sprintf("%s: everybody on this machine may read %s (mode %s); want chmod 640, or 600", v.name, name, mode))
	}
	*into = s
}

func (v *value) noteSecret(inFile bool) {
	key := v.name[strings.LastIndexByte(v.name, '.')+1:]
	v.report.secrets = append(v.report.secrets, writtenSecret{v.node, v.table, strings.TrimSuffix(key, "_file"), inFile})
}

// failTwice reports a password that the text has in two ways.
func (v *value) failTwice() {
	other, isFile := strings.CutSuffix(v.name, "_file")
	if !isFile {
		other += "_file"
	}
	v.failAt(v.node, "and "+other+" are both there; want one of them")
}

// hasSecret reports whether a table has a password, itself or in a file.
func (n *node) hasSecret(key string) bool { return n.table[key] != nil || n.table[key+"_file"] != nil }

// readSecret returns the password in a file, and the file's mode if every user may read it. It
// refuses devices and pipes, which could not be read again, large files and empty ones. The error
// names the file and shows nothing of what is in it.
func readSecret(name string) (password, mode string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", "", err
	}
	if !info.Mode().IsRegular() {
		return "", "", fmt.Errorf("%s: want a file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch text = withoutLineEnd(text); {
	case err != nil:
	case len(text) > maxSecret:
		err = errors.New("more than " + sizeText(maxSecret) + "; want a file with the password alone")
	case len(text) == 0:
		err = errors.New("is empty; want a file with the password")
	}
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	return string(text), worldReadable(f), nil
}

func withoutLineEnd(text []byte) []byte {
	text, ended := bytes.CutSuffix(text, []byte("\n"))
	if ended {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return text
}
