package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestTheFlagsThatAreWrittenDownExist looks for them where ebb serve is started.
func TestTheFlagsThatAreWrittenDownExist(t *testing.T) {
	flags := newServeCommand().Flags()
	files, err := filepath.Glob("../../packaging/*/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, name := range append(files, "../../docs/server.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, "ebb serve") {
				continue
			}
			for _, flag := range regexp.MustCompile(`--([a-z][a-z-]+)`).FindAllStringSubmatch(line, -1) {
				found++
				if flags.Lookup(flag[1]) == nil {
					t.Errorf("%s: ebb serve has no flag %s", name, flag[0])
				}
			}
		}
	}
	if found == 0 {
		t.Error("no flag was found")
	}
}

// ask is the script command `ask SOCKET STATUS METHOD PATH [BODY [HEADER…]]`: it sends a request to a
// server that listens on a socket, once the server answers, and prints the answer, which must have the
// status. A header is NAME: VALUE.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: ask SOCKET STATUS METHOD PATH [BODY [HEADER…]]")
	}
	socket := ts.MkAbs(args[0])
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	ts.Check(waitUntilHealthy(&client))
	body := ""
	if len(args) > 4 {
		body = args[4]
	}
	r, err := http.NewRequest(args[2], "http://localhost"+args[3], strings.NewReader(body))
	ts.Check(err)
	for _, header := range args[min(len(args), 5):] {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
	if fmt.Sprint(answer.StatusCode) != args[1] {
		ts.Fatalf("%s %s: status %d, want %s", args[2], args[3], answer.StatusCode, args[1])
	}
}

// waitUntilHealthy waits until the model of a server is loaded.
func waitUntilHealthy(client *http.Client) error {
	last := error(nil)
	for range 600 {
		answer, err := client.Get("http://localhost/health")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("/health has status %d", answer.StatusCode)
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	return last
}
