package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// unixPrefix begins an address that is a socket in the file system.
const unixPrefix = "unix:"

// errInUse says that another program listens.
var errInUse = errors.New("server: the address is in use by another program: end that one, or listen elsewhere")

// Listen listens on an address: HOST:PORT, or unix:PATH. Its errors do not repeat the address.
func Listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return listenUnix(path)
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errInUse
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, errors.New("server: this machine does not have the address: want one of its own, or 0.0.0.0 for all")
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("server: %w: only root may listen on the first ports, up to 1023 on most systems", withoutAddress(err))
	case err != nil:
		return nil, fmt.Errorf("server: %w", withoutAddress(err))
	}
	return l, nil
}

// listenUnix listens on a socket in the file system.
func listenUnix(path string) (net.Listener, error) {
	if path == "" {
		return nil, errors.New("server: want a path behind unix:, as in unix:/run/ebb.sock")
	}
	// A program that was killed has left its socket behind, to which nobody listens.
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return nil, errInUse
	}
	if info, statErr := os.Lstat(path); statErr == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, errors.New("server: there is a file already that is no socket: remove it, or name another path")
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("server: %w", err)
			}
		}
	}
	l, err := net.Listen("unix", path)
	switch {
	case errors.Is(err, syscall.EINVAL):
		return nil, fmt.Errorf("server: the path has %d bytes: want at most 107, or 103 on macOS", len(path))
	case err != nil:
		return nil, fmt.Errorf("server: %w", withoutAddress(err))
	}
	return l, nil
}

// withoutAddress returns the cause of an error of net.
func withoutAddress(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
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
