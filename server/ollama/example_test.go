package ollama_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/seed4d217819/ebb/server/ollama"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

func Example() {
	var model service.Answerer // of service.New
	mux := http.NewServeMux()
	ollama.New(service.Only(model), wire.Options{}).Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/api/version", nil))
	fmt.Print(w.Body)
	// Output: {"version":"0.40.0"}
}
