package openai_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// listed is a list of models of which none is loaded.
type listed struct{ service.Models }

func (listed) List() []service.Model {
	return []service.Model{{Name: "qwen3", Created: time.Unix(1_800_000_000, 0), Context: 32768, Trained: 40960, Architecture: "qwen3"}}
}

func Example() {
	mux := http.NewServeMux()
	openai.New(listed{}, wire.Options{}).Register(mux)
	for _, path := range []string{"/v1/models/qwen3", "/v1/models/qwen4", "/v1/embeddings"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 {"id":"qwen3","object":"model","created":1800000000,"owned_by":"ebb","max_model_len":32768,"context_length":32768,"meta":{"n_ctx":32768,"n_ctx_train":40960,"architecture":"qwen3","tools":false}}
	// 404 {"error":{"message":"model \"qwen4\" does not exist: want one of qwen3","type":"invalid_request_error","param":"model","code":"model_not_found"}}
	// 501 {"error":{"message":"ebb does not offer embeddings","type":"not_supported_error","param":null,"code":"not_implemented"}}
}
