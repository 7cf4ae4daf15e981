package server

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// firstSocket is the first file descriptor of those that systemd passes to a program: see
// sd_listen_fds(3).
const firstSocket = 3

// Activated returns the sockets that systemd listens on for this program; none if it does not.
func Activated() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // they are another program's
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("server: LISTEN_FDS is %q: want the number of sockets", count)
	}
	var listeners []net.Listener
	for i := range n {
		file := os.NewFile(uintptr(firstSocket+i), "LISTEN_FD_"+strconv.Itoa(firstSocket+i))
		l, err := net.FileListener(file)
		_ = file.Close() // the listener has one of its own
		if err != nil {
			return nil, fmt.Errorf("server: socket %d from systemd: %w", i, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Notify tells systemd about this program, as in READY=1: see sd_notify(3). Without systemd it does
// nothing.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // "@" begins an abstract name
	if err != nil {
		return fmt.Errorf("server: NOTIFY_SOCKET: %w", err)
	}
	_, err = c.Write([]byte(state))
	if closing := c.Close(); err == nil {
		err = closing
	}
	return err
}
