package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/seed4d217819/ebb/server"
)

func Example() {
	models := server.NewModels(0, slog.New(slog.DiscardHandler), server.Source{
		Name: "tiny",
		Open: func() (server.Loaded, error) { return nil, errors.New("see cmd/ebb for one that opens a model") },
	})
	defer models.Close()
	s, err := server.New(server.Options{Models: models, Keys: []server.Key{server.NewKey("secret")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/health", "/v1/models"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(w.Code, path)
	}
	// Output:
	// 503 /health
	// 401 /v1/models
}
