package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

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
		return nil, fmt.Errorf("server: %w", err)
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
