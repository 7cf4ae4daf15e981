package session

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/tier"
)

// ExportOptions say how K/V are written for other programs.
type ExportOptions struct {
	// Type is that of the exported values: f32, f16 or bf16. "": that of the session, and f32 for
	// q8_0 and q4_0, which safetensors do not have.
	Type string
	// Interleaved says that the model's file has keys in an order in which RoPE turns neighbouring
	// values, as the files of llama do. Hugging Face's order, in which they are half a head apart, is
	// what is exported.
	Interleaved bool
}

// Export writes K/V of sequences as safetensors, in Hugging Face's legacy layout: docs/tiers.md. It is
// used by one goroutine.
type Export struct {
	draft   *draft
	layers  []tier.Layout
	parts   [][2]part // by layer
	batch   int
	tokens  int
	blocks  int
	written []bool // by row, layer and block
	scratch scratch
}

// CreateExport begins to export sequences of one length to a file, which gets its name from Commit. The
// header is that of their rows, and tokens are theirs, one sequence after the other. The caller closes
// the export.
func CreateExport(path string, h Header, tokens [][]int32, o ExportOptions) (*Export, error) {
	return createExport(path, h, tokens, o, operatingSystem())
}

func createExport(path string, h Header, tokens [][]int32, o ExportOptions, s system) (*Export, error) {
	if len(tokens) == 0 || len(tokens[0]) == 0 {
		return nil, errors.New("session: there are no tokens whose K/V could be exported")
	}
	if err := h.exportable(); err != nil {
		return nil, err
	}
	e := &Export{layers: h.Layers, batch: len(tokens), tokens: len(tokens[0])}
	for i, row := range tokens {
		if len(row) != e.tokens {
			return nil, fmt.Errorf("session: sequence %d has %d tokens and the first one %d: a batch has one length", i, len(row), e.tokens)
		}
	}
	e.blocks = (e.tokens + BlockCells - 1) / BlockCells
	e.written = make([]bool, e.batch*len(h.Layers)*e.blocks)
	head, err := e.describe(h, o)
	if err != nil {
		return nil, err
	}
	for _, row := range tokens {
		for _, id := range row {
			head = binary.LittleEndian.AppendUint64(head, uint64(int64(id)))
		}
	}
	if e.draft, err = newDraft(path, s); err != nil {
		return nil, err
	}
	if err := e.draft.writeAt(head, 0); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// describe decides what is written where, and returns the bytes before the ids, which come first.
func (e *Export) describe(h Header, o ExportOptions) ([]byte, error) {
	tensors := []tensor{{name: idsName, dtype: "I64", shape: []int64{int64(e.batch), int64(e.tokens)}}}
	for l := range h.Layers {
		parts, err := h.parts(l, o.Interleaved)
		if err != nil {
			return nil, err
		}
		for i := range parts {
			p := &parts[i]
			if p.other, err = exported(p.kept, o.Type); err != nil {
				return nil, err
			}
			p.tensor.dtype, p.tensor.shape = p.other.dtype, []int64{int64(e.batch), int64(p.heads), int64(e.tokens), int64(p.dim)}
			tensors = append(tensors, p.tensor)
		}
		e.parts = append(e.parts, parts)
	}
	metadata := map[string]string{metaFormat: "pt"}
	for name, value := range map[string]string{
		metaArchitecture: h.Architecture, metaWeights: h.Weights, metaRoPE: h.RoPE, metaAttached: string(h.Attached),
	} {
		if value != "" {
			metadata[name] = value
		}
	}
	head, err := tensorsHeader(metadata, tensors)
	if err != nil {
		return nil, err
	}
	for l := range e.parts {
		for i := range e.parts[l] {
			e.parts[l][i].tensor.at = tensors[1+2*l+i].at
		}
	}
	return head, nil
}

// exported returns the type that values are exported in.
func exported(kept valueType, name string) (valueType, error) {
	if name == "" && kept.dtype == "" {
		name = "f32"
	}
	if name == "" {
		return kept, nil
	}
	t, err := typeNamed(name)
	if err == nil && t.dtype == "" {
		err = fmt.Errorf("session: safetensors have no %s: export f32, f16 or bf16", name)
	}
	return t, err
}

// Types returns the types in which keys and values are exported.
func (e *Export) Types() (k, v string) { return e.parts[0][0].other.name, e.parts[0][1].other.name }

// Blocks returns how many blocks each layer of a sequence has.
func (e *Export) Blocks() int { return e.blocks }

// Write exports a block of a layer of one sequence of the batch. The rows are in the format of
// [Writer.Write]. Each block is written once, in any order.
func (e *Export) Write(row, layer, block int, rows []byte) error {
	layout := e.layers[layer]
	if want := layout.RowBytes() * BlockCells; int64(len(rows)) != want {
		return fmt.Errorf("session: %d bytes for a block of layer %d: want %d", len(rows), layer, want)
	}
	cells := min(BlockCells, e.tokens-block*BlockCells)
	for i, p := range e.parts[layer] {
		from, stride := layout.Part(rows, BlockCells, tier.Part(i), 0)
		kept, other := p.piece()
		e.scratch.grow(cells, p.dim, other)
		values, bytes := e.scratch.values[:cells*p.dim], e.scratch.bytes[:int64(cells)*other]
		for h := range p.heads {
			p.kept.decode(values, from[int64(h)*stride:][:int64(cells)*kept])
			p.reorder(values, e.scratch.token[:p.dim], false)
			if !p.other.encode(bytes, values) {
				return fmt.Errorf("session: layer %d has a %s that is too large for %s: export f32", layer, p.what, p.other.name)
			}
			if err := e.draft.writeAt(bytes, p.place(row, h, block*BlockCells)); err != nil {
				return err
			}
		}
	}
	e.written[(row*len(e.layers)+layer)*e.blocks+block] = true
	return nil
}

// Commit waits until all is on the disk, and gives the file its name. A file that had the name is gone
// then, and not before.
func (e *Export) Commit() error {
	for i, ok := range e.written {
		if !ok {
			return fmt.Errorf("session: block %d of layer %d was not exported", i%e.blocks, i/e.blocks%len(e.layers))
		}
	}
	return e.draft.commit()
}

// Close removes what was written, unless it was committed.
func (e *Export) Close() error { return e.draft.close() }

// Export exports the session. It returns the types in which keys and values were written.
func (f *File) Export(path string, o ExportOptions) (k, v string, err error) {
	e, err := CreateExport(path, f.header, [][]int32{f.header.Tokens}, o)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := eachBlock(f.header, e.Blocks(), func(layer, block int, rows []byte) error {
		if err := f.Read(layer, block, 1, rows); err != nil {
			return err
		}
		return e.Write(0, layer, block, rows)
	}); err != nil {
		return "", "", err
	}
	k, v = e.Types()
	return k, v, e.Commit()
}

// eachBlock calls do for each block of each layer, with room for its rows.
func eachBlock(h Header, blocks int, do func(layer, block int, rows []byte) error) error {
	var room []byte
	for l, layout := range h.Layers {
		n := layout.RowBytes() * BlockCells
		if int64(len(room)) < n {
			room = make([]byte, n)
		}
		for b := range blocks {
			if err := do(l, b, room[:n]); err != nil {
				return err
			}
		}
	}
	return nil
}
