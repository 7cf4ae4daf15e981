package anthropic_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed4d217819/ebb/server/anthropic"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

func ExampleHandler_Register() {
	var models service.Models // in a program, service.Only of a service
	mux := http.NewServeMux()
	anthropic.New(models, wire.Options{}).Register(mux)

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(`{
		"max_tokens": 100,
		"messages": [{"role": "user", "content": [{"type": "image"}]}]
	}`)))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 400 {"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0 is a block of type \"image\", which ebb does not offer there: want text"}}
}
