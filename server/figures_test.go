package server

import (
	"reflect"
	"testing"

	"ringway/pool"
	"ringway/stats"
)

// isCounted reports whether a field is or has numbers that are added up.
func isCounted(f reflect.StructField) bool {
	return f.IsExported() && f.Type != reflect.TypeFor[*stats.Answer]()
}

// fill sets all numbers of v to 1: those of a struct's fields, of an array, and of what a
// pointer or one element of a slice has. It returns how many there are.
func fill(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if isCounted(v.Type().Field(i)) {
				n += fill(v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			n += fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		n = fill(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		n = fill(v.Elem())
	case reflect.Uint64:
		v.SetUint(1)
		n = 1
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
		n = 1
	}
	return n
}

// notDoubled returns the path of a number that is not 2, "" if there is none.
func notDoubled(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); isCounted(f) {
				if path := notDoubled(v.Field(i)); path != "" {
					return "." + f.Name + path
				}
			}
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			if path := notDoubled(v.Index(i)); path != "" {
				return "[]" + path
			}
		}
	case reflect.Pointer:
		return notDoubled(v.Elem())
	case reflect.Uint64:
		if v.Uint() != 2 {
			return " "
		}
	case reflect.Int, reflect.Int64:
		if v.Int() != 2 {
			return " "
		}
	}
	return ""
}

// Whoever adds something that is counted adds it to Merge too.
func TestMergeAddsEveryNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		counts, other any
		merge         func(counts, other any)
	}{
		{new(stats.Histogram), new(stats.Histogram), func(x, y any) { x.(*stats.Histogram).Merge(y.(*stats.Histogram)) }},
		{new(stats.Pool), new(stats.Pool), func(x, y any) { x.(*stats.Pool).Merge(y.(*stats.Pool)) }},
		{new(stats.Server), new(stats.Server), func(x, y any) { x.(*stats.Server).Merge(y.(*stats.Server)) }},
		{new(stats.Topology), new(stats.Topology), func(x, y any) { x.(*stats.Topology).Merge(y.(*stats.Topology)) }},
		{new(pool.Queues), new(pool.Queues), func(x, y any) { x.(*pool.Queues).Add(y.(*pool.Queues)) }},
	} {
		v := reflect.ValueOf(c.counts).Elem()
		n := fill(v)
		fill(reflect.ValueOf(c.other).Elem())
		c.merge(c.counts, c.other)
		if path := notDoubled(v); path != "" {
			t.Errorf("%v%s is not added", v.Type(), path)
		}
		if n == 0 {
			t.Errorf("%v has no numbers", v.Type())
		}
	}
}
