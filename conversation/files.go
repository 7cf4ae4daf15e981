package conversation

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// files keeps what conversations have computed in files, where the next process finds it, too.
type files struct {
	engine *ebb.Engine
	blocks *blockfile.Store
	header session.Header
	window int // tokens that layers with windows see
}

// openFiles opens the files of an engine's conversations.
func openFiles(e *ebb.Engine, dir string, o blockfile.Options) (*files, error) {
	f := &files{engine: e}
	var err error
	if f.header, err = e.SessionHeader(); err != nil {
		return nil, err
	}
	for _, l := range e.Config().Layers {
		f.window = max(f.window, l.Window)
	}
	f.blocks, err = blockfile.Open(dir, o)
	return f, err
}

// find returns what the files have of a prompt's beginning. The caller closes it, or restores it.
func (f *files) find(salt string, prompt []int32) *blockfile.Match {
	return f.blocks.Find(f.root(salt), prompt)
}

func (f *files) root(salt string) blockfile.Root {
	return blockfile.NewRoot(f.header, f.window, []byte(salt))
}

// write writes what the files do not have of a sequence, and returns how many of its tokens they have then.
func (f *files) write(ctx context.Context, salt string, seq *kv.Seq, kept int) (tokens int, err error) {
	all := seq.Tokens()
	all = all[:len(all)-seq.PendingLen()]
	if len(all) == 0 {
		return 0, nil
	}
	w := &sink{files: f, root: f.root(salt)}
	if w.draft, err = f.blocks.Begin(w.root, all, 0); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.draft.Close()) }()
	first := math.MaxInt / kv.Block
	if missing := w.draft.Missing(); len(missing) > 0 {
		first = missing[0]
	} else if len(f.header.States) == 0 {
		return len(all), nil
	}
	o := kv.SaveOptions{FirstBlock: first, ByBlock: true, Snapshot: func(tokens int) bool { return tokens > kept }}
	if err := f.engine.Save(ctx, seq, o, w); err != nil {
		return 0, err
	}
	return len(all), nil
}

// sink writes to block files what is saved of a sequence.
type sink struct {
	files  *files
	root   blockfile.Root
	draft  *blockfile.Draft
	states []int // after how many tokens states come, by their number
}

func (s *sink) Begin(all kv.Saved) error {
	s.states = all.Snapshots
	if n := len(s.states); n == 0 || s.states[n-1] != all.Computed {
		s.states = append(s.states, all.Computed)
	}
	if all.WindowFrom == 0 {
		return nil
	}
	draft, err := s.files.blocks.Begin(s.root, all.Tokens[:all.Computed], all.WindowFrom)
	if err != nil {
		return err
	}
	err, s.draft = s.draft.Close(), draft
	return err
}

func (s *sink) Rows(layer, block int, rows []byte) error { return s.draft.Rows(layer, block, rows) }

func (s *sink) State(number, layer int, state []byte) error {
	if number >= len(s.states) {
		return fmt.Errorf("conversation: state %d of a sequence: there are %d", number, len(s.states))
	}
	return s.draft.State(s.states[number], layer, state)
}
