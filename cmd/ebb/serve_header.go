package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/tokenizer"
)

// header is what the header of a model's file says of the model while it is not loaded. It is read again
// when the file has changed.
type header struct {
	path     string
	context  int // that --context says; 0: what the model was made for
	requests int // how many may wait or be under way at once

	mu      sync.Mutex
	model   service.Model // but its name
	written time.Time     // when the file was that was read
	size    int64         // of that file; 0: none was read
	room    int           // tokens that there was room for when the model was loaded; 0: it was not
}

// describe returns what the header says.
func (h *header) describe() (service.Model, error) {
	info, err := os.Stat(h.path)
	if err != nil {
		return service.Model{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.size > 0 && h.size == info.Size() && h.written.Equal(info.ModTime()) {
		return h.model, nil
	}
	m, err := readHeader(h.path)
	if err != nil {
		return service.Model{}, err
	}
	if h.size > 0 { // it is another file
		h.room = 0
	}
	m.Created, m.Requests, m.Context = info.ModTime(), h.requests, cmp.Or(h.room, h.context, m.Trained)
	h.model, h.written, h.size = m, info.ModTime(), info.Size()
	return m, nil
}

// check reports a file that is none of a model. It takes less time than to describe it.
func (h *header) check() error {
	file, err := gguf.Open(h.path)
	if err != nil {
		return err
	}
	info, err := os.Stat(h.path)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	weigh(&h.model, file)
	h.model.Created = info.ModTime()
	return file.Close()
}

// weigh notes what weights a file has.
func weigh(m *service.Model, file *gguf.File) {
	m.Bytes, m.Parameters = 0, 0
	bytes, most := map[gguf.Type]int64{}, int64(0)
	for _, t := range file.Tensors() {
		m.Bytes += t.Size
		m.Parameters += t.Elements()
		if bytes[t.Type] += t.Size; bytes[t.Type] > most {
			most, m.Quantization = bytes[t.Type], strings.ToUpper(t.Type.String())
		}
	}
}

// complete adds to what a loaded model says of itself what is known of its file.
func (h *header) complete(m service.Model) service.Model {
	h.mu.Lock()
	defer h.mu.Unlock()
	m.Created, m.Bytes, m.Parameters, m.Quantization = h.model.Created, h.model.Bytes, h.model.Parameters, h.model.Quantization
	return m
}

// learn notes how many tokens there is room for: where memory is short they are fewer than the header says.
func (h *header) learn(context int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.room, h.model.Context = context, context
}

// readHeader returns what a loaded model would say of itself, but for how it is used.
func readHeader(path string) (m service.Model, err error) {
	file, err := gguf.Open(path)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	s := summarize(file)
	m = service.Model{Architecture: s.Architecture, Trained: s.Context, Vocabulary: s.vocabulary}
	weigh(&m, file)
	t, err := tokenizer.Open(path)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if id, ok := t.BOS(); ok {
		m.BOS = t.Spell(id)
	}
	if id, ok := t.EOS(); ok {
		m.EOS = t.Spell(id)
	}
	if s.Template == nil {
		return m, nil
	}
	// A template that cannot be read is none, as where the model is loaded.
	if template, err := chat.New(*s.Template, chat.Vars{BOS: m.BOS, EOS: m.EOS}); err == nil {
		m.Chat, m.Tools, m.Template = true, template.TakesTools(), template.Source()
	}
	return m, nil
}

// loadError says why a model cannot be loaded, in words for its clients: they are told of no files of the
// server.
func loadError(name string, err error) error {
	if err == nil {
		return nil
	}
	e := &service.LoadError{Name: name, Err: err}
	short, isShort := errors.AsType[*plan.ShortError](err)
	budget, isBudget := errors.AsType[*plan.BudgetError](err)
	format, isFormat := errors.AsType[*gguf.FormatError](err)
	switch {
	case isShort:
		e.Reason = short.Error()
	case isBudget:
		e.Reason = budget.Error()
	case errors.Is(err, ggml.ErrNoMemory) || errors.Is(err, kv.ErrNoMemory):
		e.Short, e.Reason = true, "there is too little memory for it now"
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = "its file is not there"
	case isFormat:
		e.Reason = "its file is broken: " + strings.TrimPrefix((&gguf.FormatError{Field: format.Field, Offset: format.Offset, Err: format.Err}).Error(), "gguf: ")
	}
	return e
}
