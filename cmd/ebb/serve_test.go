package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

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
