package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/service"
)

// Source is a model that may be loaded.
type Source struct {
	// Model is what is known of it before. Its name is what clients call it.
	Model service.Model
	// Open loads it.
	Open func() (Loaded, error)
}

// Loaded is a model that answers. A [service.Service] has most of it. Its Close is called when nobody
// uses it any more, and keeps its conversations where they can be kept.
type Loaded interface {
	service.Answerer
	Stats() service.Stats
	Conversations(owner string) []conversation.Info
	DeleteConversation(owner, id string) error
	PinConversation(owner, id string, pinned bool) error
	SaveConversation(ctx context.Context, owner, id, path string) error
	// Engine says what its engine has done. It may be called from many goroutines.
	Engine() ebb.Stats
	io.Closer
}

// LoadError says that a model could not be loaded.
type LoadError struct {
	Name string
	Err  error
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("model %q cannot be loaded: %v", e.Name, e.Err)
}

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// DefaultWait is how long a request waits for its model.
const DefaultWait = 5 * time.Minute

// Models has one of several models loaded at a time. A request for another one waits until the running
// answers have ended, and those that come after it wait behind it, also if the model that they name is
// the one that is loaded: so no stream of requests for one model keeps those for another one waiting.
// It may be used from many goroutines.
type Models struct {
	sources []Source
	wait    time.Duration
	log     *slog.Logger
	loads   sync.WaitGroup // 0 or 1

	mu      sync.Mutex
	loaded  Loaded // nil: none
	index   int    // of the source of loaded
	users   int    // of loaded
	loading bool
	waiting []*turn // first come first
	closed  bool
}

var _ service.Models = (*Models)(nil)

// turn is a request that waits for a model.
type turn struct {
	index int        // of its source
	come  chan error // has one element when the turn has come; nil: the request is one of users
}

// NewModels has sources, at least one, of which none is loaded yet. A request waits for its model for
// at most some time; 0: [DefaultWait]. The caller closes it.
func NewModels(wait time.Duration, log *slog.Logger, sources ...Source) *Models {
	if wait == 0 {
		wait = DefaultWait
	}
	return &Models{sources: sources, wait: wait, log: log}
}

// List implements [service.Models].
func (m *Models) List() []service.Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]service.Model, len(m.sources))
	for i, s := range m.sources {
		list[i] = s.Model
		if m.loaded != nil && i == m.index {
			list[i] = m.loaded.Model()
		}
	}
	return list
}

// Load loads the first model, if none is.
func (m *Models) Load(ctx context.Context) error {
	_, done, err := m.use(ctx, 0)
	if err == nil {
		done()
	}
	return err
}

// Use implements [service.Models]. A request that has waited for too long gets [service.ErrModelBusy], and
// one whose model cannot be loaded a [LoadError]: the next one tries it again.
func (m *Models) Use(ctx context.Context, name string) (service.Answerer, func(), error) {
	i, err := m.find(name)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.wait, service.ErrModelBusy)
	defer cancel()
	return m.use(ctx, i)
}

// find returns the index of the source with a name.
func (m *Models) find(name string) (int, error) {
	i := slices.IndexFunc(m.sources, func(s Source) bool { return s.Model.Name == name })
	if i >= 0 {
		return i, nil
	}
	if name == "" || len(m.sources) == 1 {
		return 0, nil
	}
	unknown := &service.UnknownModelError{Name: name}
	for _, s := range m.sources {
		unknown.Known = append(unknown.Known, s.Model.Name)
	}
	return 0, unknown
}

// use waits until a source is loaded, and uses it.
func (m *Models) use(ctx context.Context, index int) (service.Answerer, func(), error) {
	t := &turn{index, make(chan error, 1)}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, nil, service.ErrClosed
	}
	m.waiting = append(m.waiting, t)
	m.advance()
	m.mu.Unlock()
	select {
	case err := <-t.come:
		return m.entered(err)
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.waiting, t); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
	} else if <-t.come == nil { // it has come at the same time
		m.users--
	}
	m.advance()
	return nil, nil, context.Cause(ctx)
}

// entered returns what Use returns to a request whose turn has come.
func (m *Models) entered(err error) (service.Answerer, func(), error) {
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loaded, sync.OnceFunc(m.leave), nil // it stays loaded while the request is one of users
}

// leave ends a use.
func (m *Models) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users--
	m.advance()
}

// advance has those enter whose turn it is, or begins to load what the first one waits for if nobody
// uses what is loaded. The lock is held.
func (m *Models) advance() {
	if m.loading || len(m.waiting) == 0 {
		return
	}
	next := m.waiting[0].index
	if m.loaded != nil && m.index == next {
		m.answer(next, nil)
		return
	}
	if m.users == 0 {
		m.loading = true
		old := m.loaded
		m.loaded = nil
		m.loads.Go(func() { m.load(old, next) })
	}
}

// answer tells all who wait for a source that their turn has come. The lock is held.
func (m *Models) answer(index int, err error) {
	m.waiting = slices.DeleteFunc(m.waiting, func(t *turn) bool {
		if t.index != index {
			return false
		}
		if err == nil {
			m.users++
		}
		t.come <- err
		return true
	})
}

// load closes what was loaded, if anything, and loads a source.
func (m *Models) load(old Loaded, index int) {
	if old != nil {
		if err := old.Close(); err != nil {
			m.log.Error("closing a model failed", "model", old.Model().Name, "error", err)
		}
	}
	name, begun := m.sources[index].Model.Name, time.Now()
	loaded, err := m.sources[index].Open()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loading = false
	if err != nil {
		m.log.Error("loading a model failed", "model", name, "error", err)
		m.answer(index, &LoadError{name, err})
	} else {
		m.log.Info("loaded a model", "model", name, "took", time.Since(begun).Round(time.Millisecond))
		m.loaded, m.index = loaded, index
	}
	if !m.closed {
		m.advance()
	}
}

// Peek calls f with what is loaded, which stays so meanwhile, or returns false if nothing is.
func (m *Models) Peek(f func(Loaded)) bool {
	m.mu.Lock()
	loaded := m.loaded
	if loaded == nil {
		m.mu.Unlock()
		return false
	}
	m.users++
	m.mu.Unlock()
	defer m.leave()
	f(loaded)
	return true
}

// Waiting returns how many requests wait for a model.
func (m *Models) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting)
}

// Close refuses all who wait and closes what is loaded, whose requests have ended or end with an error.
func (m *Models) Close() error {
	m.mu.Lock()
	m.closed = true
	for len(m.waiting) > 0 {
		m.answer(m.waiting[0].index, service.ErrClosed)
	}
	m.mu.Unlock()
	m.loads.Wait()
	m.mu.Lock()
	loaded := m.loaded
	m.loaded = nil
	m.mu.Unlock()
	if loaded == nil {
		return nil
	}
	return loaded.Close()
}
