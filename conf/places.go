package conf

// A place names what is written in a text: a table, a key of it, or an entry of that key's list.
type place struct {
	table string // as diagnostics name it
	key   string // "" for the table itself
	entry string // the name of a server, shard or master; "" for the key itself
}

// note remembers the line of what is written at n.
func (r *report) note(at place, n *node) {
	if r.places == nil {
		r.places = map[place]int{}
	}
	r.places[at] = r.line(n.key)
}

// noteEntry remembers the line of an entry of a list, by its name.
func (v *value) noteEntry(name string, n *node) {
	v.report.note(place{v.table, v.name, name}, n)
}
