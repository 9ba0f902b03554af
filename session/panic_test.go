package session_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
)

func (p *proxy) panics() string {
	c := p.dial()
	defer c.Close()
	return fieldsOf(c.Do("INFO", "ringway"))["panics"]
}

// A client whose request makes its session panic is closed; others notice nothing.
func TestPanicInASessionCostsThatClientOnly(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	for i, deferred := range []bool{false, true} {
		c, neighbour := p.dial(), p.dial()
		if got := c.Do("SET", "k", "v") + neighbour.Do("GET", "k"); got != "+OK\r\n"+bulk("v") {
			t.Fatal(got)
		}
		p.panicOnRequest(c.NetConn().LocalAddr().String(), deferred)
		c.Send(encode("GET", "k"))
		c.expectClosed()
		if got := neighbour.Do("GET", "k"); got != bulk("v") {
			t.Errorf("the neighbour got %q", got)
		}
		if got, want := p.panics(), []string{"1", "2"}[i]; got != want {
			t.Errorf("INFO counts %s panics, want %s", got, want)
		}
		neighbour.Close()
	}
	eventually(t, "no client is left", func() bool { return p.server.Clients() == 0 })
}

// A reply that makes its receiver panic costs the connection to the server and the
// client that it was for. Others get an error for what is in flight, and go on.
func TestPanicInAReplyCostsItsClientAndWhatIsInFlight(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	answer := fakeredis.Handle(func(c *fakeredis.Conn, args []string) { c.Reply(fakeredis.Bulk(args[1])) })
	fake := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(3), fakeredis.Wait(release), fakeredis.Reply(fakeredis.Bulk("a") + fakeredis.Bulk("bomb") + fakeredis.Bulk("b")), fakeredis.Discard()},
		fakeredis.Script{answer})
	cfg := config(t, fake.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].ServerFailureLimit, cfg.Pools[0].AutoEjectHosts = 1, true
	cfg.Pools[0].ReplyCheck = time.Hour // three requests and no ECHO
	p := serve(t, cfg)
	a, victim, b := p.dial(), p.dial(), p.dial()
	a.Send(encode("GET", "a"))
	fake.WaitRequests(1)
	p.panicOnReply(victim.NetConn().LocalAddr().String(), 0, []byte(encode("GET", "bomb")))
	fake.WaitRequests(2)
	b.Send(encode("GET", "b"))
	fake.WaitRequests(3)
	close(release)
	a.expect(bulk("a"))
	b.expect("-ERR Internal error of the proxy (server s1): the request was sent and its outcome is unknown\r\n")
	victim.expectClosed()
	if got := a.Do("GET", "x") + b.Do("GET", "y"); got != bulk("x")+bulk("y") {
		t.Errorf("afterwards: %q", got)
	}
	if p.server.Pools()[0].CountDown() != 0 {
		t.Error("the server counts as down, though it did nothing wrong")
	}
}

// Every type that receives a reply for a client has a method Abandon, which ends the client
// if the receiver panics: else the client would wait for ever.
func TestEveryReceiverCanBeAbandoned(t *testing.T) {
	failsWithTheNext := map[string]bool{"sizeOf": true, "idReceiver": true} // another request of the client is behind theirs
	for _, dir := range []string{".", "../pool"} {
		found, types := 0, declared(t, dir)
		for name, d := range types {
			if !d.methods["Reply"] || !d.methods["Fail"] {
				continue
			}
			found++
			abandons := d.methods["Abandon"] || failsWithTheNext[name]
			for _, e := range d.embedded {
				abandons = abandons || types[e] != nil && types[e].methods["Abandon"]
			}
			if !abandons {
				t.Errorf("%s in %s receives replies and has no Abandon; see abandon.go", name, dir)
			}
		}
		if found < 2 {
			t.Errorf("%d receivers found in %s", found, dir)
		}
	}
}

// declaration is what source says of a type.
type declaration struct {
	methods  map[string]bool
	embedded []string
}

// declared returns the types that a directory's files, but for tests, declare.
func declared(t *testing.T, dir string) map[string]*declaration {
	types := map[string]*declaration{}
	of := func(e ast.Expr) *declaration {
		name := nameOf(e)
		if types[name] == nil {
			types[name] = &declaration{methods: map[string]bool{}}
		}
		return types[name]
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv != nil {
					of(n.Recv.List[0].Type).methods[n.Name.Name] = true
				}
			case *ast.TypeSpec:
				if st, ok := n.Type.(*ast.StructType); ok {
					for _, field := range st.Fields.List {
						if len(field.Names) == 0 {
							of(n.Name).embedded = append(of(n.Name).embedded, nameOf(field.Type))
						}
					}
				}
			}
			return true
		})
	}
	return types
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return nameOf(e.X)
	}
	return ""
}
