package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// What clients do below HTTP is refused or answered, and changes nothing for others, whose answers go on
// meanwhile.
func TestSocketsOfClientsThatMisbehave(t *testing.T) {
	r := start(t, servicetest.WriteModel(t), ebb.Options{Context: 1024, Sequences: 4}, service.Options{}, Options{Body: 64 << 10, BodyTime: 10 * time.Second})
	defer r.close()
	head := func(body string) string {
		return fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", len(body))
	}
	body := completion("hello", 5, false)
	whole := head(body) + body
	long := completion("hello", 900, true)
	for _, tt := range []struct {
		name     string
		sent     io.Reader
		after    func(*net.TCPConn)
		statuses []int // of the responses; 0: whatever comes, or nothing
	}{
		{"pipelined requests", strings.NewReader(whole + "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + whole), nil, []int{200, 200, 200}},
		{"bytes behind a body", strings.NewReader(whole + "\x00garbage\r\n\r\n"), nil, []int{200, 400}},
		{"no HTTP", strings.NewReader("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"), nil, []int{400}},
		{"a huge header", strings.NewReader("GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), nil, []int{431}},
		{"a sender of single bytes", iotest.OneByteReader(strings.NewReader(whole)), nil, []int{200}},
		{"a body that is too long", strings.NewReader("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n" + strings.Repeat(" ", 1<<20)), nil, []int{413}},
		{"chunks without end", io.MultiReader(strings.NewReader("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"), strings.NewReader(strings.Repeat("400\r\n"+strings.Repeat(" ", 1024)+"\r\n", 1024))), nil, []int{413}},
		{"two lengths", strings.NewReader("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}   "), nil, []int{400}},
		{"half a body, and no more", strings.NewReader(head(body) + body[:10]), func(c *net.TCPConn) { _ = c.CloseWrite() }, []int{400}},
		{"a connection that is closed for writing", strings.NewReader(whole), func(c *net.TCPConn) { _ = c.CloseWrite() }, []int{0}},
		{"one that reads nothing, and goes", strings.NewReader(head(long) + long), func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			neighbour := make(chan string, 1)
			prompt := words(7, 100)
			want, _, _ := r.complete("", prompt, 40)
			go func() {
				text, _, _ := r.complete("", prompt, 40)
				neighbour <- text
			}()
			c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute)) // against tests that hang
			go func() {
				_, _ = io.Copy(c, tt.sent) // the server may stop reading
				if tt.after != nil {
					tt.after(c.(*net.TCPConn)) //nolint:forcetypeassert // it was dialled so
				}
			}()
			from := bufio.NewReader(c)
			for i, status := range tt.statuses {
				response, err := http.ReadResponse(from, nil)
				if status == 0 {
					break
				}
				if err != nil || response.StatusCode != status {
					t.Fatalf("response %d: %+v, %v; want status %d", i, response, err, status)
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil {
					t.Errorf("response %d: %v", i, err)
				}
			}
			if got := <-neighbour; got != want {
				t.Errorf("beside it the answer is %q; want %q", got, want)
			}
		})
	}
	eventually(t, func() bool { return r.server.state.count() == 0 && r.tiny.Stats().Requests == 0 }, "requests are left")
}
