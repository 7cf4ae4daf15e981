//go:build unix

package server

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 20)
	if n, err := systemd.Read(got); err != nil || string(got[:n]) != "READY=1" {
		t.Errorf("systemd hears %q, %v", got[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify("READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}

// TestTheSocketsThatSystemdPassesAreListenedTo serves one connection of a socket that another process has opened, as systemd does. The
// process with the variable set is the one that is activated.
func TestTheSocketsThatSystemdPassesAreListenedTo(t *testing.T) {
	if os.Getenv("EBB_TEST_ACTIVATED") != "" {
		listeners, err := Activated()
		if err != nil || len(listeners) != 1 {
			t.Fatalf("%d sockets, %v", len(listeners), err)
		}
		c, err := listeners[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.0 204 No Content\r\n\r\n")
		return
	}
	if listeners, err := Activated(); err != nil || len(listeners) != 0 {
		t.Errorf("without systemd: %d sockets, %v", len(listeners), err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestTheSocketsThatSystemdPassesAreListenedTo$'`, os.Args[0])
	child.Env = append(os.Environ(), "LISTEN_FDS=1", "EBB_TEST_ACTIVATED=1")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil { // the child's stays open
		t.Fatal(err)
	}
	r, err := http.Get("http://" + l.Addr().String())
	if err != nil || r.StatusCode != http.StatusNoContent {
		t.Errorf("%v, %v", r, err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}
