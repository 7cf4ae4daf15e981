package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/service"
)

const (
	// DefaultWait is how long a request waits for its model.
	DefaultWait = 5 * time.Minute
	// retryLoad is for how long a model that could not be loaded is not tried again: what was loaded is
	// closed for that.
	retryLoad = 10 * time.Second
)

// Models has one of several models loaded at a time. A request for another one waits until nothing is
// computed any more, and those that come after it wait behind it, also if the model that they name is the
// one that is loaded: so no stream of requests for one model keeps those for another one waiting. Before
// that, a model has a [stay], so that two clients of two models do not have one loaded at each request. A
// client that reads its answer slowly keeps nobody waiting. It may be used from many goroutines.
type Models struct {
	sources []Source
	wait    time.Duration
	log     *slog.Logger
	loads   sync.WaitGroup // 0 or 1

	mu      sync.Mutex
	loaded  Loaded // nil: none
	index   int    // of the source of loaded, or of what is loading
	stay    stay   // of loaded
	users   int    // of loaded: requests that may begin answers, and answers that have not ended
	loading bool
	waiting []*waiter     // first come first
	failed  map[int]fault // of sources that could not be loaded a short time ago
	closed  bool
}

var _ service.Models = (*Models)(nil)

// waiter is a request that waits for a model.
type waiter struct {
	index int        // of its source
	come  chan error // has one element when its turn has come; nil: the request is one of users
}

// fault is why a model could not be loaded, and until when it is not tried again.
type fault struct {
	err   error
	until time.Time
}

// NewModels has sources, at least one, of which none is loaded yet. A request waits for its model for
// at most some time; 0: [DefaultWait]. The caller closes it.
func NewModels(wait time.Duration, log *slog.Logger, sources ...Source) *Models {
	if wait == 0 {
		wait = DefaultWait
	}
	return &Models{sources: sources, wait: wait, log: log, failed: map[int]fault{}}
}

// List implements [service.Models]. Of a model whose file cannot be read there is the name alone.
func (m *Models) List() []service.Model {
	list := make([]service.Model, len(m.sources))
	soonest := m.soonest()
	for i := range m.sources {
		list[i], _ = m.describe(i)
		list[i].Soonest = i == soonest
	}
	return list
}

// soonest returns the source whose model answers soonest: the one that is loaded, unless others wait for the
// next one and its stay is over, or the one that is being loaded.
func (m *Models) soonest() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.loading, m.loaded != nil && (len(m.waiting) == 0 || time.Now().Before(m.stay.until)):
		return m.index
	case len(m.waiting) > 0:
		return m.waiting[0].index
	}
	return 0
}

// Find implements [service.Models].
func (m *Models) Find(name string) (service.Model, error) {
	i, err := m.find(name)
	if err != nil {
		return service.Model{}, err
	}
	return m.describe(i)
}

// describe describes the model of a source.
func (m *Models) describe(index int) (service.Model, error) {
	m.mu.Lock()
	if m.loaded != nil && m.index == index {
		defer m.mu.Unlock()
		return m.loaded.Model(), nil
	}
	m.mu.Unlock()
	return m.sources[index].describe()
}

// Load loads the first model, if none is.
func (m *Models) Load(ctx context.Context) error {
	_, done, err := m.use(ctx, 0, 0)
	if err == nil {
		done()
	}
	return err
}

// Use implements [service.Models]. A request that has waited for too long gets [service.ErrModelBusy], one
// whose model cannot be loaded a [service.LoadError], and one that would wait behind as many as its model takes at
// once [service.ErrBusy].
func (m *Models) Use(ctx context.Context, name string) (service.Answerer, func(), error) {
	i, err := m.find(name)
	if err != nil {
		return nil, nil, err
	}
	about, err := m.describe(i)
	if err != nil { // what is loaded is not closed for it
		m.log.Error("a model cannot be loaded", "model", m.sources[i].Name, "error", err)
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.wait, service.ErrModelBusy)
	defer cancel()
	return m.use(ctx, i, about.Requests)
}

// find returns the index of the source with a name.
func (m *Models) find(name string) (int, error) {
	i := slices.IndexFunc(m.sources, func(s Source) bool { return s.Name == name })
	if i >= 0 {
		return i, nil
	}
	if name == "" || len(m.sources) == 1 {
		return 0, nil
	}
	unknown := &service.UnknownModelError{Name: name}
	for _, s := range m.sources {
		unknown.Known = append(unknown.Known, s.Name)
	}
	return 0, unknown
}

// use waits until a source is loaded, and uses it. places is how many may wait; 0: any number.
func (m *Models) use(ctx context.Context, index, places int) (service.Answerer, func(), error) {
	t := &waiter{index, make(chan error, 1)}
	m.mu.Lock()
	err := m.refusal(index)
	if err == nil {
		m.waiting = append(m.waiting, t)
		m.advance()
		if n := len(m.waiting); places > 0 && n > places && m.waiting[n-1] == t { // it has not entered
			m.waiting = slices.Delete(m.waiting, n-1, n)
			err = service.ErrBusy
		}
	}
	m.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
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
		m.left()
	}
	m.advance()
	return nil, nil, context.Cause(ctx)
}

// refusal returns why nobody waits for a source now; nil: one may. The lock is held.
func (m *Models) refusal(index int) error {
	if m.closed {
		return service.ErrClosed
	}
	if f := m.failed[index]; time.Now().Before(f.until) {
		return f.err
	}
	return nil
}

// entered returns what Use returns to a request whose turn has come.
func (m *Models) entered(err error) (service.Answerer, func(), error) {
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return shared{m.loaded, m}, sync.OnceFunc(m.leave), nil // it stays loaded while the request is one of users
}

// shared is a loaded model whose answers are users of it until they have ended, also when the request
// that has begun them is none any more.
type shared struct {
	Loaded
	models *Models
}

// Answer implements [service.Answerer]. The caller is a user of the model.
func (s shared) Answer(ctx context.Context, r service.Request) (*service.Answer, error) {
	a, err := s.Loaded.Answer(ctx, r)
	if err == nil {
		s.models.mu.Lock()
		s.models.users++
		s.models.mu.Unlock()
		a.AfterEnd(s.models.leave)
	}
	return a, err
}

// leave ends a use.
func (m *Models) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left()
	m.advance()
}

// left counts one user less. The lock is held.
func (m *Models) left() {
	m.users--
	m.stay.used = time.Now()
}

// advance has those enter whose turn it is, or begins to load what the first one waits for if nobody
// uses what is loaded and its stay is over. The lock is held.
func (m *Models) advance() {
	if m.loading || m.closed || len(m.waiting) == 0 {
		return
	}
	now := time.Now()
	if m.loaded != nil && (m.waiting[0].index == m.index || now.Before(m.stay.until)) {
		m.answer(m.index, nil)
	}
	if len(m.waiting) == 0 || m.users > 0 {
		return
	}
	if left := m.stay.left(now); m.loaded != nil && left > 0 {
		time.AfterFunc(left, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.advance()
		})
		return
	}
	m.loading = true
	old, next := m.loaded, m.waiting[0].index
	m.loaded, m.index = nil, next
	m.loads.Go(func() { m.load(old, next) })
}

// answer tells all who wait for a source that their turn has come. The lock is held.
func (m *Models) answer(index int, err error) {
	m.waiting = slices.DeleteFunc(m.waiting, func(t *waiter) bool {
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
	begun := time.Now()
	if old != nil {
		name := old.Model().Name
		if err := old.Close(); err != nil {
			m.log.Error("closing a model failed", "model", name, "error", err)
		}
	}
	source := m.sources[index]
	loaded, err := source.Open()
	took := time.Since(begun)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loading = false
	if err != nil {
		m.log.Error("loading a model failed", "model", source.Name, "error", err)
		m.failed[index] = fault{source.failed(err), time.Now().Add(retryLoad)}
		m.answer(index, m.failed[index].err)
	} else {
		m.log.Info("loaded a model", "model", source.Name, "took", took.Round(time.Millisecond))
		m.loaded, m.stay = loaded, newStay(took)
	}
	m.advance()
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
	f(loaded)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users-- // it was looked at, and not used
	m.advance()
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
