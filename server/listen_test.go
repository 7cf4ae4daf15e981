package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAnAddressIsListenedToOnce(t *testing.T) {
	for _, tt := range []struct {
		address, url string
		private      bool
	}{
		{"127.0.0.1:0", "http://127.0.0.1:", true},
		{":0", "http://localhost:", false},
		{"unix:" + filepath.Join(t.TempDir(), "s"), "unix:/", true},
	} {
		l, err := Listen(tt.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := URL(l, false); !strings.HasPrefix(got, tt.url) || IsPrivate(l) != tt.private {
			t.Errorf("%s is at %s, private: %v", tt.address, got, IsPrivate(l))
		}
		again := tt.address
		if l.Addr().Network() == "tcp" {
			again = l.Addr().String()
		}
		if other, err := Listen(again); err == nil || !strings.Contains(err.Error(), "in use by another program") {
			t.Errorf("a second time: %v, %v", other, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestASocketThatNobodyListensToIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false) // as if the program had been killed
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("a file that is no socket was replaced")
	}
}

// writePair writes a certificate for localhost and its key.
func writePair(t *testing.T, cert, key string, serial int64, written time.Time) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, written, written); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACertificateIsReadAgainWhenItHasChanged(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Encrypt(l, cert, key); err == nil {
		t.Error("files that are not there were taken")
	}
	now := time.Now()
	writePair(t, cert, key, 1, now.Add(-time.Hour))
	encrypted, err := Encrypt(l, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := encrypted.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	serial := func() int64 {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is the test's own
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("the certificate is number %d", got)
	}
	writePair(t, cert, key, 2, now)
	if got := serial(); got != 2 {
		t.Errorf("after it was replaced, the certificate is number %d", got)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("while it is written, the certificate is number %d", got)
	}
}
