package conf

import (
	"path/filepath"
	"strings"
	"testing"

	"ringway/acl"
)

const poolText = "[pools.a]\nlisten = \"127.0.0.1:1\"\nservers = [\"127.0.0.1:2:1\"]\n"

func TestUsers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "password", "from a file\n")
	write(t, dir, "users.acl", "user carol on >c ~* +@read\n")
	c, warnings, err := Parse([]byte(poolText+`redis_auth = "backend"
acl_file = "users.acl"
[pools.a.users.alice]
passwords = ["one", "#2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]
rules = ["+@read", "~app:* (+set ~b)"]
server_user = "ringway"
server_password = "swordfish"
[pools.a.users.bob]
password_file = "password"
rules = "off +get"
`), filepath.Join(dir, "ringway.toml"))
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	us := c.Pools[0].Users
	alice, bob := us.Named("alice"), us.Named("bob")
	if len(us.All()) != 4 || !alice.Accepts([]byte("one")) || !alice.Accepts([]byte("secret")) || alice.ServerUser != "ringway" || alice.ServerPassword != "swordfish" ||
		bob.On || !bob.HasPassword() || !us.Named("carol").Accepts([]byte("c")) {
		t.Errorf("users %v", us.All())
	}
	if u := us.Named(acl.Default); !u.Accepts([]byte("backend")) || u.Accepts(nil) || !u.IsUnlimited() {
		t.Errorf("default is %s", u)
	}
	if text := c.Text(); strings.Contains(text, "one") || strings.Contains(text, "swordfish") || strings.Contains(text, "2bb80d") {
		t.Errorf("passwords are shown: %s", text)
	}
	if len(c.SecretFiles) != 2 {
		t.Errorf("files %q", c.SecretFiles)
	}
	if p := mustParse(t, poolText).Pools[0]; p.Users != nil {
		t.Errorf("a pool without users has %v", p.Users.All())
	}
}

func TestMistakesInUsers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "users.acl", "user carol on\nuser dave +gte\n")
	f := func(text, want string) {
		t.Helper()
		_, _, err := Parse([]byte(poolText+text), filepath.Join(dir, "x.toml"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	f("users = 1", "want a table for each user")
	f("users = { alice = 1 }", "want a table for each user")
	f("users = { alice = { pasword = \"secret\" } }", `key "users.alice.pasword" is unknown; the nearest`)
	f("users = { alice = { rules = \"+gte\" } }", "rule '+gte': unknown command")
	f("users = { alice = { rules = \"+get >secret\" } }", "has a password (>…); want it in password")
	f("users = { alice = { password = \"#secret\" } }", "is a SHA-256")
	f("users = { alice = { server_user = \"a\" } }", "want server_user and server_password")
	f("acl_file = \"users.acl\"", "users.acl: line 2: user \"dave\": rule '+gte'")
	f("acl_file = \"nothing\"", "nothing: no such file")
	write(t, dir, "carol.acl", "user carol on >a +@read\n")
	f("acl_file = \"carol.acl\"\nusers = { carol = { password = \"a\" } }", `user "carol" is both in users and in acl_file`)
}

func TestWarningsAboutUsers(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		_, warnings, err := Parse([]byte(poolText+text), "x.toml")
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Message, want) {
			t.Errorf("%s: %v %v, want %q", text, warnings, err, want)
		}
	}
	f("users = { alice = { password = \"a\", rules = \"+@read\" } }", "clients that do not log in are the user default")
	f("redis_auth = \"x\"\nusers = { alice = { rules = \"+@read\" } }", "nobody can log in as this user")
	f("redis_auth = \"x\"\nusers = { alice = { password = \"a\", rules = \"+@all ~a\" } }", "what scripts of alice do is not checked")
}

func TestChangesOfUsersShowNoPasswords(t *testing.T) {
	t.Parallel()
	with := func(rules string) *Config {
		return mustParse(t, poolText+"redis_auth = \"x\"\nusers = { alice = { password = \"secret\", rules = \""+rules+"\" } }")
	}
	changes := Changes(with("+@read"), with("+@write"))
	if len(changes) != 1 || !strings.Contains(changes[0].String(), "users") || !strings.Contains(changes[0].String(), "+@write") || strings.Contains(changes[0].String(), "#") || changes[0].NeedsRestart() {
		t.Errorf("changes %v", changes)
	}
}

func TestCategoriesOfCommands(t *testing.T) {
	t.Parallel()
	c := mustParse(t, poolText+`allow_commands = ["@ADMIN", "*", "keys"]`)
	if got := strings.Join(c.Pools[0].AllowCommands, " "); got != "@admin * keys" {
		t.Errorf("%q", got)
	}
	_, _, err := Parse([]byte(poolText+`deny_commands = ["@admn"]`), "x.toml")
	if err == nil || !strings.Contains(err.Error(), `"@admn": category is unknown; the nearest is admin`) {
		t.Error(err)
	}
	for text, want := range map[string]bool{`["@scripting"]`: false, `["@admin"]`: true, `["*"]`: false, `["eval"]`: false, `["eval", "get"]`: true, `[]`: false} {
		_, warnings, err := Parse([]byte(poolText+"deny_commands = "+text), "x.toml")
		if got := len(warnings) == 1; err != nil || got != want {
			t.Errorf("%s: %v %v", text, warnings, err)
		}
	}
}
