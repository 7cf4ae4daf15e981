package openai

import (
	"testing"

	"github.com/seed4d217819/ebb/service"
)

// A model whose file cannot be read was made at no time.
func TestAModelOfWhichNothingIsKnownIsDescribed(t *testing.T) {
	if got, want := modelOf(service.Model{Name: "m"}), (modelBody{ID: "m", Object: "model", OwnedBy: "ebb"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
