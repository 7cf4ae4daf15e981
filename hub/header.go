package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/gguf"
)

const (
	firstHeader = 1 << 20   // bytes of a file that are read at first; twice as many each further time
	maxHeader   = 256 << 20 // of a header that is read from the hub: ten times the largest vocabularies
)

// ReadHeader returns the header of a model, all parts of it if it is split. Unless the cache has
// the files, only their first bytes are read, by ranges, until the header is whole; nothing is
// kept. The File has no bytes of tensors if they are not in the cache. The caller closes it.
func ReadHeader(ctx context.Context, r Ref, o Options) (*gguf.File, error) {
	l, err := locate(ctx, r, o)
	if err != nil {
		return nil, err
	}
	if l.cached != nil {
		return gguf.Open(l.cached[l.which])
	}
	if path, ok := l.complete(); ok {
		return gguf.Open(path)
	}
	var parts []*gguf.File
	for i, s := range l.sources {
		part, err := l.f.header(ctx, s)
		if format, ok := errors.AsType[*gguf.FormatError](err); ok {
			format.Path = l.files[i]
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("hub: %s: %w", l.files[i], err)
		}
		parts = append(parts, part)
	}
	return gguf.JoinHeaders(l.files, parts)
}

// complete returns the path of the file that was named, if the cache has all parts as they are on
// the hub.
func (l located) complete() (string, bool) {
	for i, s := range l.sources {
		if !complete(l.c.snapshot(s.commit, l.files[i]), s.size) {
			return "", false
		}
	}
	return l.c.snapshot(l.sources[l.which].commit, l.files[l.which]), true
}

// header reads the header of a source.
func (f *fetcher) header(ctx context.Context, s source) (*gguf.File, error) {
	var data bytes.Buffer
	for want := int64(firstHeader); want <= maxHeader; want *= 2 {
		err := f.retry(ctx, maxTries, func() (bool, error) {
			before := data.Len()
			err := f.stream(ctx, &data, s, int64(before), min(want, s.size))
			return data.Len() > before, err
		})
		if err != nil {
			return nil, err
		}
		file, err := gguf.ParseHeader(data.Bytes(), s.size)
		if !errors.Is(err, gguf.ErrPartial) {
			return file, err
		}
	}
	return nil, fmt.Errorf("its header does not end within %d MiB, more than any model needs", maxHeader>>20)
}
