package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

// A reload takes effect as a whole, or not at all, and says which.
func TestReloadOnTheConsole(t *testing.T) {
	t.Parallel()
	p, path, console := operated(t, startNodes(t, 2))
	addr := printed(t, p, `msg=listening .*addr=(\S+)`)[0]
	client := redistest.Dial(t, "tcp", addr)
	reload := func(args ...string) (int, string) {
		return command(t, append([]string{"reload", "--admin", console, "--password", "console"}, args...)...)
	}
	if code, out := reload(); code != exitOK || !strings.Contains(out, "ringway.toml: reloaded, 0 changes, hash ") {
		t.Errorf("%d, %s", code, out)
	}
	replaceIn(t, path, "servers = [", "timeout = \"3s\"\nservers = [")
	if code, out := reload(); code != exitOK || !strings.Contains(out, "1 change, hash ") || !strings.Contains(out, "pools.alpha: timeout \"0s\" -> \"3s\" (line 7)\n") {
		t.Errorf("%d, %s", code, out)
	}
	printed(t, p, `msg="configuration changed" change="pools.alpha: timeout`)
	client.Do("SET", "key", "value")

	replaceIn(t, path, `timeout = "3s"`, "timeout = 3\nbacklog = \"x\"")
	if code, out := reload(); code != exitFailure || !strings.Contains(out, "nothing has changed: ") || !strings.Contains(out, "\n"+path+":8:11: pool \"alpha\": backlog ") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "status", "--admin", console, "--password", "console", "config"); code != exitOK || !strings.Contains(out, "failed") {
		t.Errorf("%d, %s", code, out)
	}
	replaceIn(t, path, "timeout = 3\nbacklog = \"x\"", `hash = "md5"`)
	if code, out := reload(); code != exitFailure || !strings.Contains(out, " % of keys (") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := reload("--move-keys"); code != exitOK || !strings.Contains(out, `hash "xxhash64" -> "md5" (line 7)`) {
		t.Errorf("%d, %s", code, out)
	}
	if got := client.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("the client from before the reloads is answered %q", got)
	}
}

// The file is read again when it has changed, in whichever way: written in place, replaced, or behind a
// link that is swapped as Kubernetes does it for a ConfigMap.
func TestConfigurationIsWatched(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t)
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1), "watch_config = true")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		if err := os.Mkdir(dir+"/"+version, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, line string) {
		if err := os.WriteFile(name, append(text, line...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	swap := func(target, link string) {
		if err := os.Symlink(target, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	write(dir+"/1/ringway.toml", "")
	swap("1", dir+"/data")
	swap("data/ringway.toml", dir+"/ringway.toml")
	p := start(t, "-c", dir+"/ringway.toml")
	printed(t, p, "msg=listening")

	write(dir+"/1/ringway.toml", `timeout = "1s"`)
	printed(t, p, `change="pools.alpha: timeout .*1s`)
	write(dir+"/1/ringway.toml", `timeout = "2`) // half of it
	printed(t, p, `level=ERROR msg="configuration not reloaded, nothing has changed: .*by=watch_config`)
	write(dir+"/1/other", `timeout = "2s"`)
	if err := os.Rename(dir+"/1/other", dir+"/1/ringway.toml"); err != nil {
		t.Fatal(err)
	}
	printed(t, p, `change="pools.alpha: timeout .*1s.*2s`)
	write(dir+"/2/ringway.toml", `timeout = "3s"`)
	swap("2", dir+"/data")
	printed(t, p, `change="pools.alpha: timeout .*2s.*3s`)
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// What runs goes on while the file is away, is broken or its link leads nowhere. Each is logged once, however
// long it lasts, and the next good file is loaded.
func TestWatchedFileGoesAndComesBack(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t)
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1), "watch_config = true")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	version := func(name, line string) {
		if err := os.Mkdir(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+"/ringway.toml", append(text, line...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	swap := func(target string) { // as a kubelet does it for a ConfigMap
		if err := os.Symlink(target, dir+"/new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/new", dir+"/data"); err != nil {
			t.Fatal(err)
		}
	}
	version("1", "")
	version("broken", `timeout = "2`)
	version("2", `timeout = "2s"`)
	version("3", `timeout = "3s"`)
	swap("1")
	p := start(t, "-c", dir+"/data/ringway.toml")
	client := redistest.Dial(t, "tcp", printed(t, p, `msg=listening .*addr=(\S+)`)[0])
	refused := 0
	stays := func(why string) {
		t.Helper()
		refused++
		printed(t, p, `level=ERROR msg="configuration not reloaded, nothing has changed: .*by=watch_config.*`+why)
		looksPass(t)
		if n := strings.Count(p.Output(), "configuration not reloaded"); n != refused {
			t.Errorf("%d errors are logged, want %d", n, refused)
		}
		if got := client.Do("SET", "key", why); got != "+OK\r\n" {
			t.Errorf("%s: the client is answered %q", why, got)
		}
	}

	if err := os.Rename(dir+"/1/ringway.toml", dir+"/1/away"); err != nil {
		t.Fatal(err)
	}
	stays("no such file")
	if err := os.Rename(dir+"/1/away", dir+"/1/ringway.toml"); err != nil { // the same file, unchanged
		t.Fatal(err)
	}
	printed(t, p, `msg="configuration reloaded" by=watch_config .*changes=0`)

	swap("broken")
	stays("ringway.toml:")
	swap("2")
	printed(t, p, `change="pools.alpha: timeout .*2s`)

	swap("nowhere")
	stays("data/ringway.toml: no such file")
	swap("3")
	printed(t, p, `change="pools.alpha: timeout .*2s.*3s`)
	if got := client.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("the client from before is answered %q", got)
	}
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// looksPass returns when processes that watch their files have looked at them several times since: a process
// beside them, that looks as often, has found two changes one after the other.
func looksPass(t *testing.T) {
	t.Helper()
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1), "watch_config = true")
	p := start(t, "-c", path)
	printed(t, p, "msg=listening")
	replaceIn(t, path, "servers = [", "timeout = \"1s\"\nservers = [")
	printed(t, p, `change="pools.alpha: timeout .*1s`)
	replaceIn(t, path, `timeout = "1s"`, `timeout = "2s"`)
	printed(t, p, `change="pools.alpha: timeout .*1s.*2s`)
	p.Signal(syscall.SIGTERM)
	exited(t, p)
}

// A password's file is watched with the configuration: a new password, one that comes later than the
// configuration that names it, and the swap of a link before it.
func TestFilesOfPasswordsAreWatched(t *testing.T) {
	t.Parallel()
	redistest.SkipShort(t)
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1), "watch_config = true")
	p := start(t, "-c", path)
	client := redistest.Dial(t, "tcp", printed(t, p, `msg=listening .*addr=(\S+)`)[0])
	dir := t.TempDir()
	secret := func(version, password string) {
		if err := os.Mkdir(dir+"/"+version, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+version+"/redis", []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, dir+"/new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/new", dir+"/data"); err != nil {
			t.Fatal(err)
		}
	}
	replaceIn(t, path, "servers = [", "redis_auth_file = \""+dir+"/data/redis\"\nservers = [")
	printed(t, p, `level=ERROR .*redis_auth_file stat `+dir+`/data/redis: no such file`)
	secret("1", "swordfish")
	printed(t, p, `change="pools.alpha: redis_auth_file none ->`)
	secret("2", "flyingfish")
	printed(t, p, `change="pools.alpha: redis_auth_file .*….* ->`)
	if got := client.Do("AUTH", "flyingfish"); got != "+OK\r\n" {
		t.Errorf("AUTH is answered %q", got)
	}
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
