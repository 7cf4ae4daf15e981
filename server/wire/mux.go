package wire

import "net/http"

// Mux is what routes are added to: an [http.ServeMux], or what notes their patterns beside.
type Mux interface {
	HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request))
}
