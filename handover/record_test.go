package handover

import (
	"errors"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// example is a record with a value in every field.
func example() *Record {
	return &Record{
		Version: RecordVersion, Pool: "alpha", Loop: 1, ID: 7, Addr: "127.0.0.1:1", Local: "127.0.0.1:2", Since: 3, Idle: 4,
		Name: "name", Lib: "lib", LibVer: "1.0", Command: "client|list", NoEvict: true, NoTouch: true,
		User: &User{Name: []byte("user"), Password: []byte("\xff\x00")}, ProxyUser: "alice", WantAuth: true, AuthFailures: 5, DB: 6, RESP3: true,
		Channels: [][]byte{[]byte("news")}, Patterns: [][]byte{[]byte("n*")}, ShardChannels: [][]byte{{0xff}}, Markers: []string{"mark"}, Cuts: 2,
		ReplyUsed: true, ReplyOff: true, ReplySkip: 2, Muting: true, Tracking: &Tracking{BCast: true, NoLoop: true, Prefixes: [][]byte{{}, {0xff}}}, Monitor: true, MaintNotices: true, ToldFailover: true,
		Input: []byte("*1\r\n$4\r\nPI\xfe"),
	}
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	want := example()
	for v, i := reflect.ValueOf(*want), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the example says nothing of %s", v.Type().Field(i).Name)
		}
	}
	body, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRecord(body)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// A record of another program is refused rather than read in part: what it does not know of would
// be lost.
func TestUnknownRecordsAreRefused(t *testing.T) {
	body, err := (&Record{Version: RecordVersion, Pool: "alpha", ID: 1}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	if _, err := DecodeRecord(body); err != nil {
		t.Error(err)
	}
	for _, other := range []string{
		strings.Replace(text, `"Version":1`, `"Version":2`, 1),
		strings.Replace(text, `"Version":1,`, ``, 1),
		strings.Replace(text, `"Pool"`, `"Secret":true,"Pool"`, 1),
	} {
		if _, err := DecodeRecord([]byte(other)); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v, want ErrVersion", other, err)
		}
	}
	for _, wrong := range []string{"", "{}x", text + "{}", strings.Replace(text, `"ID":1`, `"ID":0`, 1), strings.Replace(text, "alpha", "", 1)} {
		if _, err := DecodeRecord([]byte(wrong)); err == nil {
			t.Errorf("%q is read", wrong)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	body, _ := example().Encode()
	f.Add(body)
	f.Add([]byte(`{"Version":1,"Pool":"a","ID":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeRecord(body)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := DecodeRecord(again); err != nil || !reflect.DeepEqual(emptied(same), emptied(r)) {
			t.Errorf("%+v is read as %+v, %v", r, same, err)
		}
	})
}

// emptied returns r with nil for empty bytes, which are left out.
func emptied(r *Record) *Record {
	if len(r.Input) == 0 {
		r.Input = nil
	}
	for _, names := range []*[][]byte{&r.Channels, &r.Patterns, &r.ShardChannels} {
		all := [][]byte{}
		for _, name := range *names {
			all = append(all, append([]byte{}, name...))
		}
		*names = all
	}
	r.Markers = append([]string{}, r.Markers...)
	if r.User != nil {
		r.User.Name, r.User.Password = append([]byte{}, r.User.Name...), append([]byte{}, r.User.Password...)
	}
	return r
}

// connPair returns both ends of a socket.
func connPair(t testing.TB) (a, b *Conn) {
	t.Helper()
	a, file, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	if b, err = newConn(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// Messages come whole and in order, each with its own descriptor, however many come at once and however large
// they are.
func TestDescriptorsComeWithTheirMessages(t *testing.T) {
	a, b := connPair(t)
	const n = 200
	var readers, writers []*os.File
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		readers, writers = append(readers, r), append(writers, w)
	}
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range n {
			body := Numbered(uint64(i), []byte(strings.Repeat("x", i*i%70_000)))
			if i%3 == 0 {
				a.Send(Accept, body, -1)
				continue
			}
			raw, _ := readers[i].SyscallConn()
			raw.Control(func(fd uintptr) { a.Send(Offer, body, int(fd)) })
		}
	})
	for i := range n {
		m, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		number, rest, err := CutNumber(m.Body)
		if err != nil || number != uint64(i) || len(rest) != i*i%70_000 || m.FD >= 0 != (i%3 != 0) {
			t.Fatalf("message %d with %d bytes and descriptor %d, %v; want message %d", number, len(rest), m.FD, err, i)
		}
		if m.FD < 0 {
			continue
		}
		f := os.NewFile(uintptr(m.FD), "")
		writers[i].Write([]byte{byte(i)})
		got := make([]byte, 1)
		if _, err := f.Read(got); err != nil || got[0] != byte(i) {
			t.Errorf("descriptor of message %d reads %d, %v", i, got[0], err)
		}
		f.Close()
	}
	sent.Wait()
	for i := range n {
		readers[i].Close()
		writers[i].Close()
	}
}

// What is no message ends the conversation; it does not take memory, or block.
func TestWrongMessagesAreErrors(t *testing.T) {
	for _, raw := range []string{"\xff\xff\xff\xff\x01\x00", "\x00\x00\x00\x00\x01\x01"} {
		a, b := connPair(t)
		a.socket.Write([]byte(raw))
		if m, err := b.Receive(); err == nil {
			t.Errorf("%q is message %+v", raw, m)
		}
	}
	a, b := connPair(t)
	a.socket.Write([]byte("\x00\x00\x00\x05\x01"))
	a.Close()
	if _, err := b.Receive(); err == nil {
		t.Error("a part of a message is a message")
	}
	a, _ = connPair(t)
	if err := a.Send(Offer, make([]byte, maxMessage+1), -1); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x05\x00{}\x00\x00\x00\x00\x06\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, b := connPair(t)
		go func() {
			a.socket.SetWriteDeadline(time.Now().Add(time.Second))
			a.socket.Write(raw)
			a.Close()
		}()
		for {
			m, err := b.Receive()
			if err != nil {
				return
			}
			CutNumber(m.Body)
			m.Close()
		}
	})
}

// Sockets are taken by their addresses; those with the same one by their purposes.
func TestListeningSocketsAreTakenByAddress(t *testing.T) {
	a, b := connPair(t)
	in := &Inherited{Conn: b}
	done := make(chan error, 1)
	go func() { done <- in.receive() }()
	var at []string
	for _, purpose := range []string{"pool one", "pool two"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		at = append(at, ln.Addr().String())
		if err := a.SendListener(Socket{For: purpose, Network: "tcp", Addr: "127.0.0.1:0"}, ln.(*net.TCPListener)); err != nil {
			t.Fatal(err)
		}
	}
	a.SendJSON(Begin, Beginning{Version: ProtocolVersion, Reached: []string{"one"}}, -1)
	if err := <-done; err != nil || len(in.Reached) != 1 {
		t.Fatal(err, in.Reached)
	}
	for i, purpose := range []string{"pool two", "pool three"} {
		ln, err := in.TakeListener(purpose, "tcp", "127.0.0.1:0")
		if err != nil || ln == nil || ln.Addr().String() != at[1-i] {
			t.Fatalf("%s: %v, %v", purpose, ln, err)
		}
		ln.Close()
	}
	if f := in.Take("pool one", "tcp", "127.0.0.1:0"); f != nil {
		t.Error("one more than there were")
	}
	if f := (*Inherited)(nil).Take("", "", ""); f != nil {
		t.Error("a socket from nowhere")
	}
	in.CloseRest()
}
