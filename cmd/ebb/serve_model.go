package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/memory"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/server"
	"github.com/seed4d217819/ebb/service"
)

// served is a model that answers, and its engine.
type served struct {
	*service.Service
	engine *ebb.Engine
	header *header
}

// Model implements [server.Loaded].
func (s *served) Model() service.Model { return s.header.complete(s.Service.Model()) }

var _ server.Loaded = (*served)(nil)

// Engine implements [server.Loaded].
func (s *served) Engine() ebb.Stats { return s.engine.Stats() }

// Close ends the answers that have not ended, writes conversations to --cache-dir, and closes the service
// and its engine.
func (s *served) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel() // nobody reads the answers that are left
	return errors.Join(s.Drain(now), s.engine.Close())
}

// sources returns the models. Those on the hub are downloaded.
func (f *serveFlags) sources(ctx context.Context, step func(service.Step), notes io.Writer, log *slog.Logger) (sources []server.Source, err error) {
	for _, m := range f.models {
		name, path := f.split(m)
		if path, err = modelFile(ctx, path, notes); err != nil {
			return nil, err
		}
		h := &header{path: path, context: f.engine.options.Context, requests: f.queue}
		if err := h.check(); err != nil {
			return nil, err
		}
		sources = append(sources, server.Source{
			Name: name,
			Describe: func() (service.Model, error) {
				m, err := h.describe()
				return m, loadError(name, err)
			},
			Open: func() (server.Loaded, error) {
				l, err := f.load(name, h, step, notes, log)
				if err != nil {
					return nil, loadError(name, err)
				}
				h.learn(l.Model().Context)
				return l, nil
			},
		})
	}
	return sources, nil
}

// load opens a model and its service, whose steps are heard of.
func (f *serveFlags) load(name string, h *header, step func(service.Step), notes io.Writer, log *slog.Logger) (server.Loaded, error) {
	flags := f.engine
	flags.options.Notify = func(line string) { log.Warn(line, "model", name) }
	engine, err := flags.open(h.path, notes)
	if err != nil {
		return nil, flags.memoryAdvice(err)
	}
	if err := f.checkCacheDir(engine.Stats().Cache.TokenBytes); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	memory.GiveBack()
	for _, note := range flags.notes(engine) {
		log.Info(note, "model", name)
	}
	s, err := service.New(engine, service.Options{
		Name: name, StepTime: time.Duration(f.stepTime) * time.Millisecond, Queue: f.queue, Step: step,
		CacheDir: f.cache.dir, CacheBytes: f.conversationBytes(), Notify: flags.options.Notify,
	})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return &served{s, engine, h}, nil
}

// checkCacheDir reports a bound on the files of conversations under which nothing could be kept, if a token
// takes so many bytes.
func (f *serveFlags) checkCacheDir(token int64) error {
	if block := token * kv.Block; f.cache.bytes > 0 && f.conversationBytes() < block {
		return fmt.Errorf("--cache-dir %s: %s is too little: files keep K/V in blocks of %d tokens, and one takes %s", f.cache.dir,
			bytesize.Format(f.cache.bytes), kv.Block, bytesize.Format(block))
	}
	return nil
}

// report says what is served and where, and what to try.
func (f *serveFlags) report(w io.Writer, l server.Loaded, listeners []net.Listener) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s  %s\n", name, fmt.Sprintf(format, args...))
	}
	m, e := l.Model(), l.Engine()
	line("model", "%s (%s)", m.Name, m.Architecture)
	for _, name := range f.models[1:] {
		other, _ := f.split(name)
		line("", "%s, when it is asked for", other)
	}
	line("context", "%s, K/V in %s", count(m.Context, "token"), cmp.Or(f.engine.options.KVType, "f16"))
	line("cache", "%v: %s", e.Cache.Policy, describeLayers(e.Cache))
	for _, d := range e.Devices {
		if weights := d.Device.Current[ggml.Weights]; weights > 0 {
			line("weights", "%s on %s", bytesize.Format(weights), d.Name)
		}
	}
	line("K/V", "%s a token, %s for a conversation of the whole context", bytesize.Format(e.Cache.TokenBytes),
		bytesize.Format(e.Cache.TokenBytes*int64(m.Context)+e.Cache.WindowBytes))
	if files := l.Stats().Conversations.Files; f.cache.dir != "" {
		line("files", "%s of conversations in %s, of at most %s", bytesize.Format(files.Bytes), f.cache.dir, bytesize.Format(files.Limit))
	}
	address := ""
	for _, l := range listeners {
		url := server.URL(l, f.cert != "")
		line("listening", "%s", url)
		address = cmp.Or(address, url)
	}
	curl := "curl " + address
	if l := listeners[0]; l.Addr().Network() == "unix" {
		curl = "curl --unix-socket " + l.Addr().String() + " http://localhost"
	}
	key := ""
	if len(f.keys) > 0 || f.keyFile != "" {
		key = ` -H "Authorization: Bearer KEY"`
	}
	try := "try"
	if listeners[0].Addr().Network() != "unix" {
		line(try, "%s/ in a browser, or", address)
		try = ""
	}
	line(try, `%s/v1/chat/completions%s -d '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}'`, curl, key)
}
