package server

import (
	"context"
	"errors"
	"io"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/service"
)

// Source is a model that may be loaded.
type Source struct {
	// Name is what clients call it.
	Name string
	// Describe says what is known of it while it is not loaded, or why it cannot be loaded. It is called
	// often, and from many goroutines. nil: nothing is known but its name.
	Describe func() (service.Model, error)
	// Open loads it. An error that is no [service.LoadError] is told to the log alone.
	Open func() (Loaded, error)
}

// describe returns what is known of the model.
func (s Source) describe() (service.Model, error) {
	if s.Describe == nil {
		return service.Model{Name: s.Name}, nil
	}
	m, err := s.Describe()
	m.Name = s.Name
	return m, s.failed(err)
}

// failed returns the [service.LoadError] that an error is; nil is none.
func (s Source) failed(err error) error {
	if _, is := errors.AsType[*service.LoadError](err); err == nil || is {
		return err
	}
	return &service.LoadError{Name: s.Name, Err: err}
}

// Loaded is a model that answers. A [service.Service] has most of it. Its Close is called when nothing is
// computed for anybody any more, and keeps its conversations where they can be kept. Answers are read on
// until their own Close.
type Loaded interface {
	service.Answerer
	Stats() service.Stats
	Conversations(owner string) []conversation.Info
	DeleteConversation(owner, id string) error
	PinConversation(owner, id string, pinned bool) error
	ExportConversation(ctx context.Context, owner, id string) (*conversation.Export, error)
	// Engine says what its engine has done. It may be called from many goroutines.
	Engine() ebb.Stats
	io.Closer
}
