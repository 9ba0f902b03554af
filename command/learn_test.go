package command

import "testing"

func TestLearningCommandsOfModules(t *testing.T) {
	if Learn("GET", 2, []string{"readonly"}, nil, 1, 1, 1) != nil || Learn("client", -2, nil, nil, 0, 0, 0) != nil {
		t.Error("the table's word is the better one")
	}
	c := Learn("My.Set", -3, []string{"write", "denyoom", "module"}, []string{"@write", "@slow"}, 1, -1, 2)
	if c == nil || c.Name != "my.set" || !c.IsWrite() || !c.NeedsMarker() || c.Route != OneShard || c.Guarded {
		t.Fatalf("%+v", c)
	}
	keys, err := c.Keys(byteArgs("my.set", "a", "1", "b", "2"), nil)
	if err != nil || len(keys) != 2 || keys[0] != 1 || keys[1] != 3 {
		t.Errorf("keys %v, %v", keys, err)
	}
	for _, c := range []*Command{Learn("my.any", -2, []string{"movablekeys"}, nil, 0, 0, 0), Learn("my.none", 1, nil, nil, 0, 0, 0)} {
		if _, err := c.Keys(byteArgs(c.Name, "x"), nil); err == nil {
			t.Errorf("%s: its keys are known", c.Name)
		}
	}
}

func TestWhatMayDoAnythingIsGuarded(t *testing.T) {
	for _, test := range []struct {
		name         string
		flags, marks []string
		guarded      bool
	}{
		{"my.get", []string{"readonly", "fast"}, []string{"@read", "@fast"}, false},
		{"my.old", []string{"write"}, nil, false}, // of a server that has no categories
		{"my.admin", []string{"admin", "readonly"}, nil, true},
		{"my.listen", []string{"pubsub"}, nil, true},
		{"my.unknown", []string{"fast"}, []string{"@fast"}, true},
		{"commandlog", nil, []string{"@slow", "admin", "loading", "@admin", "@dangerous"}, true}, // Valkey 8.1, its subcommands
		{"trimslots", []string{"write"}, []string{"@keyspace", "@write", "@slow", "@DANGEROUS"}, true},
		{"my.container", []string{"readonly"}, []string{"@read", "ADMIN"}, true},
	} {
		if c := Learn(test.name, -2, test.flags, test.marks, 1, 1, 1); c == nil || c.Guarded != test.guarded || c.Guarded != (c.Reason != "") {
			t.Errorf("%s: %+v", test.name, c)
		}
	}
}
