package wire_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed4d217819/ebb/server/wire"
)

func Example() {
	hello := func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Name string `json:"name"`
		}
		var o wire.Options
		if fault := o.Read(w, r, &body); fault != nil {
			fault.Head(w.Header())
			http.Error(w, fault.Message, fault.Status)
			return
		}
		s := wire.NewEvents(w, o.Patience)
		for _, word := range []string{"hello", body.Name} {
			if s.Event("word", word) != nil {
				return // the client has gone away, or does not read
			}
		}
	}
	for _, body := range []string{`{"name": "Ada"}`, `{"name": 5}`} {
		w := httptest.NewRecorder()
		hello(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 event: word
	// data: "hello"
	//
	// event: word
	// data: "Ada"
	// 400 name is a number: want a string
}
