package command

import "testing"

func TestLearningCommandsOfModules(t *testing.T) {
	if Learn("GET", 2, []string{"readonly"}, 1, 1, 1) != nil || Learn("client", -2, nil, 0, 0, 0) != nil {
		t.Error("the table's word is the better one")
	}
	if Learn("my.admin", 1, []string{"admin"}, 0, 0, 0) != nil {
		t.Error("what administers a server is not for clients")
	}
	c := Learn("My.Set", -3, []string{"write", "denyoom", "module"}, 1, -1, 2)
	if c == nil || c.Name != "my.set" || !c.IsWrite() || !c.NeedsFence() || c.Route != OneShard {
		t.Fatalf("%+v", c)
	}
	keys, err := c.Keys(byteArgs("my.set", "a", "1", "b", "2"), nil)
	if err != nil || len(keys) != 2 || keys[0] != 1 || keys[1] != 3 {
		t.Errorf("keys %v, %v", keys, err)
	}
	for _, c := range []*Command{Learn("my.any", -2, []string{"movablekeys"}, 0, 0, 0), Learn("my.none", 1, nil, 0, 0, 0)} {
		if _, err := c.Keys(byteArgs(c.Name, "x"), nil); err == nil {
			t.Errorf("%s: its keys are known", c.Name)
		}
	}
}
