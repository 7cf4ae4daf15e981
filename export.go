package ebb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/session"
)

// ExportOptions say how K/V are written for other programs.
type ExportOptions struct {
	// Type is that of the exported values: f32, f16 or bf16. "": that of the cache, and f32 for q8_0
	// and q4_0, whose values it has exactly.
	Type string
}

// Export writes the K/V of sequences to a safetensors file, from wherever they are: tensors
// past_key_values.N.key and .value of the shape (batch, KV heads, tokens, head dim) in Hugging Face's
// legacy layout and order of values, and input_ids. A batch of several sequences must have one length.
// A file of the name is replaced when all is written, and not before.
func (e *Engine) Export(ctx context.Context, path string, o ExportOptions, batch ...*kv.Seq) (err error) {
	h, err := e.sessionHeader()
	if err != nil {
		return err
	}
	with, err := exportOptions(h, o)
	if err != nil {
		return err
	}
	tokens := make([][]int32, len(batch))
	for row, seq := range batch {
		tokens[row] = seq.Tokens()
	}
	x, err := session.CreateExport(path, h, tokens, with)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	for row, seq := range batch {
		if err := e.runner.Pool().Save(ctx, seq, exportSink{x, row, tokens[row]}); err != nil {
			return err
		}
	}
	return x.Commit()
}

// exportSink writes one sequence of a batch to an export.
type exportSink struct {
	to     *session.Export
	row    int
	tokens []int32
}

func (s exportSink) Begin(all kv.Saved) error {
	if all.WindowFrom > 0 {
		return fmt.Errorf("ebb: export: layers with windows do not keep the rows of the first %d tokens of sequence %d: open the engine with WindowRows 0 (--window-rows all)", all.WindowFrom, s.row)
	}
	if !slices.Equal(all.Tokens, s.tokens) {
		return fmt.Errorf("ebb: export: sequence %d has changed meanwhile", s.row)
	}
	return nil
}

func (s exportSink) Rows(layer, block int, rows []byte) error {
	return s.to.Write(s.row, layer, block, rows)
}

// State has nothing to do: of models that have states nothing is exported.
func (s exportSink) State(int, int, []byte) error { return nil }

// ExportSession is [Engine.Export] of a session's file. It needs no engine and not the model. It returns
// the types in which keys and values were written.
func ExportSession(path, out string, o ExportOptions) (k, v string, err error) {
	f, err := session.Open(path)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	with, err := exportOptions(f.Header(), o)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return f.Export(out, with)
}

// exportOptions adds what the architecture decides.
func exportOptions(h session.Header, o ExportOptions) (session.ExportOptions, error) {
	a, err := model.Find(h.Architecture, architectures())
	return session.ExportOptions{Type: o.Type, Interleaved: a.InterleavedRoPE}, err
}
