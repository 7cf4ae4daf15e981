package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// unixPrefix begins an address that is a socket in the file system.
const unixPrefix = "unix:"

// Listen listens on an address: HOST:PORT, or unix:PATH.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, unixPrefix)
	if !ok {
		l, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("server: %s is in use by another program: end that one, or listen elsewhere", address)
		}
		return l, err
	}
	// A program that was killed has left its socket behind, to which nobody listens.
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("server: %s is in use by another program: end that one, or listen elsewhere", address)
	} else if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&os.ModeSocket != 0 && errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}

// IsPrivate reports whether a listener is reached from this machine alone.
func IsPrivate(l net.Listener) bool {
	if l.Addr().Network() == "unix" {
		return true
	}
	a, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// URL returns the address under which a program on this machine reaches a listener.
func URL(l net.Listener, encrypted bool) string {
	if l.Addr().Network() == "unix" {
		return unixPrefix + l.Addr().String()
	}
	scheme := "http://"
	if encrypted {
		scheme = "https://"
	}
	a, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return scheme + l.Addr().String()
	}
	if a.Addr().IsUnspecified() {
		return fmt.Sprintf("%slocalhost:%d", scheme, a.Port())
	}
	return scheme + a.String()
}

// certificate is the one of TLS files, which may be replaced while the server runs.
type certificate struct {
	cert, key string // files

	mu   sync.Mutex
	read *tls.Certificate
	of   [2]time.Time // when the files that were read had been written
}

// Encrypt has a listener speak TLS with a certificate and its key, in files of PEM. They are read again
// when they have changed; while the new ones are not a pair, the old ones are used.
func Encrypt(l net.Listener, certFile, keyFile string) (net.Listener, error) {
	c := &certificate{cert: certFile, key: keyFile}
	if _, err := c.get(nil); err != nil {
		return nil, fmt.Errorf("server: TLS: %w", err)
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"},
	}), nil
}

// get returns the certificate for a connection.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var written [2]time.Time
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return c.or(err)
		}
		written[i] = info.ModTime()
	}
	if c.read != nil && written == c.of {
		return c.read, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return c.or(err)
	}
	c.read, c.of = &pair, written
	return c.read, nil
}

// or returns the certificate that was read before an error, if there is one.
func (c *certificate) or(err error) (*tls.Certificate, error) {
	if c.read == nil {
		return nil, err
	}
	return c.read, nil
}
