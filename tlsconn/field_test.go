package tlsconn

import (
	"crypto/tls"
	"reflect"
	"unsafe"
)

// fieldOf returns a field of a tls.Conn.
func fieldOf[T any](c *tls.Conn, name string) *T {
	f, _ := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return (*T)(unsafe.Add(unsafe.Pointer(c), f.Offset))
}
