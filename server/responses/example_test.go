package responses_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed4d217819/ebb/server/responses"
	"github.com/seed4d217819/ebb/service"
)

func ExampleHandler_Register() {
	var models service.Models // in a program, service.Only of a service
	h, err := responses.New(models, responses.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	h.Register(mux)

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/responses", strings.NewReader(`{
		"input": "And then?",
		"previous_response_id": "resp_1"
	}`)))
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 400 {"error":{"message":"Previous response with id 'resp_1' not found.","type":"invalid_request_error","param":"previous_response_id","code":"previous_response_not_found"}}
}
