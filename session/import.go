package session

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/tier"
)

// Import is K/V of other programs, opened: safetensors in Hugging Face's legacy layout, docs/tiers.md.
// It is used by one goroutine.
type Import struct {
	path    string
	file    readCloser
	header  Header
	parts   [][2]part // by layer
	tokens  [][]int32 // by row
	want    Header    // whose rows Read gives
	scratch scratch
}

// ImportOptions say what is done with K/V of other programs.
type ImportOptions struct {
	// Interleaved is that of [ExportOptions].
	Interleaved bool
	// Convert lets K/V of another type be converted. Values that the wanted type does not have are
	// rounded to the nearest: see [Exact].
	Convert bool
	// Vocab is how many token ids the model has; 0: they are not checked.
	Vocab int
}

type readCloser interface {
	io.ReaderAt
	io.Closer
}

// OpenImport reads what the K/V in a file are, and their token ids. The caller closes the import.
func OpenImport(path string) (*Import, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	i, err := newImport(path, file, size)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return i, nil
}

func newImport(path string, file readCloser, size int64) (*Import, error) {
	metadata, tensors, err := readTensors(file, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	i := &Import{path: path, file: file}
	i.header = Header{
		Architecture: metadata[metaArchitecture], Weights: metadata[metaWeights], RoPE: metadata[metaRoPE],
	}
	if text := metadata[metaAttached]; text != "" {
		if i.header.Attached = json.RawMessage(text); !json.Valid(i.header.Attached) {
			return nil, i.wrong("what is attached is no JSON")
		}
	}
	if err := i.findParts(tensors); err != nil {
		return nil, err
	}
	return i, i.readIDs(tensors)
}

func (i *Import) wrong(format string, args ...any) error {
	return fmt.Errorf("%s: session: %w: %s", i.path, ErrTensors, fmt.Sprintf(format, args...))
}

// findParts finds the keys and values of all layers, which have one batch, one number of tokens, one
// type of keys and one of values.
func (i *Import) findParts(tensors map[string]tensor) error {
	if _, ok := tensors[idsName]; !ok {
		return i.wrong("%s; a session needs the ids of its tokens", missing(idsName, tensors))
	}
	layers := (len(tensors) - 1) / 2
	var first tensor
	for l := range max(layers, 1) {
		var parts [2]part
		for n, name := range [...]string{keyName(l), valueName(l)} {
			t, ok := tensors[name]
			if !ok {
				return i.wrong("%s", missing(name, tensors))
			}
			if first.name == "" {
				first = t
			}
			p, err := i.part(n, t, first)
			if err != nil {
				return err
			}
			if l > 0 && p.other.name != i.parts[0][n].other.name {
				return i.wrong("tensor %q is of type %s, and that of layer 0 %s", name, t.dtype, i.parts[0][n].other.dtype)
			}
			parts[n] = p
		}
		if parts[0].heads != parts[1].heads {
			return i.wrong("layer %d has keys of %d heads and values of %d", l, parts[0].heads, parts[1].heads)
		}
		i.parts = append(i.parts, parts)
		i.header.Layers = append(i.header.Layers, tier.Layout{
			Heads: parts[0].heads, KeyBytes: int64(parts[0].other.size(parts[0].dim)), ValueBytes: int64(parts[1].other.size(parts[1].dim)),
		})
	}
	i.header.TypeK, i.header.TypeV = i.parts[0][0].other.name, i.parts[0][1].other.name
	if want := 2*layers + 1; len(tensors) != want {
		return i.wrong("it has %d tensors: want the keys and values of each layer, and %s", len(tensors), idsName)
	}
	return nil
}

// missing says which tensor there is not, and which ones there are.
func missing(name string, tensors map[string]tensor) string {
	const most = 3
	var names []string
	for name := range tensors {
		names = append(names, fmt.Sprintf("%.60q", name))
	}
	slices.Sort(names)
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return fmt.Sprintf("it has no tensor %q: its %d tensors are %s", name, len(tensors), strings.Join(names, ", "))
}

// part returns the keys or values that a tensor holds. It must agree with the first one.
func (i *Import) part(n int, t, first tensor) (part, error) {
	p := part{what: [...]string{"key", "value"}[n], tensor: t}
	var ok bool
	if p.other, ok = findValueType(func(v valueType) bool { return v.dtype == t.dtype }); !ok || t.dtype == "" {
		return p, i.wrong("tensor %q is of type %s: want F32, F16 or BF16", t.name, t.dtype)
	}
	const most = 1 << 18 // values of a token, above what models have: so a block's rows are no more than a file may ask for
	if len(t.shape) != 4 || slices.Min(t.shape) < 1 || t.shape[1] > most || t.shape[2] > maxTokens || t.shape[3] > most/t.shape[1] {
		return p, i.wrong("tensor %q has the shape %v: want (batch, KV heads, tokens, dim)", t.name, t.shape)
	}
	if t.shape[0] != first.shape[0] || t.shape[2] != first.shape[2] {
		return p, i.wrong("tensor %q has the shape %v: want a batch of %d and %d tokens, as %q has", t.name, t.shape, first.shape[0], first.shape[2], first.name)
	}
	p.heads, p.dim = int(t.shape[1]), int(t.shape[3])
	return p, nil
}

// readIDs reads the token ids.
func (i *Import) readIDs(tensors map[string]tensor) error {
	t, kv := tensors[idsName], i.parts[0][0].tensor.shape
	if want := []int64{kv[0], kv[2]}; t.dtype != "I64" || !slices.Equal(t.shape, want) {
		return i.wrong("tensor %q is of type %s and shape %v: want I64 and %v, the ids of the tokens whose K/V are here", idsName, t.dtype, t.shape, want)
	}
	ids := make([]byte, kv[2]*idBytes)
	for row := range kv[0] {
		if _, err := i.file.ReadAt(ids, t.at+row*int64(len(ids))); err != nil {
			return i.failed(err)
		}
		tokens := make([]int32, kv[2])
		for n := range tokens {
			id := int64(binary.LittleEndian.Uint64(ids[n*idBytes:]))
			if id < 0 || id > math.MaxInt32 {
				return i.wrong("token %d of row %d has the id %d", n, row, id)
			}
			tokens[n] = int32(id)
		}
		i.tokens = append(i.tokens, tokens)
	}
	return nil
}

func (i *Import) failed(err error) error {
	if errors.Is(err, io.EOF) {
		return i.wrong("it has become shorter")
	}
	return fmt.Errorf("%s: session: reading it: %w", i.path, err)
}

// Header returns what the file says of its K/V, without tokens. What it does not say is empty; types
// and layers are those that hold its values as they are. It is the import's.
func (i *Import) Header() Header { return i.header }

// Batch returns how many sequences there are.
func (i *Import) Batch() int { return len(i.tokens) }

// Tokens returns the tokens of a sequence. They are the import's.
func (i *Import) Tokens(row int) []int32 { return i.tokens[row] }

// For has Read give rows of sessions with this header, whose tokens do not matter. The error wraps
// [ErrModel] if these K/V are of another model, and says so if they are of another type and may not be
// converted.
func (i *Import) For(want Header, o ImportOptions) error {
	for _, f := range []struct{ what, got, want string }{
		{"architecture", i.header.Architecture, want.Architecture},
		{"weights' digest", i.header.Weights, want.Weights},
		{"position encoding", i.header.RoPE, want.RoPE},
	} {
		if f.got != "" && f.got != f.want {
			return fmt.Errorf("%s: session: %w: its %s is %s, and the model's %s", i.path, ErrModel, f.what, f.got, f.want)
		}
	}
	if len(want.States) > 0 {
		return fmt.Errorf("%s: session: the model has recurrent layers, and the file has keys and values alone, no states: let the tokens be computed", i.path)
	}
	if len(i.parts) != len(want.Layers) {
		return fmt.Errorf("%s: session: %w: it has %d layers, and the model %d", i.path, ErrModel, len(i.parts), len(want.Layers))
	}
	for l := range i.parts {
		kept, err := want.parts(l, o.Interleaved)
		if err != nil {
			return err
		}
		for n := range i.parts[l] {
			p := &i.parts[l][n]
			if p.heads != kept[n].heads || p.dim != kept[n].dim {
				return fmt.Errorf("%s: session: %w: layer %d has %ss of %d heads and %d values, and the model's have %d and %d",
					i.path, ErrModel, l, p.what, p.heads, p.dim, kept[n].heads, kept[n].dim)
			}
			if p.other.name != kept[n].kept.name && !o.Convert {
				return fmt.Errorf("%s: session: its %ss are %s, and the session's would be %s: they are converted only where that is asked for",
					i.path, p.what, p.other.name, kept[n].kept.name)
			}
			p.kept, p.order = kept[n].kept, kept[n].order
		}
	}
	for row, tokens := range i.tokens {
		if at := slices.IndexFunc(tokens, func(id int32) bool { return o.Vocab > 0 && int(id) >= o.Vocab }); at >= 0 {
			return fmt.Errorf("%s: session: %w: token %d of row %d has the id %d, and the model has %d", i.path, ErrModel, at, row, tokens[at], o.Vocab)
		}
	}
	i.want = want
	return nil
}

// Read reads a block of a layer of one sequence into rows, in the format of [Writer.Write] and the types
// that For has set. A value that is not finite is an error.
func (i *Import) Read(row, layer, block int, rows []byte) error {
	layout := i.want.Layers[layer]
	clear(rows)
	cells := min(BlockCells, len(i.tokens[row])-block*BlockCells)
	for n, p := range i.parts[layer] {
		to, stride := layout.Part(rows, BlockCells, tier.Part(n), 0)
		kept, other := p.piece()
		i.scratch.grow(cells, p.dim, other)
		values, bytes := i.scratch.values[:cells*p.dim], i.scratch.bytes[:int64(cells)*other]
		for h := range p.heads {
			if _, err := i.file.ReadAt(bytes, p.place(row, h, block*BlockCells)); err != nil {
				return i.failed(err)
			}
			p.other.decode(values, bytes)
			if at := slices.IndexFunc(values, func(x float32) bool { return x-x != 0 }); at >= 0 {
				return i.wrong("layer %d: the %s of token %d in head %d has the value %v", layer, p.what, block*BlockCells+at/p.dim, h, values[at])
			}
			p.reorder(values, i.scratch.token[:p.dim], true)
			if !p.kept.encode(to[int64(h)*stride:][:int64(cells)*kept], values) {
				return fmt.Errorf("%s: session: layer %d has a %s that is too large for %s: want f32", i.path, layer, p.what, p.kept.name)
			}
		}
	}
	return nil
}

// Save writes one sequence as a session, with the header and the types that For has set.
func (i *Import) Save(row int, path string) (err error) {
	h := i.want
	h.Tokens, h.Attached = i.tokens[row], i.header.Attached
	w, err := Create(path, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := eachBlock(h, w.Blocks(), func(layer, block int, rows []byte) error {
		if err := i.Read(row, layer, block, rows); err != nil {
			return err
		}
		return w.Write(layer, block, rows)
	}); err != nil {
		return err
	}
	return w.Commit()
}

// Close closes the file.
func (i *Import) Close() error { return i.file.Close() }
