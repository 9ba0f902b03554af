package conf

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestTLSConfigHoldsTheFilesCertificates(t *testing.T) {
	t.Parallel()
	a := redistest.NewAuthority(t)
	cert, key := a.Issue("proxy")
	c, err := (&TLS{CA: a.File, Cert: cert, Key: key, ServerName: "redis"}).Config()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Certificates) != 1 || !c.RootCAs.Equal(a.Pool()) || c.ServerName != "redis" || c.InsecureSkipVerify || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", c)
	}
	if c, err = (&TLS{Insecure: true}).Config(); err != nil || !c.InsecureSkipVerify || c.RootCAs != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := (&TLS{Cert: cert, Key: a.File}).Config(); err == nil {
		t.Error("a certificate is no key")
	}
}

func TestLoaderReadsChangedFilesAgain(t *testing.T) {
	t.Parallel()
	a, b := redistest.NewAuthority(t), redistest.NewAuthority(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	load := (&TLS{CA: file}).Loader()
	if c, err := load(); err == nil {
		t.Errorf("%v without a file", c)
	}
	age := 0
	put := func(text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		age++
		stamp := time.Now().Add(time.Duration(age) * time.Second) // however coarse the file system's clock
		if err := os.Chtimes(file, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	content := func(a *redistest.Authority) []byte {
		text, err := os.ReadFile(a.File)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	put(content(a))
	first, err := load()
	if err != nil || !first.RootCAs.Equal(a.Pool()) {
		t.Fatal(err)
	}
	if again, _ := load(); again != first {
		t.Error("files that did not change were read again")
	}
	put([]byte("half a file"))
	if again, err := load(); err != nil || again != first {
		t.Errorf("a broken file gives %v, want what was there before", err)
	}
	os.Remove(file)
	if again, err := load(); err != nil || again != first {
		t.Errorf("a missing file gives %v, want what was there before", err)
	}
	put(content(b))
	if next, err := load(); err != nil || !next.RootCAs.Equal(b.Pool()) {
		t.Errorf("the new file was not read: %v", err)
	}
}
